/* What Kafka tells: the progress topic, the topics of the routes, the lanes' positions. */
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "cli/doctor.h"
#include "config/config.h"
#include "core/position.h"
#include "sink/inspect.h"
#include "sink/kafka.h"
#include "sink/progress.h"

#define FIRST FINDING_KAFKA_UNREACHABLE
#define LAST FINDING_UNCLEAN_ELECTION
#define TOPICS_MAX "500"

/* The lanes, read before their markers: those may be ahead of it then, but never behind. */
static const char positions_sql[] =
    "SELECT n.map, n.lane, n.from_tick, n.from_nonce, n.to_tick, n.to_nonce, n.seq, n.done, n.started,"
    "       m.incarnation"
    "  FROM outbox.meta m JOIN outbox.lane n ON n.map = m.lane_map ORDER BY n.lane";
static const char topics_sql[] =
    "SELECT DISTINCT r.topic FROM outbox.route r WHERE r.topic IS NOT NULL ORDER BY 1 LIMIT " TOPICS_MAX;

struct check {
    struct doctor *doctor;
    const struct relay_config *config;
    struct kafka *kafka;
    struct inspector *inspector;
    PGresult *positions;
    PGresult *topics;
    mono_us patience; /* for each question to Kafka */
};

static bool any_started(const PGresult *positions)
{
    for (int row = 0; row < PQntuples(positions); row++) {
        if (pg_get_bool(positions, row, PQfnumber(positions, "started")))
            return true;
    }
    return false;
}

static void judge_safety(struct doctor *doctor, const char *topic, const struct topic_facts *facts)
{
    if (facts->replication < 3)
        doctor_found(doctor, FINDING_REPLICATION_LOW, topic, "it has %d", facts->replication);
    if (!facts->configured) {
        doctor_unchecked(doctor, FINDING_MIN_INSYNC_LOW, "topic %s: no right to DescribeConfigs", topic);
        doctor_unchecked(doctor, FINDING_UNCLEAN_ELECTION, "topic %s: no right to DescribeConfigs", topic);
        return;
    }
    if (facts->min_insync < 2)
        doctor_found(doctor, FINDING_MIN_INSYNC_LOW, topic, "min.insync.replicas=%d", facts->min_insync);
    if (facts->unclean_election)
        doctor_found(doctor, FINDING_UNCLEAN_ELECTION, topic, "unclean.leader.election.enable=true");
}

static void judge_progress(struct check *check, const char *topic, const struct topic_facts *facts)
{
    struct doctor *doctor = check->doctor;
    int lanes = PQntuples(check->positions);

    if (!facts->configured)
        doctor_unchecked(doctor, FINDING_PROGRESS_POLICY, "topic %s: no right to DescribeConfigs", topic);
    else if (strcmp(facts->cleanup, "compact") != 0)
        doctor_found(doctor, FINDING_PROGRESS_POLICY, topic, "cleanup.policy=%s", facts->cleanup);
    if (facts->partitions < lanes)
        doctor_found(doctor, FINDING_PROGRESS_PARTITIONS, topic, "%d partitions, %d lanes", facts->partitions,
                     lanes);
    judge_safety(doctor, topic, facts);
}

/* ---- positions ---- */

static struct tick_id read_tick(const PGresult *rows, int row, const char *tick, const char *nonce)
{
    struct tick_id id = {.id = pg_get_int(rows, row, PQfnumber(rows, tick))};
    struct outbox__uuid uuid = {{0}};

    outbox__uuid_parse(PQgetvalue(rows, row, PQfnumber(rows, nonce)), &uuid);
    memcpy(id.nonce, uuid.bytes, sizeof(id.nonce));
    return id;
}

static struct position read_position(const PGresult *rows, int row)
{
    return (struct position){.from = read_tick(rows, row, "from_tick", "from_nonce"),
                             .to = read_tick(rows, row, "to_tick", "to_nonce"),
                             .seq = pg_get_int(rows, row, PQfnumber(rows, "seq")),
                             .done = pg_get_bool(rows, row, PQfnumber(rows, "done"))};
}

static void judge_position(struct doctor *doctor, const PGresult *rows, int row,
                           const struct progress_answer *answer)
{
    struct position ours = read_position(rows, row);
    char subject[64];

    snprintf(subject, sizeof(subject), "lane %s", PQgetvalue(rows, row, PQfnumber(rows, "lane")));
    if (!answer->found) {
        if (pg_get_bool(rows, row, PQfnumber(rows, "started")))
            doctor_found(doctor, FINDING_POSITION_MISMATCH, subject,
                         "marker_missing: it has published, and Kafka has no marker of it");
        return;
    }
    switch (position_compare(&ours, &answer->marker.position)) {
    case POSITION_SAME:
    case POSITION_BEFORE:
        break;
    case POSITION_AFTER:
        doctor_found(doctor, FINDING_POSITION_MISMATCH, subject,
                     "marker_behind: the marker in Kafka lies behind what the database has acknowledged");
        break;
    case POSITION_CONFLICT:
        doctor_found(doctor, FINDING_POSITION_MISMATCH, subject,
                     "marker_conflict: the marker in Kafka and the position in the database cannot both be true");
        break;
    }
}

static void check_positions(struct check *check)
{
    const PGresult *rows = check->positions;
    outbox_error *err = NULL;
    struct progress *progress = progress_open(check->kafka, &err);

    for (int row = 0; progress && row < PQntuples(rows); row++) {
        struct outbox__uuid incarnation = {{0}};
        struct progress_answer answer;

        outbox__uuid_parse(PQgetvalue(rows, row, PQfnumber(rows, "incarnation")), &incarnation);
        if (progress_read(progress, incarnation.bytes, (int)pg_get_int(rows, row, PQfnumber(rows, "map")),
                          (int)pg_get_int(rows, row, PQfnumber(rows, "lane")), clock_now() + check->patience,
                          &answer, &err) != SINK_OK)
            break;
        judge_position(check->doctor, rows, row, &answer);
    }
    if (err)
        doctor_unchecked(check->doctor, FINDING_POSITION_MISMATCH, "%s", outbox_error_message(err));
    outbox_error_free(err);
    progress_close(progress);
}

/* ---- topics ---- */

static void check_topic(struct check *check, const char *topic)
{
    struct topic_facts facts;
    outbox_error *err = NULL;

    if (inspect_topic(check->inspector, topic, clock_now() + check->patience, &facts, &err) != SINK_OK)
        doctor_unchecked(check->doctor, FINDING_TOPIC_MISSING, "%s", outbox_error_message(err));
    else if (facts.partitions > 0)
        judge_safety(check->doctor, topic, &facts);
    else if (!check->config->create_topics)
        doctor_found(check->doctor, FINDING_TOPIC_MISSING, topic, "and create_topics is no");
    outbox_error_free(err);
}

static void check_cluster(struct check *check)
{
    const char *topic = kafka_progress_topic(check->kafka);
    struct doctor *doctor = check->doctor;
    struct topic_facts facts;
    outbox_error *err = NULL;

    if (inspect_topic(check->inspector, topic, clock_now() + check->patience, &facts, &err) != SINK_OK) {
        doctor_found(doctor, FINDING_KAFKA_UNREACHABLE, NULL, "%s", outbox_error_message(err));
        for (int finding = FIRST + 1; finding <= LAST; finding++)
            doctor_unchecked(doctor, (enum finding)finding, "Kafka does not answer");
        outbox_error_free(err);
        return;
    }
    if (facts.partitions > 0) {
        judge_progress(check, topic, &facts);
        check_positions(check);
    } else if (any_started(check->positions)) {
        doctor_found(doctor, FINDING_PROGRESS_MISSING, topic, "a lane has published before");
    } else if (!check->config->create_topics) {
        doctor_found(doctor, FINDING_PROGRESS_MISSING, topic, "no lane has published yet, and create_topics is no");
    }
    for (int row = 0; row < PQntuples(check->topics); row++)
        check_topic(check, PQgetvalue(check->topics, row, 0));
}

static int make_kafka(struct check *check)
{
    const struct relay_config *config = check->config;
    struct kafka_property *properties = calloc(config->kafka_count + 1, sizeof(*properties));
    const struct kafka_settings settings = {.properties = properties,
                                            .property_count = config->kafka_count,
                                            .prefix = config->topic_prefix,
                                            .topic_partitions = config->topic_partitions,
                                            .topic_replication = config->topic_replication,
                                            .transaction_timeout = config->transaction_timeout,
                                            .insecure = config->insecure};
    outbox_error *err = NULL;

    if (!properties)
        return cli_fail(CLI_FAILED, "out of memory");
    for (size_t i = 0; i < config->kafka_count; i++)
        properties[i] = (struct kafka_property){config->kafka[i].name, config->kafka[i].value};
    check->kafka = kafka_new(&settings, &err);
    if (check->kafka)
        check->inspector = inspector_open(check->kafka, &err);
    free(properties);
    return check->inspector ? CLI_OK : cli_fail_error(err);
}

int doctor_check_kafka(struct doctor *doctor)
{
    struct check check = {.doctor = doctor, .patience = SECONDS(10)};
    int code = CLI_OK;

    if (!doctor->config || !doctor->schema_usable) {
        for (int finding = FIRST; finding <= LAST; finding++)
            doctor_unchecked(doctor, (enum finding)finding, "no Kafka is named: give --config or --kafka");
        return CLI_OK;
    }
    check.config = config_relay(doctor->config);
    if (doctor_query(doctor, FIRST, LAST, positions_sql, NULL, &check.positions) &&
        doctor_query(doctor, FIRST, LAST, topics_sql, NULL, &check.topics))
        code = make_kafka(&check);
    if (check.inspector)
        check_cluster(&check);
    inspector_close(check.inspector);
    kafka_free(check.kafka);
    PQclear(check.positions);
    PQclear(check.topics);
    return code;
}

/* What Kafka tells: the progress topic, the topics of the routes, the lanes' positions. */
#include <string.h>

#include "cli/doctor.h"
#include "cli/markers.h"
#include "cli/relay_config.h"
#include "sink/configured.h"
#include "sink/inspect.h"
#include "sink/kafka.h"

#define FIRST FINDING_KAFKA_UNREACHABLE
#define LAST FINDING_UNCLEAN_ELECTION
#define TOPICS_MAX "500"

static const char positions_sql[] =
    "SELECT n.started FROM outbox.meta m JOIN outbox.lane n ON n.map = m.lane_map ORDER BY n.lane";
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

static void check_positions(struct check *check)
{
    struct lane_markers markers = {NULL, 0, 0};

    if (markers_read(check->doctor->cli, check->kafka, check->patience, &markers) != CLI_OK) {
        doctor_unchecked(check->doctor, FINDING_POSITION_MISMATCH, "the markers cannot be read");
        return;
    }
    for (size_t i = 0; i < markers.count; i++) {
        enum marker_verdict verdict = markers.list[i].verdict;
        char subject[64];

        snprintf(subject, sizeof(subject), "lane %d", markers.list[i].ours.lane);
        if (verdict != MARKER_GOOD && verdict != MARKER_NONE)
            doctor_found(check->doctor, FINDING_POSITION_MISMATCH, subject, "%s: %s", marker_verdict_name(verdict),
                         marker_verdict_text(verdict));
    }
    markers_free(&markers);
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
    outbox_error *err = NULL;

    check->kafka = kafka_of_config(check->config, &err);
    if (check->kafka)
        check->inspector = inspector_open(check->kafka, &err);
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

#include "relay/precheck.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pg/conn.h"
#include "sink/inspect.h"
#include "sink/kafka.h"
#include "sink/progress.h"
#include "sink/topics.h"
#include "sink/trial.h"
#include "source/maintain.h"
#include "source/tick.h"

static bool say(bool good, const char *what, const outbox_error *err)
{
    printf("%s: %s%s%s\n", what, good ? "ok" : "FAILED", err ? ": " : "", err ? outbox_error_message(err) : "");
    return good;
}

static bool check_schema(struct pg *pg, mono_us deadline)
{
    static const char sql[] = "SELECT count(*) FROM outbox.lane WHERE map = (SELECT lane_map FROM outbox.meta)"
                              " AND pg_catalog.has_function_privilege('outbox.tick(boolean, bigint)', 'EXECUTE')";
    outbox_error *err = NULL;
    PGresult *result = NULL;
    bool good = pg_exec(pg, sql, NULL, 0, deadline, &result, &err) == OUTBOX_OK;

    if (good && pg_get_int(result, 0, 0) == 0) {
        outbox__fail(&err, OUTBOX_ESTATE, NULL,
                     "no lanes, or no right to call outbox.tick(): run outboxctl migrate, "
                     "and GRANT outbox_relay to this user");
        good = false;
    }
    PQclear(result);
    say(good, "outbox schema", err);
    outbox_error_free(err);
    return good;
}

/* Would a relay halt here, whatever is in Kafka? */
static bool check_place(struct pg *pg, mono_us deadline)
{
    struct pg_args args = PG_ARGS_INIT;
    outbox_error *err = NULL;
    PGresult *result = NULL;
    char host[256] = "";
    bool good = gethostname(host, sizeof(host) - 1) == 0;

    pg_arg_text(&args, host);
    good = good && pg_exec(pg, "SELECT s.state, s.detail FROM outbox.standing($1) AS s", &args, 0, deadline,
                           &result, &err) == OUTBOX_OK;
    if (good && !PQgetisnull(result, 0, 0)) {
        outbox__fail(&err, OUTBOX_ESTATE, NULL, "%s: %s; see outboxctl doctor", PQgetvalue(result, 0, 0),
                     PQgetvalue(result, 0, 1));
        good = false;
    }
    PQclear(result);
    say(good, "outbox enabled here", err);
    outbox_error_free(err);
    return good;
}

static bool check_bell(const struct relay_config *config, struct pg *pg, mono_us deadline)
{
    outbox_error *err = NULL;
    bool direct = false;
    bool good;

    if (strcmp(config->wake, "listen") != 0)
        return true;
    good = bell_check_direct(pg, deadline, &direct, &err) == OUTBOX_OK;
    if (good && !direct) {
        outbox__fail(&err, OUTBOX_ESTATE, NULL, "there is a pooler in between: connect directly, or set wake=poll");
        good = false;
    }
    say(good, "direct connection", err);
    outbox_error_free(err);
    return good;
}

/* Without it the relay works, and nothing that has expired is removed. */
static void check_maintenance(const struct relay_config *config)
{
    bool own = config->maintenance_dsn && config->maintenance_dsn[0];
    struct pg_conn_settings settings = {own ? config->maintenance_dsn : config->dsn, "outbox-relay check",
                                        config->connect_timeout};
    outbox_error *err = NULL;
    struct pg *pg = pg_open(&settings, &err);
    bool may_remove = false;

    if (pg && maintain_begin(pg, clock_now() + config->statement_timeout, &may_remove, &err) == OUTBOX_OK &&
        !may_remove)
        printf("maintenance: warning: nothing that has expired will be removed: GRANT outbox_maintenance TO \"%s\"%s\n",
               PQuser(pg_raw(pg)), pg_version(pg) >= 160000 ? " WITH INHERIT FALSE" : "");
    if (err)
        printf("maintenance: warning: %s\n", outbox_error_message(err));
    pg_close(pg);
    outbox_error_free(err);
}

/* The topics that routes lead to.  NULL: they could not be read. */
static PGresult *read_topics(struct pg *pg, mono_us deadline)
{
    static const char sql[] = "SELECT DISTINCT topic FROM outbox.route WHERE topic IS NOT NULL ORDER BY 1 LIMIT 200";
    PGresult *result = NULL;

    return pg_exec(pg, sql, NULL, 0, deadline, &result, NULL) == OUTBOX_OK ? result : NULL;
}

static bool check_postgres(const struct relay_config *config, PGresult **ret_topics)
{
    struct pg_conn_settings settings = {config->dsn, "outbox-relay check", config->connect_timeout};
    mono_us deadline = clock_now() + config->connect_timeout + config->statement_timeout;
    outbox_error *err = NULL;
    struct pg *pg = pg_open(&settings, &err);
    bool good = say(pg != NULL, "PostgreSQL", err);

    if (pg && pg_weakness(pg_raw(pg)))
        printf("PostgreSQL: warning: %s\n", pg_weakness(pg_raw(pg)));
    if (pg) {
        good = check_schema(pg, deadline) && check_place(pg, deadline) && check_bell(config, pg, deadline);
        *ret_topics = read_topics(pg, deadline);
    }
    if (good)
        check_maintenance(config);
    pg_close(pg);
    outbox_error_free(err);
    return good;
}

/* ---- Kafka ---- */

struct cluster {
    const struct relay_config *config;
    const struct kafka *kafka;
    struct topics *topics;
};

static mono_us patience(const struct cluster *cluster)
{
    return clock_now() + cluster->config->transaction_timeout;
}

/* A topic of events: is it there, or could it be made?  One that is missing is only
 * reported: its events are parked, the others flow. */
static bool check_topic(const struct cluster *cluster, const char *name)
{
    const struct topic_wish wish = {.name = name, .partitions = cluster->config->topic_partitions,
                                    .replication = cluster->config->topic_replication, .trial = true};
    outbox_error *err = NULL;
    int partitions = 0;
    enum sink_result result = topics_query(cluster->topics, name, patience(cluster), &partitions, &err);

    if (result == SINK_OK && partitions == 0 && cluster->config->create_topics)
        result = topics_create(cluster->topics, &wish, patience(cluster), &err);
    else if (result == SINK_OK && partitions == 0)
        printf("Kafka topics: warning: topic \"%s\" does not exist: create it, or set create_topics=yes\n", name);
    if (result != SINK_OK)
        say(false, "Kafka topics", err);
    outbox_error_free(err);
    return result == SINK_OK;
}

static bool check_topics(const struct cluster *cluster, const PGresult *names)
{
    bool good = true;

    for (int row = 0; names && row < PQntuples(names); row++)
        good = check_topic(cluster, PQgetvalue(names, row, 0)) && good;
    return good && say(true, "Kafka topics", NULL);
}

static bool check_progress_reading(const struct cluster *cluster)
{
    outbox_error *err = NULL;
    struct progress *progress = progress_open(cluster->kafka, &err);
    bool good = progress && progress_try(progress, patience(cluster), &err) == SINK_OK;

    progress_close(progress);
    say(good, "Kafka progress topic, reading", err);
    outbox_error_free(err);
    return good;
}

/* Not compacted, the topic would keep what is offered to it. */
static bool check_progress_writing(const struct cluster *cluster)
{
    const char *name = kafka_progress_topic(cluster->kafka);
    outbox_error *err = NULL;
    struct inspector *inspector = inspector_open(cluster->kafka, &err);
    struct topic_facts facts = {0};
    bool good = inspector && inspect_topic(inspector, name, patience(cluster), &facts, &err) == SINK_OK;

    inspector_close(inspector);
    if (good && !facts.configured) {
        printf("Kafka progress topic: warning: its cleanup.policy, which must be compact, cannot be read, so"
               " writing was not tried: give the ACL DescribeConfigs on topic \"%s\"\n", name);
        return true;
    }
    if (good && strcmp(facts.cleanup, "compact") != 0) {
        outbox__fail(&err, OUTBOX_ESTATE, NULL, "topic \"%s\" has cleanup.policy=%s, by which Kafka deletes positions;"
                     " set it to compact", name, facts.cleanup);
        good = false;
    }
    good = good && trial_write(cluster->kafka, patience(cluster), &err) == SINK_OK;
    say(good, "Kafka progress topic, writing", err);
    outbox_error_free(err);
    return good;
}

static bool check_transactions(const struct cluster *cluster)
{
    outbox_error *err = NULL;
    bool good = trial_transactions(cluster->kafka, patience(cluster), &err) == SINK_OK;

    say(good, "Kafka transactions", err);
    outbox_error_free(err);
    return good;
}

/* All of them, so that one run shows all that is missing. */
static bool check_rights(const struct cluster *cluster, bool progress_exists, const PGresult *topics)
{
    bool reading = !progress_exists || check_progress_reading(cluster);
    bool writing = !progress_exists || check_progress_writing(cluster);
    bool transactions = check_transactions(cluster);

    return check_topics(cluster, topics) && transactions && reading && writing;
}

static bool check_cluster(const struct relay_config *config, const struct kafka *kafka, const PGresult *topics)
{
    outbox_error *err = NULL;
    struct cluster cluster = {config, kafka, topics_open(kafka, &err)};
    const char *name = kafka_progress_topic(kafka);
    const struct topic_wish wish = {.name = name, .partitions = 1, .replication = config->topic_replication,
                                    .trial = true};
    int partitions = 0;
    bool good = cluster.topics &&
                topics_query(cluster.topics, name, patience(&cluster), &partitions, &err) == SINK_OK;

    if (good && partitions == 0 && !config->create_topics) {
        outbox__fail(&err, OUTBOX_ESTATE, "create_topics", "topic %s does not exist: create it (compacted), "
                     "or set create_topics=yes", name);
        good = false;
    } else if (good && partitions == 0) {
        good = topics_create(cluster.topics, &wish, patience(&cluster), &err) == SINK_OK;
    }
    say(good, "Kafka", err);
    outbox_error_free(err);
    if (good)
        good = check_rights(&cluster, partitions > 0, topics);
    topics_close(cluster.topics);
    return good;
}

static bool check_kafka(const struct relay_config *config, const PGresult *topics)
{
    struct kafka_property *properties = calloc(config->kafka_count + 1, sizeof(*properties));
    struct kafka_settings settings = {properties, config->kafka_count, config->topic_prefix,
                                      config->create_topics, config->topic_partitions,
                                      config->topic_replication, config->transaction_timeout,
                                      config->insecure};
    outbox_error *err = NULL;
    struct kafka *kafka;
    bool good;

    if (!properties)
        return say(false, "memory", NULL);
    for (size_t i = 0; i < config->kafka_count; i++)
        properties[i] = (struct kafka_property){config->kafka[i].name, config->kafka[i].value};
    kafka = kafka_new(&settings, &err);
    good = kafka ? check_cluster(config, kafka, topics) : say(false, "Kafka settings", err);
    kafka_free(kafka);
    free(properties);
    outbox_error_free(err);
    return good;
}

/* A file without certificates is found by the first webhook only: libcurl reads it then. */
static bool check_webhooks(const struct relay_config *config)
{
    outbox_error *err = NULL;
    bool good = !config->webhooks || !config->webhook_ca_file || access(config->webhook_ca_file, R_OK) == 0;

    if (good)
        return true;
    outbox__fail(&err, OUTBOX_EINVAL, "webhook_ca_file", "webhook_ca_file: cannot read \"%s\": %s",
                 config->webhook_ca_file, strerror(errno));
    say(false, "webhooks", err);
    outbox_error_free(err);
    return false;
}

bool precheck(const struct relay_config *config)
{
    PGresult *topics = NULL;
    bool postgres = check_postgres(config, &topics);
    bool kafka = check_kafka(config, topics);

    PQclear(topics);
    return check_webhooks(config) && postgres && kafka;
}

#include "relay/precheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/conn.h"
#include "sink/kafka.h"
#include "sink/topics.h"
#include "source/tick.h"

static bool say(bool good, const char *what, const outbox_error *err)
{
    printf("%s: %s%s%s\n", what, good ? "ok" : "FAILED", err ? ": " : "", err ? outbox_error_message(err) : "");
    return good;
}

static bool check_schema(struct pg *pg, mono_us deadline)
{
    static const char sql[] = "SELECT count(*) FROM outbox.lane WHERE map = (SELECT lane_map FROM outbox.meta)"
                              " AND pg_catalog.has_function_privilege('outbox.tick(boolean)', 'EXECUTE')";
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

static bool check_postgres(const struct relay_config *config)
{
    struct pg_conn_settings settings = {config->dsn, "outbox-relay check", config->connect_timeout};
    mono_us deadline = clock_now() + config->connect_timeout + config->statement_timeout;
    outbox_error *err = NULL;
    struct pg *pg = pg_open(&settings, &err);
    bool good = say(pg != NULL, "PostgreSQL", err);

    if (pg)
        good = check_schema(pg, deadline) && check_bell(config, pg, deadline);
    pg_close(pg);
    outbox_error_free(err);
    return good;
}

static bool check_cluster(const struct relay_config *config, const struct kafka *kafka)
{
    mono_us deadline = clock_now() + config->transaction_timeout;
    outbox_error *err = NULL;
    struct topics *topics = topics_open(kafka, &err);
    int partitions = 0;
    bool good = topics && topics_query(topics, kafka_progress_topic(kafka), deadline, &partitions, &err) == SINK_OK;

    if (good && partitions == 0 && !config->create_topics) {
        outbox__fail(&err, OUTBOX_ESTATE, "create_topics", "topic %s does not exist: create it (compacted), "
                     "or set create_topics=yes", kafka_progress_topic(kafka));
        good = false;
    }
    topics_close(topics);
    say(good, "Kafka", err);
    outbox_error_free(err);
    return good;
}

static bool check_kafka(const struct relay_config *config)
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
    good = kafka ? check_cluster(config, kafka) : say(false, "Kafka settings", err);
    kafka_free(kafka);
    free(properties);
    outbox_error_free(err);
    return good;
}

bool precheck(const struct relay_config *config)
{
    bool postgres = check_postgres(config);
    bool kafka = check_kafka(config);

    return postgres && kafka;
}

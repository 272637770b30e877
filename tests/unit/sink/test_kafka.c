#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>

#include "runtime/log.h"
#include "sink/kafka.h"

static struct kafka *try_new(const struct kafka_property *properties, size_t count, outbox_error **reterr)
{
    const struct kafka_settings settings = {.properties = properties,
                                            .property_count = count,
                                            .prefix = "shop",
                                            .topic_partitions = -1,
                                            .topic_replication = -1,
                                            .transaction_timeout = SECONDS(10)};

    return kafka_new(&settings, reterr);
}

static void assert_property(const rd_kafka_conf_t *conf, const char *name, const char *wanted)
{
    char value[256];
    size_t size = sizeof(value);

    assert_int_equal(rd_kafka_conf_get(conf, name, value, &size), RD_KAFKA_CONF_OK);
    assert_string_equal(value, wanted);
}

static void producer_has_what_it_needs(void **state)
{
    const struct kafka_property properties[] = {
        {"bootstrap.servers", "127.0.0.1:1"}, {"linger.ms", "7"}, {"compression.codec", "lz4"}};
    struct kafka *kafka = try_new(properties, 3, NULL);
    struct kafka_client client = {.kafka = kafka};
    rd_kafka_conf_t *conf;

    (void)state;
    assert_non_null(kafka);
    conf = kafka_producer_conf(kafka, &client, "shop.x.1.0", NULL);
    assert_non_null(conf);
    assert_property(conf, "transactional.id", "shop.x.1.0");
    assert_property(conf, "transaction.timeout.ms", "10000");
    assert_property(conf, "enable.idempotence", "true");
    assert_property(conf, "partitioner", "murmur2_random");
    assert_property(conf, "socket.nagle.disable", "true");
    assert_property(conf, "retry.backoff.ms", "2");
    assert_property(conf, "queue.buffering.max.kbytes", "32768");
    assert_property(conf, "allow.auto.create.topics", "false");
    assert_property(conf, "delivery.report.only.error", "false");
    assert_property(conf, "client.id", "outbox-relay");
    /* the user's */
    assert_property(conf, "bootstrap.servers", "127.0.0.1:1");
    assert_property(conf, "linger.ms", "7");
    assert_property(conf, "compression.codec", "lz4");
    rd_kafka_conf_destroy(conf);
    kafka_free(kafka);
}

static void consumer_has_what_it_needs(void **state)
{
    const struct kafka_property properties[] = {{"bootstrap.servers", "127.0.0.1:1"}, {"client.id", "mine"}};
    struct kafka *kafka = try_new(properties, 2, NULL);
    struct kafka_client client = {.kafka = kafka};
    rd_kafka_conf_t *conf;

    (void)state;
    assert_non_null(kafka);
    conf = kafka_consumer_conf(kafka, &client, NULL);
    assert_non_null(conf);
    assert_property(conf, "isolation.level", "read_committed");
    assert_property(conf, "enable.partition.eof", "true");
    assert_property(conf, "auto.offset.reset", "error");
    assert_property(conf, "allow.auto.create.topics", "false");
    assert_property(conf, "client.id", "mine");
    /* its queries have no other deadline */
    assert_property(conf, "socket.timeout.ms", "10000");
    rd_kafka_conf_destroy(conf);
    kafka_free(kafka);
}

static void refuse(const struct kafka_property *property, const char *reason)
{
    const struct kafka_property properties[] = {{"bootstrap.servers", "127.0.0.1:1"}, *property};
    outbox_error *error = NULL;

    assert_null(try_new(properties, 2, &error));
    assert_int_equal(outbox_error_code(error), OUTBOX_EINVAL);
    assert_string_equal(outbox_error_field(error), property->name);
    if (!strstr(outbox_error_message(error), reason))
        fail_msg("\"%s\" does not say \"%s\"", outbox_error_message(error), reason);
    outbox_error_free(error);
}

static void properties_of_ours_are_refused(void **state)
{
    (void)state;
    refuse(&(struct kafka_property){"transactional.id", "x"}, "cannot be set");
    refuse(&(struct kafka_property){"transaction.timeout.ms", "1000"}, "transaction_timeout");
    refuse(&(struct kafka_property){"group.id", "x"}, "no consumer group");
    refuse(&(struct kafka_property){"plugin.library.paths", "x"}, "plugins");
    refuse(&(struct kafka_property){"enable.idempotence", "false"}, "must be \"true\"");
    refuse(&(struct kafka_property){"partitioner", "random"}, "must be \"murmur2_random\"");
    refuse(&(struct kafka_property){"isolation.level", "read_uncommitted"}, "must be \"read_committed\"");
    refuse(&(struct kafka_property){"allow.auto.create.topics", "true"}, "must be \"false\"");
}

static bool accepted(const char *servers, const char *protocol, bool insecure)
{
    const struct kafka_property properties[] = {{"bootstrap.servers", servers}, {"security.protocol", protocol}};
    const struct kafka_settings settings = {.properties = properties,
                                            .property_count = protocol ? 2 : 1,
                                            .prefix = "outbox",
                                            .topic_partitions = -1,
                                            .topic_replication = -1,
                                            .transaction_timeout = SECONDS(10),
                                            .insecure = insecure};
    outbox_error *error = NULL;
    struct kafka *kafka = kafka_new(&settings, &error);

    if (!kafka) {
        assert_int_equal(outbox_error_code(error), OUTBOX_EINVAL);
        assert_non_null(strstr(outbox_error_message(error), "encryption: set kafka.security.protocol=SASL_SSL"));
    }
    outbox_error_free(error);
    kafka_free(kafka);
    return kafka != NULL;
}

static void other_machines_only_with_tls(void **state)
{
    static const char *const others[] = {"kafka.example.org:9092", "kafka.example.org", "192.0.2.1:9092",
                                         "[2001:db8::1]:9092", "localhost:1, kafka.example.org:2",
                                         "PLAINTEXT://10.0.0.1:9092", "127.0.0.1.example.org:1"};
    static const char *const ours[] = {"localhost:1", "127.0.0.1:1", "127.8.0.1", "[::1]:1", "LOCALHOST",
                                       "PLAINTEXT://127.0.0.1:1", "localhost:1, 127.0.0.1:2"};

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(accepted(others[i], NULL, false));
        assert_false(accepted(others[i], "plaintext", false));
        assert_false(accepted(others[i], "SASL_PLAINTEXT", false));
        assert_true(accepted(others[i], NULL, true));
        assert_true(accepted(others[i], "ssl", false));
        assert_true(accepted(others[i], "SASL_SSL", false));
    }
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        assert_true(accepted(ours[i], "plaintext", false));
}

static void mistakes_are_refused_by_name(void **state)
{
    (void)state;
    refuse(&(struct kafka_property){"linger.msec", "1"}, "kafka.linger.msec");
    refuse(&(struct kafka_property){"linger.ms", "soon"}, "kafka.linger.ms");
}

static void secrets_do_not_appear_in_errors(void **state)
{
    const struct kafka_property properties[] = {
        {"bootstrap.servers", "127.0.0.1:1"}, {"sasl.password", "hunter2"}, {"compression.codec", "hunter2"}};
    outbox_error *error = NULL;

    (void)state;
    assert_null(try_new(properties, 3, &error));
    assert_null(strstr(outbox_error_message(error), "hunter2"));
    assert_non_null(strstr(outbox_error_message(error), "*******"));
    outbox_error_free(error);
}

/* What librdkafka logs goes through the callback that the configuration carries. */
static void secrets_do_not_appear_in_logs(void **state)
{
    const struct kafka_property properties[] = {
        {"bootstrap.servers", "127.0.0.1:1"}, {"ssl.key.password", "hunter2"}, {"client.id", "hunter2"}};
    struct kafka *kafka = try_new(properties, 3, NULL);
    struct kafka_client client = {.kafka = kafka};
    char text[256], logged[8192];
    int pipe_fds[2], saved;
    rd_kafka_conf_t *conf;
    rd_kafka_t *handle;
    ssize_t size;

    (void)state;
    assert_non_null(kafka);
    conf = kafka_producer_conf(kafka, &client, NULL, NULL);
    /* Says the client.id in its first lines. */
    assert_int_equal(rd_kafka_conf_set(conf, "debug", "generic", text, sizeof(text)), RD_KAFKA_CONF_OK);
    assert_int_equal(pipe(pipe_fds), 0);
    log_set_level(LOG_LEVEL_DEBUG);
    saved = dup(STDERR_FILENO);
    dup2(pipe_fds[1], STDERR_FILENO);
    handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (handle)
        rd_kafka_destroy(handle);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipe_fds[1]);
    size = read(pipe_fds[0], logged, sizeof(logged) - 1);
    close(pipe_fds[0]);
    kafka_free(kafka);
    assert_non_null(handle);
    assert_true(size > 0);
    logged[size] = '\0';
    assert_non_null(strstr(logged, "event=kafka"));
    assert_null(strstr(logged, "hunter2"));
    assert_non_null(strstr(logged, "*******"));
}

static void settings_are_checked(void **state)
{
    const struct kafka_property bootstrap = {"bootstrap.servers", "127.0.0.1:1"};
    const struct kafka_settings good = {.properties = &bootstrap,
                                        .property_count = 1,
                                        .prefix = "shop",
                                        .topic_partitions = 3,
                                        .topic_replication = 1,
                                        .transaction_timeout = SECONDS(10)};
    struct kafka_settings bad[6];
    static const char *const fields[] = {"bootstrap.servers",   "prefix",           "prefix",
                                         "transaction_timeout", "topic_partitions", "topic_replication"};
    struct kafka *kafka = kafka_new(&good, NULL);

    (void)state;
    assert_non_null(kafka);
    assert_string_equal(kafka_progress_topic(kafka), "shop.progress");
    assert_int_equal(kafka_topic_partitions(kafka), 3);
    kafka_free(kafka);
    for (size_t i = 0; i < 6; i++)
        bad[i] = good;
    bad[0].property_count = 0;
    bad[1].prefix = "";
    bad[2].prefix = "a/b";
    bad[3].transaction_timeout = MILLISECONDS(999);
    bad[4].topic_partitions = 0;
    bad[5].topic_replication = -2;
    for (size_t i = 0; i < 6; i++) {
        outbox_error *error = NULL;

        assert_null(kafka_new(&bad[i], &error));
        assert_string_equal(outbox_error_field(error), fields[i]);
        outbox_error_free(error);
    }
}

static void unfit_versions_are_refused(void **state)
{
    static const struct {
        int version;
        int wanted;
    } cases[] = {{0x010902ff, OUTBOX_ESTATE},
                 {0x020001ff, OUTBOX_ESTATE},
                 {0x020002ff, 1},
                 {0x020403ff, 1},
                 {0x020500ff, OUTBOX_ESTATE},
                 {0x020503ff, 1},
                 {0x020600ff, 0},
                 {0x020901ff, 0},
                 {0x020a00ff, OUTBOX_ESTATE},
                 {0x020a01ff, 0},
                 {0x020f00ff, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(kafka_check_version(cases[i].version, NULL), cases[i].wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(producer_has_what_it_needs),
        cmocka_unit_test(consumer_has_what_it_needs),
        cmocka_unit_test(properties_of_ours_are_refused),
        cmocka_unit_test(other_machines_only_with_tls),
        cmocka_unit_test(mistakes_are_refused_by_name),
        cmocka_unit_test(secrets_do_not_appear_in_errors),
        cmocka_unit_test(secrets_do_not_appear_in_logs),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(unfit_versions_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

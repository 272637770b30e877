#include "config/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "config/options.h"

#define WORDS_MAX 32

static char path[64]; /* of the configuration file of the present test */
static outbox_error *err;

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Takes words up to NULL; the name of the program stands before them. */
static struct config *load(const char *const environment[], const char *const words[])
{
    char *argv[WORDS_MAX] = {(char *)(uintptr_t) "outbox-relay"};
    char *variables[WORDS_MAX] = {NULL};
    int argc = 1;

    for (size_t i = 0; words && words[i]; i++)
        argv[argc++] = (char *)(uintptr_t)words[i];
    for (size_t i = 0; environment && environment[i]; i++)
        variables[i] = (char *)(uintptr_t)environment[i];
    outbox_error_free(err);
    err = NULL;
    return config_load(argc, argv, variables, &err);
}

#define LIST(...)                                                                                            \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }
#define NEEDED "--dsn=dbname=x", "--kafka.bootstrap.servers=a:9092"
#define LOAD_FLAGS(...) load(NULL, LIST(NEEDED, __VA_ARGS__))

/* Loading fails, and the message has each of the texts. */
static void assert_fails(const char *const environment[], const char *const words[],
                         const char *const texts[])
{
    struct config *config = load(environment, words);

    assert_null(config);
    assert_non_null(err);
    assert_int_equal(outbox_error_code(err), OUTBOX_EINVAL);
    for (size_t i = 0; texts[i]; i++) {
        if (!strstr(outbox_error_message(err), texts[i]))
            fail_msg("\"%s\" is not in: %s", texts[i], outbox_error_message(err));
    }
}

#define FLAGS_FAIL(words, ...) assert_fails(NULL, words, LIST(__VA_ARGS__))

static void assert_file_fails(const char *text, const char *const texts[])
{
    write_file(text);
    assert_fails(NULL, LIST("--config", path, NEEDED), texts);
}

static char *printed(const struct config *config)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    if (config)
        config_print(config, out);
    else
        config_help(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void defaults(void **state)
{
    struct config *config = LOAD_FLAGS("--config=/dev/null");
    const struct relay_config *relay;
    char pid[32];

    (void)state;
    assert_non_null(config);
    relay = config_relay(config);
    assert_int_equal(config_action(config), CONFIG_RUN);
    snprintf(pid, sizeof(pid), ":%ld", (long)getpid());
    assert_non_null(strstr(relay->name, pid));
    assert_string_equal(relay->dsn, "dbname=x");
    assert_string_equal(relay->wake, "listen");
    assert_string_equal(relay->publish, "exactly_once");
    assert_int_equal(relay->poll_interval, MILLISECONDS(100));
    assert_int_equal(relay->fallback_poll, SECONDS(1));
    assert_int_equal(relay->lease, SECONDS(5));
    assert_int_equal(relay->lease_renew, SECONDS(1));
    assert_int_equal(relay->transaction_timeout, SECONDS(10));
    assert_int_equal(relay->connect_timeout, SECONDS(5));
    assert_int_equal(relay->statement_timeout, SECONDS(30));
    assert_int_equal(relay->shutdown_timeout, SECONDS(5));
    assert_int_equal(relay->batch_events, 5000);
    assert_int_equal(relay->batch_bytes, 16 << 20);
    assert_string_equal(relay->topic_prefix, "outbox");
    assert_false(relay->create_topics);
    assert_int_equal(relay->topic_partitions, -1);
    assert_int_equal(relay->topic_replication, -1);
    assert_true(relay->webhooks);
    assert_string_equal(relay->webhook_allow, "");
    assert_null(relay->webhook_ca_file);
    assert_int_equal(relay->webhook_max_in_flight, 256);
    assert_false(relay->insecure);
    assert_int_equal(relay->log_level, LOG_LEVEL_INFO);
    assert_int_equal(relay->kafka_count, 1);
    config_free(config);
}

/* Each source alone, then all at once. */
static void precedence(void **state)
{
    const char *const environment[] = {"OUTBOX_LEASE=7s", NULL};
    struct config *config;

    (void)state;
    write_file("lease = 6s\n");
    config = LOAD_FLAGS("--config", path);
    assert_int_equal(config_relay(config)->lease, SECONDS(6));
    config_free(config);

    config = load(environment, LIST(NEEDED, "--config", path));
    assert_int_equal(config_relay(config)->lease, SECONDS(7));
    config_free(config);

    config = load(environment, LIST("--lease=8s", NEEDED, "--config", path));
    assert_int_equal(config_relay(config)->lease, SECONDS(8));
    config_free(config);

    config = load(environment, LIST("--lease=8s", NEEDED, "--lease", "9s"));
    assert_int_equal(config_relay(config)->lease, SECONDS(9));
    config_free(config);
}

static void the_file_by_the_environment(void **state)
{
    char variable[96];
    struct config *config;

    (void)state;
    write_file("lease = 6s\n");
    snprintf(variable, sizeof(variable), "OUTBOX_CONFIG=%s", path);
    config = load(LIST(variable), LIST(NEEDED));
    assert_int_equal(config_relay(config)->lease, SECONDS(6));
    config_free(config);
    config = load(LIST(variable), LIST(NEEDED, "--config=/dev/null"));
    assert_int_equal(config_relay(config)->lease, SECONDS(5));
    config_free(config);
}

static void every_type_is_read(void **state)
{
    struct config *config =
        LOAD_FLAGS("--name=r 1", "--wake=poll", "--poll-interval", "20ms", "--batch_bytes=1MiB",
                   "--batch_events", "7", "--webhook_allow=10.0.0.0/8, fd00::/8 ,127.0.0.1",
                   "--create_topics", "--webhooks", "no", "--insecure=on", "--log_level=debug",
                   "--retention=forever", "--delivery_retention=2d");
    const struct relay_config *relay;

    (void)state;
    assert_non_null(config);
    relay = config_relay(config);
    assert_string_equal(relay->name, "r 1");
    assert_string_equal(relay->wake, "poll");
    assert_int_equal(relay->poll_interval, MILLISECONDS(20));
    assert_int_equal(relay->batch_bytes, 1 << 20);
    assert_int_equal(relay->batch_events, 7);
    assert_string_equal(relay->webhook_allow, "10.0.0.0/8, fd00::/8 ,127.0.0.1");
    assert_true(relay->create_topics);
    assert_false(relay->webhooks);
    assert_true(relay->insecure);
    assert_int_equal(relay->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(relay->retention, CONFIG_FOREVER);
    assert_int_equal(relay->delivery_retention, SECONDS(2 * 86400));
    config_free(config);
}

static void actions(void **state)
{
    struct config *config;

    (void)state;
    config = load(NULL, LIST("--help", "--nonsense"));
    assert_int_equal(config_action(config), CONFIG_HELP);
    config_free(config);
    config = load(LIST("OUTBOX_LEASE=nonsense"), LIST("--version"));
    assert_int_equal(config_action(config), CONFIG_VERSION);
    config_free(config);
    config = LOAD_FLAGS("--check");
    assert_int_equal(config_action(config), CONFIG_CHECK);
    config_free(config);
    /* --check checks. */
    FLAGS_FAIL(LIST("--check", NEEDED, "--lease=1"), "flag --lease", "lease");
}

static void unknown_names(void **state)
{
    (void)state;
    FLAGS_FAIL(LIST(NEEDED, "--leese=5s"), "flag --leese", "no option leese", "did you mean lease?");
    FLAGS_FAIL(LIST(NEEDED, "--leese", "5s"), "did you mean lease?");
    FLAGS_FAIL(LIST(NEEDED, "--chekc"), "did you mean check?");
    FLAGS_FAIL(LIST(NEEDED, "--zzzzzzzz=1"), "no option zzzzzzzz", "--help");
    FLAGS_FAIL(LIST(NEEDED, "lease=5s"), "\"lease=5s\"", "not a flag");
    FLAGS_FAIL(LIST(NEEDED, "-l"), "\"-l\"", "not a flag");
    FLAGS_FAIL(LIST(NEEDED, "--lease"), "flag --lease", "needs a value");
    FLAGS_FAIL(LIST(NEEDED, "--kafka.debug"), "flag --kafka.debug", "needs a value");
    FLAGS_FAIL(LIST(NEEDED, "--config"), "flag --config", "needs a value");
    FLAGS_FAIL(LIST(NEEDED, "--create_topics", "maybe"), "\"maybe\"");
    assert_file_fails("# comment\n\nleese = 5s\n", LIST(path, ":3:", "leese", "did you mean lease?"));
    /* "check" is a flag only. */
    assert_file_fails("check = yes\n", LIST(":1:", "check"));
}

static void unknown_variables_are_no_error(void **state)
{
    struct config *config =
        load(LIST("OUTBOX_LEESE=5s", "OUTBOX_BUILD=/x", "OUTBOX_FAULT=y", "OTHER=1", "OUTBOX_LEASE"),
             LIST(NEEDED));

    (void)state;
    assert_non_null(config);
    assert_string_equal(config_warning(config, 0),
                        "OUTBOX_leese is not an option; did you mean OUTBOX_LEASE?");
    assert_null(config_warning(config, 1));
    assert_int_equal(config_relay(config)->lease, SECONDS(5));
    config_free(config);
}

static void bad_values(void **state)
{
    (void)state;
    FLAGS_FAIL(LIST(NEEDED, "--lease=5"), "flag --lease", "lease: must be", "500ms", "5m", "is \"5\"");
    FLAGS_FAIL(LIST(NEEDED, "--lease=499ms"), "500ms");
    FLAGS_FAIL(LIST(NEEDED, "--lease=301s"), "to 5m");
    FLAGS_FAIL(LIST(NEEDED, "--wake=sometimes"), "one of: listen poll", "sometimes");
    FLAGS_FAIL(LIST(NEEDED, "--wake=list"), "one of: listen poll");
    FLAGS_FAIL(LIST(NEEDED, "--wake="), "one of: listen poll");
    FLAGS_FAIL(LIST(NEEDED, "--batch_events=0"), "from 1 to 100000");
    FLAGS_FAIL(LIST(NEEDED, "--batch_events=x"), "from 1 to 100000", "is \"x\"");
    FLAGS_FAIL(LIST(NEEDED, "--batch_bytes=1KiB"), "from 64KiB to 1GiB");
    FLAGS_FAIL(LIST(NEEDED, "--topic_partitions=0"), "not 0");
    FLAGS_FAIL(LIST(NEEDED, "--topic_partitions=-2"), "from -1");
    FLAGS_FAIL(LIST(NEEDED, "--topic_prefix=a b"), "letters, digits");
    FLAGS_FAIL(LIST(NEEDED, "--topic_prefix="), "1 to 100 bytes");
    FLAGS_FAIL(LIST(NEEDED, "--name=a\nb"), "name: must be");
    FLAGS_FAIL(LIST(NEEDED, "--insecure=perhaps"), "yes or no");
    FLAGS_FAIL(LIST(NEEDED, "--webhook_allow=10.0.0.0/33"), "networks");
    FLAGS_FAIL(LIST(NEEDED, "--webhook_allow=10.0.0.0/8,,127.0.0.1"), "networks");
    FLAGS_FAIL(LIST(NEEDED, "--webhook_allow=example.org"), "networks");
    FLAGS_FAIL(LIST(NEEDED, "--webhook_allow=::1/129"), "networks");
    assert_fails(LIST("OUTBOX_LEASE=1"), LIST(NEEDED), LIST("variable OUTBOX_LEASE", "lease: must be"));
    assert_file_fails("[relay]\nlease = 1\n", LIST(path, ":2:", "lease: must be"));
}

static void what_one_option_cannot_tell(void **state)
{
    (void)state;
    FLAGS_FAIL(LIST("--kafka.bootstrap.servers=a"), "dsn: is missing", "OUTBOX_DSN");
    FLAGS_FAIL(LIST("--dsn="), "kafka.bootstrap.servers: is missing");
    FLAGS_FAIL(LIST(NEEDED, "--lease=1s"), "lease_renew", "half of lease");
    config_free(LOAD_FLAGS("--lease=1s", "--lease_renew=500ms"));
    assert_null(err);
}

static void kafka_properties(void **state)
{
    const struct relay_config *relay;
    struct config *config;

    (void)state;
    write_file("kafka.linger.ms = 1\n[kafka]\nbootstrap.servers = f:1\nkafka.debug = eos\n");
    config = load(LIST("OUTBOX_KAFKA_SASL_PASSWORD=p=q", "OUTBOX_KAFKA_LINGER_MS=2"),
                  LIST("--dsn=", "--config", path, "--kafka.debug=broker"));
    assert_non_null(config);
    relay = config_relay(config);
    assert_int_equal(relay->kafka_count, 4);
    assert_string_equal(relay->kafka[0].name, "linger.ms");
    assert_string_equal(relay->kafka[0].value, "2");
    assert_string_equal(relay->kafka[1].name, "bootstrap.servers");
    assert_string_equal(relay->kafka[1].value, "f:1");
    assert_string_equal(relay->kafka[2].name, "debug");
    assert_string_equal(relay->kafka[2].value, "broker");
    assert_string_equal(relay->kafka[3].name, "sasl.password");
    assert_string_equal(relay->kafka[3].value, "p=q");
    config_free(config);
}

static void reserved_properties(void **state)
{
    static const char *const names[] = {
        "transactional.id",   "enable.idempotence", "acks",     "request.required.acks", "isolation.level",
        "enable.auto.commit", "message.timeout.ms", "group.id", "transaction.timeout.ms"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char flag[96], named[96];

        snprintf(flag, sizeof(flag), "--kafka.%s=1", names[i]);
        snprintf(named, sizeof(named), "kafka.%s cannot be set: ", names[i]);
        FLAGS_FAIL(LIST(NEEDED, flag), "flag --kafka.", named);
    }
    assert_fails(LIST("OUTBOX_KAFKA_ACKS=1"), LIST(NEEDED),
                 LIST("variable OUTBOX_KAFKA_ACKS", "exactly once"));
    assert_file_fails("[kafka]\nacks = 1\n", LIST(":2:", "kafka.acks cannot be set"));
    FLAGS_FAIL(LIST(NEEDED, "--kafka.=1"), "not a property");
    FLAGS_FAIL(LIST(NEEDED, "--kafka.A B=1"), "not a property");
}

static void files(void **state)
{
    char expected[700] = "--kafka.x=", text[1400];
    struct config *config;

    (void)state;
    /* Longer than a line of inih, with what it would take for comments and sections in it. */
    for (size_t i = strlen(expected); i < sizeof(expected) - 1; i++)
        expected[i] = "abc;def#ghi[jkl = "[i % 18];
    expected[sizeof(expected) - 2] = 'z';
    snprintf(text, sizeof(text),
             "\xef\xbb\xbf; %0400d ; x = y\n[any section]\nname = %s ; a comment of its own = 1\n"
             "topic_prefix : p\nwebhook_allow = 10.0.0.0/8,\n  127.0.0.0/8\n\tlease=6s\n",
             0, "relay one");
    write_file(text);
    config = LOAD_FLAGS("--config", path);
    assert_null(config); /* the last line continues the one above */
    assert_non_null(strstr(outbox_error_message(err), "webhook_allow"));
    *strstr(text, "\tlease") = '\0';
    write_file(text);
    config = LOAD_FLAGS("--config", path);
    assert_non_null(config);
    assert_string_equal(config_relay(config)->name, "relay one");
    assert_string_equal(config_relay(config)->topic_prefix, "p");
    assert_string_equal(config_relay(config)->webhook_allow, "10.0.0.0/8, 127.0.0.0/8");
    config_free(config);

    snprintf(text, sizeof(text), "kafka.client.rack = %s\nlease = 6s", expected);
    write_file(text);
    config = LOAD_FLAGS("--config", path);
    assert_non_null(config);
    assert_string_equal(config_relay(config)->kafka[0].value, expected);
    assert_int_equal(config_relay(config)->lease, SECONDS(6));
    config_free(config);
}

static void bad_files(void **state)
{
    char text[1000];

    (void)state;
    FLAGS_FAIL(LIST(NEEDED, "--config=/nonexistent/file"), "/nonexistent/file", "cannot be read");
    FLAGS_FAIL(LIST(NEEDED, "--config=/"), "cannot be read");
    assert_file_fails("lease = 6s\nnonsense\nlease_renew = 1s\n", LIST(":2:", "is not `name = value`"));
    assert_file_fails("[kafka\n", LIST(":1:", "is not"));
    assert_file_fails("lease = 6s\n\nlease = 7s\n", LIST(":3:", "lease: is given already in line 1"));
    assert_file_fails(" = 6s\n", LIST(":1:", "no name"));
    /* The line's number is right even after lines that were cut into pieces. */
    snprintf(text, sizeof(text), "kafka.client.rack = %0700d\nnonsense\n", 0);
    assert_file_fails(text, LIST(":2:", "is not"));
    snprintf(text, sizeof(text), "%0200d = 1\n", 0);
    assert_file_fails(text, LIST(":1:"));
}

static void secrets_have_their_place(void **state)
{
    static const char with_secret[] = "dsn = dbname=x\n[kafka]\nbootstrap.servers = a:1\nsasl.password = GEHEIM\n";
    struct config *config;

    (void)state;
    FLAGS_FAIL(LIST(NEEDED, "--kafka.sasl.password=GEHEIM"), "flag --kafka.sasl.password", "can see a secret");
    FLAGS_FAIL(LIST(NEEDED, "--kafka.ssl.key.password", "GEHEIM"), "flag --kafka.ssl.key.password");
    config = LOAD_FLAGS("--config=/dev/null", "--dsn=host=h password=GEHEIM");
    assert_non_null(config);
    assert_non_null(strstr(config_warning(config, 0), "--dsn has a password"));
    assert_null(strstr(config_warning(config, 0), "GEHEIM"));
    config_free(config);

    write_file(with_secret);
    assert_int_equal(chmod(path, 0644), 0);
    assert_fails(NULL, LIST("--config", path, NEEDED), LIST("kafka.sasl.password", "chmod 600"));
    assert_int_equal(chmod(path, 0640), 0);
    config = load(LIST("A=b"), LIST("--config", path));
    assert_non_null(config);
    config_free(config);
    /* Without a secret everybody may read it. */
    write_file("dsn = host=h user=u\nkafka.bootstrap.servers = a:1\n");
    assert_int_equal(chmod(path, 0644), 0);
    config = load(LIST("A=b"), LIST("--config", path));
    assert_non_null(config);
    config_free(config);
    assert_int_equal(chmod(path, 0600), 0); /* for the next test */
}

static void printing_hides_secrets(void **state)
{
    struct config *config;
    char *text;

    (void)state;
    write_file(
        "dsn = host=h password=GEHEIM user=u\n[kafka]\nsasl.password = GEHEIM\nssl.key.password = GEHEIM\n"
        "bootstrap.servers = a:9092\n");
    config = load(LIST("OUTBOX_LEASE=7s", "OUTBOX_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET=GEHEIM"),
                  LIST("--config", path, "--check", "--name=me"));
    assert_non_null(config);
    text = printed(config);
    assert_null(strstr(text, "GEHEIM"));
    assert_non_null(strstr(text, "host=h password=*** user=u"));
    assert_non_null(strstr(text, "a:9092"));
    assert_non_null(strstr(text, "variable OUTBOX_LEASE"));
    assert_non_null(strstr(text, "flag --name"));
    assert_non_null(strstr(text, ":1\n"));
    for (size_t i = 0; i < option_count; i++)
        assert_non_null(strstr(text, options[i].name));
    free(text);
    config_free(config);
    /* Nor does a message: the option's value may be a whole connection string. */
    text = malloc(9000);
    assert_non_null(text);
    memset(text, 'x', 8999);
    text[8999] = '\0';
    memcpy(text, "--dsn=GEHEIM", 12);
    FLAGS_FAIL(LIST(text), "dsn: must be");
    assert_null(strstr(outbox_error_message(err), "GEHEIM"));
    free(text);
}

static void help_has_every_option(void **state)
{
    char *text = printed(NULL);

    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        char line[64];

        snprintf(line, sizeof(line), "\n  %s", options[i].name);
        assert_non_null(strstr(text, line));
    }
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    free(text);
}

/* Each row of the table holds together: its default is one of its values. */
static void the_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++) {
        struct relay_config relay;
        char *copy = NULL;
        char text[256];

        assert_true(strlen(options[i].doc) > 0);
        assert_ptr_equal(option_find(options[i].name), &options[i]);
        if (!options[i].fallback)
            continue;
        assert_true(option_set(&options[i], options[i].fallback, &relay, &copy));
        option_text(&options[i], &relay, text, sizeof(text));
        assert_string_equal(text, options[i].fallback);
        free(copy);
    }
}

static int make_file(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "/tmp/outbox-config.XXXXXX");
    fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    outbox_error_free(err);
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(precedence),
        cmocka_unit_test(the_file_by_the_environment),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(actions),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(unknown_variables_are_no_error),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(what_one_option_cannot_tell),
        cmocka_unit_test(kafka_properties),
        cmocka_unit_test(reserved_properties),
        cmocka_unit_test(files),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(secrets_have_their_place),
        cmocka_unit_test(printing_hides_secrets),
        cmocka_unit_test(help_has_every_option),
        cmocka_unit_test(the_table_is_sound),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}

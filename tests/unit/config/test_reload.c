#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "config/config.h"
#include "config/options.h"

static char path[64];
static outbox_error *err;

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0600), 0); /* it holds secrets */
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#define ARGV                                                                                                 \
    (char *[]){(char *)(uintptr_t) "outbox-relay", (char *)(uintptr_t) "--config", path, NULL}
#define NO_VARIABLES (char *[]){NULL}

static struct config *load(const char *text)
{
    struct config *config;

    write_file(text);
    config = config_load(3, ARGV, NO_VARIABLES, &err);
    if (!config)
        fail_msg("%s", outbox_error_message(err));
    return config;
}

static struct config *load_again(const struct config *current, const char *text, struct config_changes *changes)
{
    write_file(text);
    return config_reload(current, 3, ARGV, NO_VARIABLES, changes, &err);
}

#define BASE "dsn = dbname=x password=old\nname = a\nkafka.bootstrap.servers = a:9092\nkafka.sasl.password = old\n"

/* For each option a value that is not its default. */
static const struct {
    const char *name;
    const char *value;
} others[] = {
    {"dsn", "dbname=x password=new"},
    {"name", "b"},
    {"publish", "at_least_once"},
    {"wake", "poll"},
    {"poll_interval", "7ms"},
    {"fallback_poll", "70ms"},
    {"lease", "7s"},
    {"lease_renew", "700ms"},
    {"transaction_timeout", "7s"},
    {"connect_timeout", "7s"},
    {"statement_timeout", "7s"},
    {"shutdown_timeout", "7s"},
    {"batch_events", "7"},
    {"batch_bytes", "7MiB"},
    {"topic_prefix", "seven"},
    {"create_topics", "yes"},
    {"topic_partitions", "7"},
    {"topic_replication", "7"},
    {"webhooks", "no"},
    {"webhook_allow", "10.0.0.0/8"},
    {"webhook_ca_file", "/seven"},
    {"webhook_max_in_flight", "7"},
    {"admin_listen", "127.0.0.1:7"},
    {"insecure", "yes"},
    {"log_level", "debug"},
};

static const char *other_of(const char *name)
{
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i].name, name) == 0)
            return others[i].value;
    }
    fail_msg("this test has no other value for %s", name);
    return NULL;
}

/* The file with this option changed, be it among the needed ones or not. */
static void changed_file(const char *name, char *ret, size_t room)
{
    static const char *const needed[] = {"dsn = dbname=x password=old\n", "name = a\n"};
    size_t size = (size_t)snprintf(ret, room, "kafka.bootstrap.servers = a:9092\nkafka.sasl.password = old\n%s = %s\n",
                                   name, other_of(name));

    for (size_t i = 0; i < 2; i++) {
        if (strncmp(needed[i], name, strlen(name)) != 0 || needed[i][strlen(name)] != ' ')
            size += (size_t)snprintf(ret + size, room - size, "%s", needed[i]);
    }
}

static void check_option(const struct option *option)
{
    struct config *old = load(BASE);
    struct config_changes changes = CONFIG_CHANGES_INIT;
    char before[8300], after[8300], text[1024];
    struct config *new;

    changed_file(option->name, text, sizeof(text));
    new = load_again(old, text, &changes);
    if (!new)
        fail_msg("%s: %s", option->name, outbox_error_message(err));
    assert_string_equal(outbox__buf_text(option->reloadable ? &changes.applied : &changes.restart), option->name);
    assert_int_equal((option->reloadable ? changes.restart : changes.applied).size, 0);
    option_text(option, config_relay(old), before, sizeof(before));
    option_text(option, config_relay(new), after, sizeof(after));
    if (option->reloadable)
        assert_string_equal(after, other_of(option->name));
    else
        assert_string_equal(after, before);
    config_changes_clear(&changes);
    config_free(old);
    if (!option->reloadable && strcmp(option->name, "dsn") == 0) /* the copy is its own */
        assert_string_equal(config_relay(new)->dsn, "dbname=x password=old");
    config_free(new);
}

static void each_option_is_applied_or_kept_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_count; i++)
        check_option(&options[i]);
}

static void nothing_changed(void **state)
{
    struct config *old = load(BASE);
    struct config_changes changes = CONFIG_CHANGES_INIT;
    struct config *new = load_again(old, BASE, &changes);

    (void)state;
    assert_non_null(new);
    assert_int_equal(changes.applied.size, 0);
    assert_int_equal(changes.restart.size, 0);
    config_free(old);
    config_free(new);
}

static void properties_of_librdkafka_need_a_restart(void **state)
{
    struct config *old = load(BASE);
    struct config_changes changes = CONFIG_CHANGES_INIT;
    struct config *new = load_again(
        old, "dsn = dbname=x password=old\nname = a\nkafka.bootstrap.servers = b:9092\nkafka.linger.ms = 7\n"
             "batch_events = 7\nlease = 7s\n", &changes);

    (void)state;
    assert_non_null(new);
    assert_string_equal(outbox__buf_text(&changes.applied), "batch_events");
    assert_string_equal(outbox__buf_text(&changes.restart),
                        "lease,kafka.bootstrap.servers,kafka.linger.ms,kafka.sasl.password");
    config_changes_clear(&changes);
    config_free(old);
    config_free(new);
}

static void what_is_wrong_changes_nothing(void **state)
{
    struct config *old = load(BASE);
    struct config_changes changes = CONFIG_CHANGES_INIT;

    (void)state;
    assert_null(load_again(old, BASE "batch_events = 7\nlog_level = loud\n", &changes));
    assert_non_null(strstr(outbox_error_message(err), "log_level"));
    outbox_error_free(err);
    err = NULL;
    unlink(path);
    assert_null(config_reload(old, 3, ARGV, NO_VARIABLES, &changes, &err));
    outbox_error_free(err);
    err = NULL;
    assert_int_equal(changes.applied.size, 0);
    assert_int_equal(config_relay(old)->batch_events, 5000);
    config_free(old);
}

static void is_freed_by_its_last_owner(void **state)
{
    struct config *config = load(BASE);
    struct config *same = config_reference(config);

    (void)state;
    config_free(config);
    assert_string_equal(config_relay(same)->name, "a");
    config_free(same);
}

static int make_path(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "/tmp/outbox-reload.XXXXXX");
    fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_option_is_applied_or_kept_as_the_table_says),
        cmocka_unit_test(nothing_changed),
        cmocka_unit_test(properties_of_librdkafka_need_a_restart),
        cmocka_unit_test(what_is_wrong_changes_nothing),
        cmocka_unit_test(is_freed_by_its_last_owner),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}

#include "config/options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/redact.h"
#include "config/value.h"
#include "runtime/sockaddr.h"

#define FIELD(name) offsetof(struct relay_config, name)
#define MIB (INT64_C(1) << 20)
#define DAYS(n) SECONDS((n)*INT64_C(86400))
#define FOREVER "forever" /* among the choices of a duration: for those without an end */

/* Without control characters: the value ends up in log lines and in rows. */
static bool is_plain(const char *text)
{
    return outbox__utf8_valid(text, strlen(text)) && !outbox__has_control(text, strlen(text));
}

static bool is_topic(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(text);
}

static bool is_count(const char *text)
{
    return strcmp(text, "0") != 0;
}

static bool is_address(const char *text)
{
    struct sockaddr_storage address;
    socklen_t size;

    return !*text || sockaddr_parse(text, &address, &size);
}

static bool is_network(const char *text)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    size_t size = strcspn(text, "/");
    int64_t bits = 0;
    int64_t most = memchr(text, ':', size) ? 128 : 32;

    if (size >= sizeof(address))
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    if (text[size] == '/' && (!value_integer(text + size + 1, &bits) || bits < 0 || bits > most))
        return false;
    return inet_pton(most == 128 ? AF_INET6 : AF_INET, address, bytes) == 1;
}

static bool is_network_list(const char *text)
{
    while (*text) {
        char network[64];
        size_t size = strcspn(text, ",");
        const char *end = text + size;

        while (size > 0 && isspace((unsigned char)*text))
            text++, size--;
        while (size > 0 && isspace((unsigned char)text[size - 1]))
            size--;
        if (size == 0 || size >= sizeof(network))
            return false;
        memcpy(network, text, size);
        network[size] = '\0';
        if (!is_network(network))
            return false;
        text = *end ? end + 1 : end;
    }
    return true;
}

/* Rows; the option has the name of its field. */
#define TEXT(name, fallback, low, high, accepts, check, show, reloadable, doc)                               \
    {                                                                                                        \
#name, OPTION_TEXT, FIELD(name), fallback, low, high, accepts, check, show, reloadable, doc          \
    }
#define CHOICE(name, field, fallback, choices, reloadable, doc)                                              \
    {                                                                                                        \
        name, OPTION_CHOICE, FIELD(field), fallback, 0, 0, choices, NULL, NULL, reloadable, doc              \
    }
#define INTEGER(name, fallback, low, high, accepts, check, reloadable, doc)                                  \
    {                                                                                                        \
#name, OPTION_INTEGER, FIELD(name), fallback, low, high, accepts, check, NULL, reloadable, doc       \
    }
#define DURATION(name, fallback, low, high, reloadable, doc)                                                 \
    {                                                                                                        \
#name, OPTION_DURATION, FIELD(name), fallback, low, high, NULL, NULL, NULL, reloadable, doc          \
    }
#define BOOLEAN(name, fallback, reloadable, doc)                                                             \
    {                                                                                                        \
#name, OPTION_BOOLEAN, FIELD(name), fallback, 0, 0, NULL, NULL, NULL, reloadable, doc                \
    }

#define RETENTION(name, fallback, low, high, doc)                                                            \
    {                                                                                                        \
#name, OPTION_DURATION, FIELD(name), fallback, low, high, FOREVER, NULL, NULL, true, doc             \
    }

/* clang-format off */
const struct option options[] = {
    TEXT(dsn, NULL, 0, 8192, NULL, NULL, redact_dsn, false,
         "connection string of the database, as for psql; must be given (\"\": libpq's own variables)"),
    TEXT(name, NULL, 1, 200, NULL, is_plain, NULL, false,
         "of this relay, unlike that of any other; default: host:pid. Give a fixed one under a supervisor,"
         " so that a restarted relay takes its lease back at once"),
    CHOICE("wake", wake, "listen", "listen poll", false,
           "how new events are noticed; listen needs a direct connection, poll works behind a pooler"),
    CHOICE("publish", publish, "exactly_once", "exactly_once at_least_once", false,
           "to Kafka; at_least_once is faster, but repeats events after failures, and a relay that lost its"
           " lane may still publish for a moment"),
    DURATION(poll_interval, "100ms", MILLISECONDS(1), SECONDS(60), true,
             "between looks for new events with wake = poll"),
    DURATION(fallback_poll, "1s", MILLISECONDS(10), SECONDS(60), true,
             "between looks for new events with wake = listen, should a wake-up be lost"),
    DURATION(lease, "5s", MILLISECONDS(500), SECONDS(300), false,
             "how long a relay that vanished keeps its lanes"),
    DURATION(lease_renew, "1s", MILLISECONDS(100), SECONDS(100), false,
             "between renewals of the lease; at most half of lease"),
    DURATION(transaction_timeout, "10s", SECONDS(1), SECONDS(900), false,
             "after which the broker aborts an open Kafka transaction"),
    DURATION(connect_timeout, "5s", MILLISECONDS(100), SECONDS(300), true,
             "for a connection to the database"),
    DURATION(statement_timeout, "30s", MILLISECONDS(100), SECONDS(3600), true,
             "for each statement"),
    DURATION(shutdown_timeout, "5s", MILLISECONDS(100), SECONDS(300), true,
             "for finishing what is in flight after SIGTERM"),
    INTEGER(batch_events, "5000", 1, 100000, NULL, NULL, true,
            "most events that are read at once and published in one Kafka transaction"),
    {"batch_bytes", OPTION_SIZE, FIELD(batch_bytes), "16MiB", 64 * 1024, 1024 * MIB, NULL, NULL, NULL, true,
     "most bytes of them"},
    TEXT(topic_prefix, "outbox", 1, 100, "of letters, digits, \".\", \"_\" and \"-\"", is_topic, NULL, false,
         "of the relay's own topic (PREFIX.progress) and of its transactional ids; never change it on a"
         " running outbox"),
    BOOLEAN(create_topics, "no", true, "create topics that do not exist"),
    INTEGER(topic_partitions, "-1", -1, 10000, "not 0; -1: the broker's default", is_count, true,
            "of topics that the relay creates"),
    INTEGER(topic_replication, "-1", -1, 100, "not 0; -1: the broker's default", is_count, true,
            "of topics that the relay creates"),
    BOOLEAN(webhooks, "yes", false, "deliver to webhook endpoints too"),
    {"webhook_allow", OPTION_LIST, FIELD(webhook_allow), "", 0, 8192, "networks such as 10.0.0.0/8, fd00::/8",
     is_network_list, NULL, true, "private networks to which webhooks may go nevertheless"},
    TEXT(webhook_ca_file, NULL, 1, 4096, NULL, NULL, NULL, false,
         "certificates that endpoints are checked against; default: the system's"),
    INTEGER(webhook_max_in_flight, "256", 1, 10000, NULL, NULL, false,
            "most webhook requests under way at once"),
    TEXT(maintenance_dsn, NULL, 0, 8192, NULL, NULL, redact_dsn, false,
         "connection string for maintenance, whose role may SET ROLE outbox_maintenance; default: dsn"),
    DURATION(maintenance_interval, "1m", MILLISECONDS(100), SECONDS(3600), true,
             "between looks for partitions to add, enter and drop, and for what has expired"),
    DURATION(rotate_every, "1d", MILLISECONDS(100), DAYS(366), true,
             "writers enter a new partition after this time; whole partitions expire"),
    INTEGER(rotate_events, "50000000", 1, 2000000000, NULL, NULL, true, "or after so many events"),
    RETENTION(retention, "7d", SECONDS(1), DAYS(36600),
              "how long events are kept after writers left their partition; never less than until they are"
              " published and delivered"),
    RETENTION(delivery_retention, "7d", SECONDS(1), DAYS(36600),
              "how long deliveries and their attempts are kept after their end"),
    RETENTION(id_retention, "7d", DAYS(1), DAYS(13),
              "how long an id that a writer supplied is known, so that a second emit of it writes nothing"),
    RETENTION(inbox_retention, "7d", DAYS(1), DAYS(13), "how long the inbox knows an event that was consumed"),
    RETENTION(audit_retention, "366d", SECONDS(1), DAYS(36600), "how long changes by operators are kept"),
    TEXT(admin_listen, "127.0.0.1:9464", 0, 64, "ADDRESS:PORT with a numeric address, or \"\" for none", is_address,
         NULL, false,
         "where /metrics, /healthz and /readyz are served, without encryption or passwords; port 0: any that is"
         " free"),
    BOOLEAN(insecure, "no", false, "allow connections without encryption to other machines"),
    CHOICE("log_level", log_level_name, "info", "error warning info debug", true, "what is logged"),
};
/* clang-format on */
const size_t option_count = sizeof(options) / sizeof(options[0]);

const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < option_count; i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    }
    return NULL;
}

void option_accepts(const struct option *option, char *ret, size_t room)
{
    char low[VALUE_TEXT], high[VALUE_TEXT];
    const char *more = option->choices ? option->choices : "";
    const char *comma = option->choices ? ", " : "";

    switch (option->type) {
    case OPTION_TEXT:
        snprintf(ret, room, "text of %" PRId64 " to %" PRId64 " bytes%s%s", option->low, option->high, comma,
                 more);
        break;
    case OPTION_LIST:
        snprintf(ret, room, "%s, separated by commas", more);
        break;
    case OPTION_CHOICE:
        snprintf(ret, room, "one of: %s", more);
        break;
    case OPTION_INTEGER:
        snprintf(ret, room, "a number from %" PRId64 " to %" PRId64 "%s%s", option->low, option->high, comma,
                 more);
        break;
    case OPTION_SIZE:
        value_size_text(option->low, low);
        value_size_text(option->high, high);
        snprintf(ret, room, "a size from %s to %s", low, high);
        break;
    case OPTION_DURATION:
        value_duration_text(option->low, low);
        value_duration_text(option->high, high);
        snprintf(ret, room, "a time with its unit (us, ms, s, m, h, d) from %s to %s%s%s", low, high,
                 option->choices ? ", or " : "", more);
        break;
    case OPTION_BOOLEAN:
        snprintf(ret, room, "yes or no");
        break;
    }
}

static bool is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);

    while (*choices) {
        size_t word = strcspn(choices, " ");

        if (word == size && strncmp(choices, text, size) == 0)
            return true;
        choices += word + (choices[word] == ' ');
    }
    return false;
}

static bool set_text(const struct option *option, const char *text, void *field, char **ret_copy)
{
    char *copy;

    if (option->type == OPTION_CHOICE
            ? !is_choice(option->choices, text)
            : (int64_t)strlen(text) < option->low || (int64_t)strlen(text) > option->high)
        return false;
    copy = strdup(text);
    if (!copy)
        return false;
    *(char **)field = *ret_copy = copy;
    return true;
}

static bool in_range(const struct option *option, int64_t number)
{
    return number >= option->low && number <= option->high;
}

bool option_set(const struct option *option, const char *text, struct relay_config *relay, char **ret_copy)
{
    void *field = (char *)relay + option->offset;
    int64_t number;

    *ret_copy = NULL;
    if (option->check && !option->check(text))
        return false;
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_LIST:
    case OPTION_CHOICE:
        return set_text(option, text, field, ret_copy);
    case OPTION_INTEGER:
        if (!value_integer(text, &number) || !in_range(option, number))
            return false;
        *(int *)field = (int)number;
        return true;
    case OPTION_SIZE:
        if (!value_size(text, &number) || !in_range(option, number))
            return false;
        *(int64_t *)field = number;
        return true;
    case OPTION_DURATION:
        if (option->choices && strcmp(text, option->choices) == 0)
            number = CONFIG_FOREVER;
        else if (!value_duration(text, &number) || !in_range(option, number))
            return false;
        *(mono_us *)field = number;
        return true;
    case OPTION_BOOLEAN:
        return value_boolean(text, field);
    }
    return false;
}

void option_text(const struct option *option, const struct relay_config *relay, char *ret, size_t room)
{
    const void *field = (const char *)relay + option->offset;
    const char *text;

    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_LIST:
    case OPTION_CHOICE:
        text = *(char *const *)field;
        if (text && option->show)
            option->show(text, ret, room);
        else
            snprintf(ret, room, "%s", text ? text : "");
        break;
    case OPTION_INTEGER:
        snprintf(ret, room, "%d", *(const int *)field);
        break;
    case OPTION_SIZE:
    case OPTION_DURATION: {
        char value[VALUE_TEXT];

        if (option->type == OPTION_SIZE)
            value_size_text(*(const int64_t *)field, value);
        else if (*(const mono_us *)field == CONFIG_FOREVER)
            snprintf(value, sizeof(value), "%s", option->choices);
        else
            value_duration_text(*(const mono_us *)field, value);
        snprintf(ret, room, "%s", value);
        break;
    }
    case OPTION_BOOLEAN:
        snprintf(ret, room, "%s", *(const bool *)field ? "yes" : "no");
        break;
    }
}

const char *kafka_reserved(const char *property)
{
    static const char exactly_once[] = "publishing exactly once needs the relay's own value";
    static const char lifetime[] = "a message lives as long as its transaction: use the option transaction_timeout"
                                   " (with publish = at_least_once: a third of lease)";
    static const char reader[] = "the relay reads its own topic only, and keeps no offset";
    static const struct {
        const char *property;
        const char *reason;
    } reserved[] = {
        {"transactional.id", "the relay names its transactions itself, by topic_prefix"},
        {"transaction.timeout.ms", "use the option transaction_timeout"},
        {"enable.idempotence", exactly_once},
        {"enable.gapless.guarantee", exactly_once},
        {"acks", exactly_once},
        {"request.required.acks", exactly_once},
        {"message.timeout.ms", lifetime},
        {"delivery.timeout.ms", lifetime},
        {"isolation.level", exactly_once},
        {"group.id", reader},
        {"group.instance.id", reader},
        {"enable.auto.commit", reader},
        {"auto.commit.enable", reader},
        {"enable.auto.offset.store", reader},
        {"auto.offset.reset", reader},
        {"enable.partition.eof", reader},
        {"allow.auto.create.topics", "use the option create_topics"},
    };

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcmp(reserved[i].property, property) == 0)
            return reserved[i].reason;
    }
    return NULL;
}

bool kafka_secret(const char *property)
{
    static const char *const parts[] = {"password",           "secret", "key.pem",
                                        "oauthbearer.config", "token",  "jaas"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(property, parts[i]))
            return true;
    }
    return false;
}

bool option_holds_secret(const char *name, const char *value)
{
    char shown[8300];

    if (strncmp(name, "kafka.", 6) == 0)
        return value[0] && kafka_secret(name + 6);
    if (strcmp(name, "dsn") != 0 && strcmp(name, "maintenance_dsn") != 0)
        return false;
    redact_dsn(value, shown, sizeof(shown));
    /* The path of a passfile is hidden, too, but is no secret. */
    for (const char *hidden = shown; (hidden = strstr(hidden, "***")) != NULL; hidden += 3) {
        if (hidden - shown < 9 || strncmp(hidden - 9, "passfile=", 9) != 0)
            return true;
    }
    return false;
}

#include "config/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/file.h"
#include "config/nearest.h"
#include "config/options.h"
#include "config/state.h"

/* The words of the command line that are not options. */
static const char *const actions[] = {"config", "check", "help", "version"};

static int fail_name(const char *source, const char *name, outbox_error **reterr)
{
    struct nearest nearest = NEAREST_INIT(name);

    for (size_t i = 0; i < option_count; i++)
        nearest_try(&nearest, options[i].name);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        nearest_try(&nearest, actions[i]);
    if (nearest.name)
        return outbox__fail(reterr, OUTBOX_EINVAL, name, "%s: there is no option %s; did you mean %s?",
                            source, name, nearest.name);
    return outbox__fail(reterr, OUTBOX_EINVAL, name,
                        "%s: there is no option %s; outbox-relay --help lists them", source, name);
}

static int fail_value(const char *source, const struct option *option, const char *value,
                      outbox_error **reterr)
{
    char accepts[256];

    option_accepts(option, accepts, sizeof(accepts));
    if (option->show) /* it may hold a secret */
        return outbox__fail(reterr, OUTBOX_EINVAL, option->name, "%s: %s: must be %s", source, option->name,
                            accepts);
    return outbox__fail(reterr, OUTBOX_EINVAL, option->name, "%s: %s: must be %s; is \"%.80s\"", source,
                        option->name, accepts, value);
}

static int replace(char **text, const char *value, outbox_error **reterr)
{
    char *copy = strdup(value);

    if (!copy)
        return outbox__fail_memory(reterr);
    free(*text);
    *text = copy;
    return OUTBOX_OK;
}

static int set_option(struct config *config, const struct option *option, const char *value,
                      const char *source, outbox_error **reterr)
{
    size_t at = (size_t)(option - options);
    char *copy;

    if (!option_set(option, value, &config->relay, &copy))
        return fail_value(source, option, value, reterr);
    /* The field points at the copy already. */
    free(config->texts[at]);
    config->texts[at] = copy;
    return replace(&config->origins[at], source, reterr);
}

static int set_kafka(struct config *config, const char *property, const char *value, const char *source,
                     outbox_error **reterr)
{
    const char *reason = kafka_reserved(property);
    size_t count = config->relay.kafka_count;
    size_t at = 0;
    void *pairs, *origins;

    if (reason)
        return outbox__fail(reterr, OUTBOX_EINVAL, property, "%s: kafka.%s cannot be set: %s", source,
                            property, reason);
    if (!property[0] || strspn(property, "abcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(property))
        return outbox__fail(reterr, OUTBOX_EINVAL, "kafka", "%s: kafka.%s is not a property of librdkafka",
                            source, property);
    while (at < count && strcmp(config->relay.kafka[at].name, property) != 0)
        at++;
    if (at == count) {
        pairs = realloc(config->relay.kafka, (count + 1) * sizeof(config->relay.kafka[0]));
        if (pairs)
            config->relay.kafka = pairs;
        origins = realloc(config->kafka_origins, (count + 1) * sizeof(config->kafka_origins[0]));
        if (origins)
            config->kafka_origins = origins;
        if (!pairs || !origins)
            return outbox__fail_memory(reterr);
        config->relay.kafka[count] = (struct config_pair){NULL, NULL};
        config->kafka_origins[count] = NULL;
        config->relay.kafka_count++;
    }
    if (replace(&config->relay.kafka[at].name, property, reterr) < 0 ||
        replace(&config->relay.kafka[at].value, value, reterr) < 0)
        return OUTBOX_ENOMEM;
    return replace(&config->kafka_origins[at], source, reterr);
}

static int set_name(struct config *config, const char *name, const char *value, const char *source,
                    outbox_error **reterr)
{
    const struct option *option = option_find(name);

    if (strncmp(name, "kafka.", 6) == 0)
        return set_kafka(config, name + 6, value, source, reterr);
    if (!option)
        return fail_name(source, name, reterr);
    return set_option(config, option, value, source, reterr);
}

static int set_defaults(struct config *config, outbox_error **reterr)
{
    char host[128] = "localhost";
    char name[160];

    for (size_t i = 0; i < option_count; i++) {
        if (options[i].fallback &&
            set_option(config, &options[i], options[i].fallback, "default", reterr) < 0)
            return OUTBOX_EINVAL;
    }
    gethostname(host, sizeof(host) - 1);
    snprintf(name, sizeof(name), "%s:%ld", host, (long)getpid());
    return set_name(config, "name", name, "default", reterr);
}

/* From the file: a name given twice there is a mistake, since only one value counts. */
static int take_file_entry(void *user, const char *name, const char *value, int line, outbox_error **reterr)
{
    struct config *config = user;
    struct config_seen *seen;
    char source[512];

    snprintf(source, sizeof(source), "%.400s:%d", config->file, line);
    for (seen = config->seen; seen; seen = seen->next) {
        if (strcmp(seen->name, name) == 0)
            return outbox__fail(reterr, OUTBOX_EINVAL, name, "%s: %s: is given already in line %d", source,
                                name, seen->line);
    }
    if (set_name(config, name, value, source, reterr) < 0)
        return OUTBOX_EINVAL;
    if (option_holds_secret(name, value))
        snprintf(config->file_secret, sizeof(config->file_secret), "%s", name);
    seen = calloc(1, sizeof(*seen));
    if (!seen)
        return outbox__fail_memory(reterr);
    snprintf(seen->name, sizeof(seen->name), "%s", name);
    seen->line = line;
    seen->next = config->seen;
    config->seen = seen;
    return OUTBOX_OK;
}

static int add_warning(struct config *config, const char *text, outbox_error **reterr)
{
    char **warnings = realloc(config->warnings, (config->warning_count + 1) * sizeof(*warnings));

    if (!warnings)
        return outbox__fail_memory(reterr);
    config->warnings = warnings;
    warnings[config->warning_count] = strdup(text);
    if (!warnings[config->warning_count])
        return outbox__fail_memory(reterr);
    config->warning_count++;
    return OUTBOX_OK;
}

static int warn_misspelt(struct config *config, const char *variable, const char *meant, outbox_error **reterr)
{
    char upper[64];
    char text[256];
    size_t i;

    for (i = 0; meant[i] && i + 1 < sizeof(upper); i++)
        upper[i] = (char)toupper((unsigned char)meant[i]);
    upper[i] = '\0';
    snprintf(text, sizeof(text), "OUTBOX_%.100s is not an option; did you mean OUTBOX_%s?", variable, upper);
    return add_warning(config, text, reterr);
}

/* OUTBOX_NAME=value.  Other programs have variables of this family too, so an unknown
 * one is no error. */
static int take_variable(struct config *config, const char *variable, outbox_error **reterr)
{
    const char *value = strchr(variable, '=');
    struct nearest nearest;
    char name[128];
    char source[192];
    size_t size, i;

    if (strncmp(variable, "OUTBOX_", 7) != 0 || !value)
        return OUTBOX_OK;
    size = (size_t)(value - variable) - 7;
    if (size >= sizeof(name))
        return OUTBOX_OK;
    for (i = 0; i < size; i++)
        name[i] = (char)tolower((unsigned char)variable[7 + i]);
    name[size] = '\0';
    snprintf(source, sizeof(source), "variable OUTBOX_%.*s", (int)size, variable + 7);
    if (strncmp(name, "kafka_", 6) == 0) {
        for (i = 5; i < size; i++)
            name[i] = name[i] == '_' ? '.' : name[i];
        return set_name(config, name, value + 1, source, reterr);
    }
    if (option_find(name))
        return set_name(config, name, value + 1, source, reterr);
    nearest = (struct nearest)NEAREST_INIT(name);
    for (i = 0; i < option_count; i++)
        nearest_try(&nearest, options[i].name);
    return nearest.name && size > 4 ? warn_misspelt(config, name, nearest.name, reterr) : OUTBOX_OK;
}

/* One flag, taken apart.  value is NULL if there is none. */
struct flag {
    char name[128];
    const char *value;
    bool next; /* the value is the next word */
};

static int read_flag(const char *word, const char *following, struct flag *ret, outbox_error **reterr)
{
    size_t size;

    if (strncmp(word, "--", 2) != 0 || !word[2])
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL,
                            "\"%.80s\" is not a flag; outbox-relay takes only --name=value", word);
    word += 2;
    size = strcspn(word, "=");
    if (size >= sizeof(ret->name))
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "flag --%.80s...: the name is too long", word);
    memcpy(ret->name, word, size);
    ret->name[size] = '\0';
    if (strncmp(ret->name, "kafka.", 6) != 0) {
        for (char *c = ret->name; *c; c++)
            *c = *c == '-' ? '_' : *c;
    }
    ret->next = word[size] != '=';
    ret->value = ret->next ? following : word + size + 1;
    return OUTBOX_OK;
}

static bool is_action(struct config *config, const struct flag *flag)
{
    if (strcmp(flag->name, "help") == 0)
        config->action = CONFIG_HELP;
    else if (strcmp(flag->name, "version") == 0)
        config->action = CONFIG_VERSION;
    else if (strcmp(flag->name, "check") == 0)
        config->action = CONFIG_CHECK;
    else
        return false;
    return true;
}

/* A boolean may stand alone ("--create_topics"); a value follows it only if it is one. */
static bool takes_following(const struct option *option, const char *following)
{
    struct relay_config unused;
    char *copy;

    if (!option || option->type != OPTION_BOOLEAN)
        return true;
    return following && option_set(&(struct option){.type = OPTION_BOOLEAN}, following, &unused, &copy);
}

/* Other users of the machine see command lines.  libpq and its tools take a password
 * there, too, so that one is only warned of. */
static int check_flag_secret(struct config *config, const struct flag *flag, const char *source, outbox_error **reterr)
{
    if (!option_holds_secret(flag->name, flag->value))
        return OUTBOX_OK;
    if (strcmp(flag->name, "dsn") == 0)
        return add_warning(config, "--dsn has a password, which other users of this machine can see: put it into the"
                                   " file of --config, OUTBOX_DSN or a passfile", reterr);
    return outbox__fail(reterr, OUTBOX_EINVAL, flag->name,
                        "%s: other users of this machine can see a secret there: put it into the file of --config, or"
                        " into a variable", source);
}

/* As ssh and libpq have it with keys: a secret that everybody can read is none.  The group
 * may read it, such as that of the service's user in a file of root's. */
static int check_file_secret(const struct config *config, outbox_error **reterr)
{
    struct stat file;

    if (!config->file_secret[0] || stat(config->file, &file) != 0 || !S_ISREG(file.st_mode) ||
        (file.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) == 0)
        return OUTBOX_OK;
    return outbox__fail(reterr, OUTBOX_EINVAL, config->file_secret,
                        "%s: holds a secret (%s), and others can read or write it: chmod 600 (or 640)", config->file,
                        config->file_secret);
}

/* Two rounds: the first only looks for the action and the file. */
static int read_flags(struct config *config, int argc, char *const argv[], bool first_round,
                      outbox_error **reterr)
{
    for (int i = 1; i < argc; i++) {
        struct flag flag;
        const struct option *option;
        char source[160];
        int status = read_flag(argv[i], i + 1 < argc ? argv[i + 1] : NULL, &flag, reterr);

        if (status < 0)
            return status;
        if (flag.next && is_action(config, &flag)) {
            if (config->action == CONFIG_HELP || config->action == CONFIG_VERSION)
                return OUTBOX_OK;
            continue;
        }
        option = option_find(flag.name);
        if (flag.next && takes_following(option, flag.value))
            i++;
        else if (flag.next)
            flag.value = "yes";
        snprintf(source, sizeof(source), "flag --%s", flag.name);
        if (!flag.value)
            return option || strcmp(flag.name, "config") == 0 || strncmp(flag.name, "kafka.", 6) == 0
                       ? outbox__fail(reterr, OUTBOX_EINVAL, flag.name, "%s: needs a value", source)
                       : fail_name(source, flag.name, reterr);
        if (strcmp(flag.name, "config") == 0)
            config->file = flag.value;
        else if (!first_round && (check_flag_secret(config, &flag, source, reterr) < 0 ||
                                  set_name(config, flag.name, flag.value, source, reterr) < 0))
            return OUTBOX_EINVAL;
    }
    return OUTBOX_OK;
}

static bool has_property(const struct relay_config *relay, const char *name)
{
    for (size_t i = 0; i < relay->kafka_count; i++) {
        if (strcmp(relay->kafka[i].name, name) == 0)
            return true;
    }
    return false;
}

static const char *origin_of(const struct config *config, const char *name)
{
    return config->origins[option_find(name) - options];
}

/* What one option alone cannot tell. */
static int check_together(struct config *config, outbox_error **reterr)
{
    struct relay_config *relay = &config->relay;

    if (!relay->dsn)
        return outbox__fail(
            reterr, OUTBOX_EINVAL, "dsn",
            "dsn: is missing; give --dsn, OUTBOX_DSN or dsn in the file (\"\" for libpq's variables)");
    if (!has_property(relay, "bootstrap.servers") && !has_property(relay, "metadata.broker.list") &&
        !has_property(relay, "test.mock.num.brokers"))
        return outbox__fail(
            reterr, OUTBOX_EINVAL, "kafka.bootstrap.servers",
            "kafka.bootstrap.servers: is missing; give it the brokers' addresses, host:port,...");
    if (relay->lease_renew > relay->lease / 2)
        return outbox__fail(reterr, OUTBOX_EINVAL, "lease_renew",
                            "lease_renew (%s) must be at most half of lease (%s)",
                            origin_of(config, "lease_renew"), origin_of(config, "lease"));
    if (!log_level_parse(relay->log_level_name, &relay->log_level))
        return outbox__fail(reterr, OUTBOX_EINVAL, "log_level", "log_level: %s is not one",
                            relay->log_level_name);
    return OUTBOX_OK;
}

static int load(struct config *config, int argc, char *const argv[], char *const environment[],
                outbox_error **reterr)
{
    int status = read_flags(config, argc, argv, true, reterr);

    if (status < 0 || config->action == CONFIG_HELP || config->action == CONFIG_VERSION)
        return status;
    for (size_t i = 0; !config->file && environment && environment[i]; i++) {
        if (strncmp(environment[i], "OUTBOX_CONFIG=", 14) == 0)
            config->file = environment[i] + 14;
    }
    status = set_defaults(config, reterr);
    if (status == OUTBOX_OK && config->file)
        status = config_file_read(config->file, take_file_entry, config, reterr);
    if (status == OUTBOX_OK)
        status = check_file_secret(config, reterr);
    for (size_t i = 0; status == OUTBOX_OK && environment && environment[i]; i++)
        status = take_variable(config, environment[i], reterr);
    if (status == OUTBOX_OK)
        status = read_flags(config, argc, argv, false, reterr);
    return status == OUTBOX_OK ? check_together(config, reterr) : status;
}

struct config *config_load(int argc, char *const argv[], char *const environment[], outbox_error **reterr)
{
    struct config *config = calloc(1, sizeof(*config));

    if (config) {
        atomic_init(&config->references, 1);
        config->texts = calloc(option_count, sizeof(config->texts[0]));
        config->origins = calloc(option_count, sizeof(config->origins[0]));
    }
    if (!config || !config->texts || !config->origins) {
        outbox__fail_memory(reterr);
        config_free(config);
        return NULL;
    }
    if (load(config, argc, argv, environment, reterr) < 0) {
        config_free(config);
        return NULL;
    }
    return config;
}

struct config *config_reference(struct config *config)
{
    atomic_fetch_add(&config->references, 1);
    return config;
}

void config_free(struct config *config)
{
    if (!config || atomic_fetch_sub(&config->references, 1) > 1)
        return;
    for (size_t i = 0; i < option_count; i++) {
        if (config->texts)
            free(config->texts[i]);
        if (config->origins)
            free(config->origins[i]);
    }
    free(config->texts);
    free(config->origins);
    for (size_t i = 0; i < config->relay.kafka_count; i++) {
        free(config->relay.kafka[i].name);
        free(config->relay.kafka[i].value);
        free(config->kafka_origins[i]);
    }
    free(config->relay.kafka);
    free(config->kafka_origins);
    while (config->seen) {
        struct config_seen *next = config->seen->next;

        free(config->seen);
        config->seen = next;
    }
    for (size_t i = 0; i < config->warning_count; i++)
        free(config->warnings[i]);
    free(config->warnings);
    free(config);
}

enum config_action config_action(const struct config *config)
{
    return config->action;
}

const struct relay_config *config_relay(const struct config *config)
{
    return &config->relay;
}

const char *config_warning(const struct config *config, size_t i)
{
    return i < config->warning_count ? config->warnings[i] : NULL;
}

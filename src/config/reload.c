/* Reading the configuration again while the relay runs. */
#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "config/state.h"

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same(const struct option *option, const struct relay_config *a, const struct relay_config *b)
{
    const void *left = (const char *)a + option->offset;
    const void *right = (const char *)b + option->offset;

    switch (option->type) {
    case OPTION_INTEGER:
        return *(const int *)left == *(const int *)right;
    case OPTION_SIZE:
        return *(const int64_t *)left == *(const int64_t *)right;
    case OPTION_DURATION:
        return *(const mono_us *)left == *(const mono_us *)right;
    case OPTION_BOOLEAN:
        return *(const bool *)left == *(const bool *)right;
    default:
        return same_text(*(char *const *)left, *(char *const *)right);
    }
}

static int keep_text(struct config *config, const struct option *option, const char *text, outbox_error **reterr)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        return outbox__fail_memory(reterr);
    free(config->texts[option - options]);
    config->texts[option - options] = copy;
    *(char **)((char *)&config->relay + option->offset) = copy;
    return OUTBOX_OK;
}

/* The value of `from` stays in force. */
static int keep(struct config *config, const struct option *option, const struct relay_config *from,
                outbox_error **reterr)
{
    void *to = (char *)&config->relay + option->offset;
    const void *value = (const char *)from + option->offset;

    switch (option->type) {
    case OPTION_INTEGER:
        *(int *)to = *(const int *)value;
        return OUTBOX_OK;
    case OPTION_SIZE:
        *(int64_t *)to = *(const int64_t *)value;
        return OUTBOX_OK;
    case OPTION_DURATION:
        *(mono_us *)to = *(const mono_us *)value;
        return OUTBOX_OK;
    case OPTION_BOOLEAN:
        *(bool *)to = *(const bool *)value;
        return OUTBOX_OK;
    default:
        return keep_text(config, option, *(char *const *)value, reterr);
    }
}

static void add_name(struct outbox__buf *list, const char *prefix, const char *name)
{
    outbox__buf_printf(list, "%s%s%s", list->size ? "," : "", prefix, name);
}

static const char *kafka_value(const struct relay_config *relay, const char *name)
{
    for (size_t i = 0; i < relay->kafka_count; i++) {
        if (strcmp(relay->kafka[i].name, name) == 0)
            return relay->kafka[i].value;
    }
    return NULL;
}

/* Properties of librdkafka need a restart, all of them. */
static void compare_kafka(const struct relay_config *old, const struct relay_config *new, struct outbox__buf *list)
{
    for (size_t i = 0; i < new->kafka_count; i++) {
        if (!same_text(new->kafka[i].value, kafka_value(old, new->kafka[i].name)))
            add_name(list, "kafka.", new->kafka[i].name);
    }
    for (size_t i = 0; i < old->kafka_count; i++) {
        if (!kafka_value(new, old->kafka[i].name))
            add_name(list, "kafka.", old->kafka[i].name);
    }
}

static int compare(const struct config *old, struct config *new, struct config_changes *changes,
                   outbox_error **reterr)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &options[i];

        if (same(option, &old->relay, &new->relay))
            continue;
        add_name(option->reloadable ? &changes->applied : &changes->restart, "", option->name);
        if (!option->reloadable && keep(new, option, &old->relay, reterr) < 0)
            return OUTBOX_ENOMEM;
    }
    compare_kafka(&old->relay, &new->relay, &changes->restart);
    if (changes->applied.failed || changes->restart.failed)
        return outbox__fail_memory(reterr);
    return OUTBOX_OK;
}

struct config *config_reload(const struct config *current, int argc, char *const argv[],
                             char *const environment[], struct config_changes *changes, outbox_error **reterr)
{
    struct config *config = config_load(argc, argv, environment, reterr);

    if (config && compare(current, config, changes, reterr) < 0) {
        config_free(config);
        return NULL;
    }
    return config;
}

void config_changes_clear(struct config_changes *changes)
{
    outbox__buf_free(&changes->applied);
    outbox__buf_free(&changes->restart);
}

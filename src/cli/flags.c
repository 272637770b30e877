#include "cli/flags.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/value.h"

static const struct flag_spec *find(const struct flag_spec *table, const char *name, size_t size)
{
    for (; table && table->name; table++) {
        if (strlen(table->name) == size && strncmp(table->name, name, size) == 0)
            return table;
    }
    return NULL;
}

static int add(struct arguments *arguments, const char *name, const char *value, outbox_error **reterr)
{
    struct argument *list = realloc(arguments->list, (arguments->count + 1) * sizeof(*list));

    if (!list)
        return outbox__fail_memory(reterr);
    arguments->list = list;
    list[arguments->count++] = (struct argument){name, value};
    return OUTBOX_OK;
}

static int fail_unknown(const char *word, const struct flag_spec *own, const struct flag_spec *common,
                        outbox_error **reterr)
{
    char name[64];
    struct nearest nearest = NEAREST_INIT(name);
    size_t size = strcspn(word + 2, "=");

    if (size >= sizeof(name))
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "there is no flag %.80s", word);
    memcpy(name, word + 2, size);
    name[size] = '\0';
    for (; own && own->name; own++)
        nearest_try(&nearest, own->name);
    for (; common && common->name; common++)
        nearest_try(&nearest, common->name);
    if (nearest.name)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "there is no flag --%s here; did you mean --%s?",
                            name, nearest.name);
    return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "there is no flag --%s here", name);
}

/* word begins with "--".  Returns how many words were taken. */
static int take_flag(struct arguments *arguments, const char *word, const char *following,
                     const struct flag_spec *spec, outbox_error **reterr)
{
    const char *value = strchr(word, '=');
    int taken = 1;

    if (spec->value && !value) {
        value = following;
        taken = 2;
    } else if (value) {
        value++;
    }
    if (spec->value && !value)
        return outbox__fail(reterr, OUTBOX_EINVAL, spec->name, "--%s needs a value: --%s %s", spec->name,
                            spec->name, spec->value);
    if (!spec->value && value)
        return outbox__fail(reterr, OUTBOX_EINVAL, spec->name, "--%s has no value", spec->name);
    return add(arguments, spec->name, value, reterr) < 0 ? OUTBOX_ENOMEM : taken;
}

int flags_parse(struct arguments *arguments, int count, char *const words[], const struct flag_spec *own,
                const struct flag_spec *common, bool stop_at_operand, outbox_error **reterr)
{
    bool flags_end = false;
    int i = 0;

    while (i < count) {
        const char *word = words[i];
        const struct flag_spec *spec;
        int taken;

        if (!flags_end && strcmp(word, "--") == 0) {
            flags_end = true;
            i++;
            continue;
        }
        if (!flags_end && strcmp(word, "-h") == 0)
            word = "--help";
        if (flags_end || word[0] != '-' || strcmp(word, "-") == 0) {
            if (stop_at_operand)
                break;
            if (add(arguments, NULL, word, reterr) < 0)
                return OUTBOX_ENOMEM;
            i++;
            continue;
        }
        if (word[1] != '-')
            return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "there is no flag %.80s; flags begin with --",
                                word);
        spec = find(own, word + 2, strcspn(word + 2, "="));
        if (!spec)
            spec = find(common, word + 2, strcspn(word + 2, "="));
        if (!spec)
            return fail_unknown(word, own, common, reterr);
        taken = take_flag(arguments, word, i + 1 < count ? words[i + 1] : NULL, spec, reterr);
        if (taken < 0)
            return taken;
        i += taken;
    }
    return i;
}

void flags_free(struct arguments *arguments)
{
    free(arguments->list);
    arguments->list = NULL;
    arguments->count = 0;
}

static const struct argument *last(const struct arguments *arguments, const char *name)
{
    for (size_t i = arguments->count; i-- > 0;) {
        if (arguments->list[i].name && strcmp(arguments->list[i].name, name) == 0)
            return &arguments->list[i];
    }
    return NULL;
}

const char *flag_text(const struct arguments *arguments, const char *name)
{
    const struct argument *argument = last(arguments, name);

    return argument ? argument->value : NULL;
}

bool flag_given(const struct arguments *arguments, const char *name)
{
    return last(arguments, name) != NULL;
}

const char *flag_next(const struct arguments *arguments, const char *name, size_t *at)
{
    while (*at < arguments->count) {
        const struct argument *argument = &arguments->list[(*at)++];

        if (argument->name && strcmp(argument->name, name) == 0)
            return argument->value;
    }
    return NULL;
}

const char *operand(const struct arguments *arguments, size_t n)
{
    for (size_t i = 0; i < arguments->count; i++) {
        if (!arguments->list[i].name && n-- == 0)
            return arguments->list[i].value;
    }
    return NULL;
}

size_t operand_count(const struct arguments *arguments)
{
    size_t count = 0;

    while (operand(arguments, count))
        count++;
    return count;
}

int flag_integer(const struct arguments *arguments, const char *name, int64_t low, int64_t high,
                 int64_t fallback, int64_t *ret, outbox_error **reterr)
{
    const char *text = flag_text(arguments, name);
    int64_t number = fallback;

    if (text && (!value_integer(text, &number) || number < low || number > high))
        return outbox__fail(reterr, OUTBOX_EINVAL, name,
                            "--%s: must be a number from %" PRId64 " to %" PRId64 "; is \"%.80s\"", name, low,
                            high, text);
    *ret = number;
    return OUTBOX_OK;
}

int flag_duration(const struct arguments *arguments, const char *name, mono_us low, mono_us high,
                  mono_us fallback, mono_us *ret, outbox_error **reterr)
{
    const char *text = flag_text(arguments, name);
    mono_us value = fallback;
    char from[VALUE_TEXT], to[VALUE_TEXT];

    if (text && (!value_duration(text, &value) || value < low || value > high)) {
        value_duration_text(low, from);
        value_duration_text(high, to);
        return outbox__fail(reterr, OUTBOX_EINVAL, name,
                            "--%s: must be a time with its unit (ms, s, m, h) from %s to %s; is \"%.80s\"",
                            name, from, to, text);
    }
    *ret = value;
    return OUTBOX_OK;
}

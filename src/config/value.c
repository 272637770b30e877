#include "config/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* From the largest to the smallest. */
static const struct unit time_units[] = {{"d", INT64_C(86400000000)},
                                         {"h", INT64_C(3600000000)},
                                         {"m", 60000000},
                                         {"s", 1000000},
                                         {"ms", 1000},
                                         {"us", 1},
                                         {NULL, 0}};
static const struct unit size_units[] = {
    {"GiB", INT64_C(1) << 30}, {"MiB", INT64_C(1) << 20}, {"KiB", INT64_C(1) << 10}, {"", 1}, {NULL, 0}};

bool value_integer(const char *text, int64_t *ret)
{
    char *end;
    long long number;

    /* strtoll() would skip blanks. */
    if (!isdigit((unsigned char)text[0]) && !(text[0] == '-' && isdigit((unsigned char)text[1])))
        return false;
    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno != 0 || *end)
        return false;
    *ret = number;
    return true;
}

static bool with_unit(const char *text, const struct unit *units, int64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    char number[20];
    int64_t count;

    if (digits == 0 || digits >= sizeof(number))
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!value_integer(number, &count))
        return false;
    text += digits;
    while (*text == ' ')
        text++;
    for (; units->name; units++) {
        if (strcmp(text, units->name) == 0)
            return !__builtin_mul_overflow(count, units->factor, ret);
    }
    return false;
}

bool value_duration(const char *text, mono_us *ret)
{
    if (strcmp(text, "0") == 0) {
        *ret = 0;
        return true;
    }
    return with_unit(text, time_units, ret);
}

bool value_size(const char *text, int64_t *ret)
{
    return with_unit(text, size_units, ret);
}

bool value_boolean(const char *text, bool *ret)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static void unit_text(int64_t value, const struct unit *units, char ret[VALUE_TEXT])
{
    while (units[1].name && (value < units->factor || value % units->factor != 0))
        units++;
    snprintf(ret, VALUE_TEXT, "%" PRId64 "%s", value / units->factor, units->name);
}

void value_duration_text(mono_us value, char ret[VALUE_TEXT])
{
    if (value == 0)
        snprintf(ret, VALUE_TEXT, "0");
    else
        unit_text(value, time_units, ret);
}

void value_size_text(int64_t value, char ret[VALUE_TEXT])
{
    unit_text(value, size_units, ret);
}

#include "sink/secrets.h"

#include <string.h>

/* The beginning of a secret at the end of a text that was cut; less than this is chance. */
#define BEGINNING_MIN 3

bool secrets_is(const char *property)
{
    static const char *const parts[] = {"password", "secret", "key.pem", "oauthbearer.config", "token", "jaas"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(property, parts[i]))
            return true;
    }
    return false;
}

/* How much of the secret stands here; 0 if not all of it, and not all that there is room for. */
static size_t match(const char *text, const char *secret)
{
    size_t size = 0;

    while (secret[size] && text[size] == secret[size])
        size++;
    return !secret[size] || (!text[size] && size >= BEGINNING_MIN) ? size : 0;
}

/* Secrets may overlap, or one be the beginning of another: so every place is looked at, and
 * in the whole text, before it is cut to the room. */
void secrets_hide(const struct kafka_property *properties, size_t count, const char *text, char *ret, size_t room)
{
    size_t hidden_until = 0;
    size_t at;

    for (at = 0; text[at] && at + 1 < room; at++) {
        for (size_t i = 0; i < count; i++) {
            size_t size = secrets_is(properties[i].name) ? match(text + at, properties[i].value) : 0;

            if (at + size > hidden_until)
                hidden_until = at + size;
        }
        ret[at] = at < hidden_until ? '*' : text[at];
    }
    ret[at] = '\0';
}

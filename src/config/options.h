/* The table of all options of outbox-relay, and what follows from its rows. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum option_type {
    OPTION_TEXT,
    OPTION_LIST, /* text: values separated by commas */
    OPTION_CHOICE,
    OPTION_INTEGER,
    OPTION_SIZE,
    OPTION_DURATION,
    OPTION_BOOLEAN
};

struct option {
    const char *name;
    enum option_type type;
    size_t offset;        /* of its field in struct relay_config */
    const char *fallback; /* the default, as it would be written; NULL: none */
    int64_t low, high;    /* of the number; of a text or list: bytes */
    const char *choices;  /* separated by blanks; for people: what else is accepted */
    bool (*check)(const char *text);
    void (*show)(const char *text, char *ret, size_t room); /* hides what is secret in it */
    bool reloadable;                                        /* may change while the relay runs */
    const char *doc;
};

extern const struct option options[];
extern const size_t option_count;

const struct option *option_find(const char *name);
/* What the option accepts, for messages and for --help. */
void option_accepts(const struct option *option, char *ret, size_t room);
/* Stores text in the field.  false: not accepted.  Texts are copied; *ret_copy is the
 * copy, for the caller to free one day, or NULL. */
bool option_set(const struct option *option, const char *text, struct relay_config *relay, char **ret_copy);
/* The field's value as text. */
void option_text(const struct option *option, const struct relay_config *relay, char *ret, size_t room);

/* Why a librdkafka property cannot be set here; NULL if it can. */
const char *kafka_reserved(const char *property);
/* May the value of this property be shown? */
bool kafka_secret(const char *property);
/* Is there a secret in this value of an option, by its full name? */
bool option_holds_secret(const char *name, const char *value);

#endif

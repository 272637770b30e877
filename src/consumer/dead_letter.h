/* The event that a record becomes which could not be handled. */
#ifndef CONSUMER_DEAD_LETTER_H
#define CONSUMER_DEAD_LETTER_H

#include "consumer/state.h"

struct dead_letter {
    const rd_kafka_message_t *message;
    const char *reason;
    int attempts;  /* 0: it was never tried, since it follows another of its key */
    bool bare;     /* only where it came from: for a record that the outbox does not take as it is */
};

/* Emits it in the open transaction. */
int dead_letter_emit(struct pg *pg, const struct partition *partition, const struct dead_letter *letter,
                     outbox_error **reterr);

/* For tests: the headers as JSON, to be freed; NULL without memory. */
char *dead_letter_headers(const struct partition *partition, const struct dead_letter *letter, const char *key_form);
/* The key as text that the outbox takes: as it is, or in hexadecimal digits, and *ret_form says how; NULL as it is. */
char *dead_letter_key(const void *key, size_t size, const char **ret_form);
/* May a header of this name and value be passed on? */
bool dead_letter_takes_header(const char *name, const char *value, size_t size);

#endif

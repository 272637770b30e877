/* The marker: the record that ends each transaction and tells how far the lane is.
 *
 * It travels with the events, in their transaction, so it can be neither ahead of them
 * nor behind. */
#ifndef SINK_MARKER_H
#define SINK_MARKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/position.h"

struct marker {
    int64_t system_identifier; /* of the database cluster, the bits of PostgreSQL's uint64 */
    uint8_t incarnation[16];
    int map;
    int lane;
    struct position position;
    int64_t published; /* events this lane has published so far */
    int64_t release;   /* of parked events that its transaction published, else 0 */
};

/* "<incarnation>/<map>/<lane>", with the closing 0. */
#define MARKER_KEY_SIZE 64
/* The largest text of a marker, with the closing 0. */
#define MARKER_TEXT_SIZE 768

/* Whose marker it is.  Returns the length. */
size_t marker_key(const struct marker *marker, char ret_key[MARKER_KEY_SIZE]);
/* The transactional.id of whoever writes this lane's markers.  False: too long. */
bool marker_transactional_id(const struct marker *marker, const char *prefix, char *ret, size_t room);
/* The record's value.  Returns the length. */
size_t marker_encode(const struct marker *marker, char ret_text[MARKER_TEXT_SIZE]);
/* Strict: every member, of the right type and range, and no other; a version this
 * program does not know is refused.  OUTBOX_EINVAL; *ret is untouched on failure. */
int marker_decode(const char *text, size_t size, struct marker *ret, outbox_error **reterr);

#endif

/* The statements that emit one event, and their names where they are prepared. */
#ifndef API_STATEMENT_H
#define API_STATEMENT_H

/* For an id that the caller supplied: it has to be claimed.  Answers with a row
 * (id uuid, already_emitted boolean). */
extern const char outbox__emit_claimed_sql[];

/* For all others, whose id is drawn here: a row for the log, which also rings the bell.
 * Answers with no row. */
extern const char outbox__emit_new_sql[];
#define OUTBOX__EMIT_NEW "outbox_emit"

/* The same for those who see the result only: answers with a row. */
extern const char outbox__emit_returning_sql[];
#define OUTBOX__EMIT_RETURNING "outbox_emit_send"

#endif

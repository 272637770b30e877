/* Reads a lane's batches page by page.  One thread. */
#ifndef SOURCE_READER_H
#define SOURCE_READER_H

#include "core/position.h"
#include "pg/conn.h"
#include "source/page.h"
#include "source/tick_memory.h"

struct reader_settings {
    int bucket_low;
    int bucket_high;
    size_t page_bytes; /* a page ends with the event whose payload reaches this */
    struct tick_memory *ticks; /* outlives the reader */
};

struct reader;

/* NULL without memory. */
struct reader *reader_new(const struct reader_settings *settings);
/* Of the pages read from now on. */
void reader_set_page_bytes(struct reader *reader, size_t page_bytes);
/* NULL is allowed. */
void reader_free(struct reader *reader);

/* Reads the events of the position's batch after its seq, at most limit.  *ret_ended:
 * the batch has no more.  The caller frees the page.  OUTBOX_ESTATE when a tick is not
 * there, or has another nonce. */
int reader_read(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                mono_us deadline, struct page **ret_page, bool *ret_ended, outbox_error **reterr);

/* Makes a page of rows that were selected otherwise, with any columns behind those of a page, and takes
 * them over, even on failure. */
int reader_make_page(struct reader *reader, struct pg *pg, PGresult *rows, mono_us deadline, struct page **ret_page,
                     outbox_error **reterr);

#endif

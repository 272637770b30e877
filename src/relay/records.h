/* Makes Kafka records of a page's events.  See docs/consumers.md for their headers. */
#ifndef RELAY_RECORDS_H
#define RELAY_RECORDS_H

#include "base/error.h"
#include "sink/producer.h"
#include "source/page.h"

struct records;

/* NULL without memory. */
struct records *records_new(void);
/* NULL is allowed. */
void records_free(struct records *records);

/* Fills in the records of all events that go to Kafka and are not left out; keys and payloads point into the
 * page.  What *ret_list and *ret_topics point to is valid until the next call. */
int records_make(struct records *records, const struct page *page, const struct sink_record **ret_list,
                 size_t *ret_count, const char *const **ret_topics, size_t *ret_topic_count,
                 outbox_error **reterr);
/* Of the event that the record with this index was made of. */
int64_t records_seq(const struct records *records, size_t index);
const char *records_topic(const struct records *records, size_t index);

#endif

/* Consuming events from Kafka: each one's effect in PostgreSQL exactly once, on these conditions.
 *
 * A handler gets records of a topic and a connection with an open transaction.  What it writes
 * there, the events that it emits there (outbox_emit()) and the position in Kafka commit together:
 * after a crash at any moment either all of it stands or nothing, and then it is done again.  This
 * holds for effects in that transaction.  What a handler does elsewhere (a mail, another
 * database) may be done again.
 *
 *     static int apply(struct pg_conn *conn, outbox_record *const records[], size_t count, void *context)
 *     {
 *         for (size_t i = 0; i < count; i++) {
 *             if (!insert_order(conn, outbox_record_payload(records[i], &size), size))
 *                 return OUTBOX_CONSUMER_RETRY;
 *         }
 *         return OUTBOX_CONSUMER_DONE;
 *     }
 *
 *     outbox_consumer_options *options = outbox_consumer_options_new();
 *     outbox_consumer_options_set_name(options, "billing");
 *     outbox_consumer_options_set_dsn(options, "dbname=shop");
 *     outbox_consumer_options_set_property(options, "bootstrap.servers", "kafka:9092");
 *     outbox_consumer_options_add_topic(options, "orders");
 *     outbox_consumer_options_set_handler(options, apply, NULL);
 *     r = outbox_consumer_new(options, &consumer, &err);
 *     outbox_consumer_options_free(options);
 *     r = outbox_consumer_run(consumer, &err);      until outbox_consumer_stop()
 *     outbox_consumer_free(consumer);
 *
 * In liboutbox-consumer (pkg-config outbox-consumer), which needs librdkafka 2.0.2 or later.  The
 * database needs the schema of `outboxctl migrate`, and the role that connects needs
 * outbox_consumer.  The topics may be of any producer.
 *
 * Order: the records of a partition in the order of their offsets, one transaction at a time;
 * different partitions side by side.  Aborted records are not seen (read_committed).
 *
 * Several instances, in any number of processes, with the same name share the partitions
 * (cooperative rebalancing).  Kafka says who has a partition; PostgreSQL says who may commit: each
 * time a partition is taken over a fence is raised, and a predecessor that still lives, however
 * late it comes, cannot commit any more.  Kafka's own offsets of the group are written for
 * monitoring, and never read.
 *
 * Errors: start with `outbox_error *err = NULL`; see <outbox/error.h>.
 */
#ifndef OUTBOX_CONSUMER_H
#define OUTBOX_CONSUMER_H

#include <stddef.h>
#include <stdint.h>

#include <outbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libpq's PGconn: it can be passed as a PGconn * as it is. */
struct pg_conn;

/* ---- a record, as the handler gets it ---- */

/* A record of Kafka.  It, and all that its functions return, lives until the handler returns. */
typedef struct outbox_record outbox_record;

/* The topic, zero-terminated; the partition; the offset. */
OUTBOX_API const char *outbox_record_topic(const outbox_record *record);
/* The partition, 0 or more. */
OUTBOX_API int32_t outbox_record_partition(const outbox_record *record);
/* The offset, 0 or more.  Offsets rise within a partition, with gaps. */
OUTBOX_API int64_t outbox_record_offset(const outbox_record *record);

/* When it happened, in microseconds since 1970-01-01 UTC; -1 if the record does not tell.  From the
 * outbox: when the event occurred, in milliseconds as Kafka keeps it; when it was published if the event
 * occurred before 1970 or lies ahead, see the header outbox-time. */
OUTBOX_API int64_t outbox_record_timestamp(const outbox_record *record);

/* The key, any bytes, and their number.  NULL: the record has no key.  Like the payload it does not end with a
 * zero byte: pass it to PostgreSQL as a binary parameter. */
OUTBOX_API const void *outbox_record_key(const outbox_record *record, size_t *ret_size);

/* The payload, any bytes, and their number.  NULL: a tombstone, which is not the same as an empty payload. */
OUTBOX_API const void *outbox_record_payload(const outbox_record *record, size_t *ret_size);

/* The event's id (header outbox-id), 36 characters, the same however often the event is published;
 * NULL if the record is of another producer. */
OUTBOX_API const char *outbox_record_id(const outbox_record *record);

/* The event's type (header outbox-type); NULL if the record is of another producer. */
OUTBOX_API const char *outbox_record_type(const outbox_record *record);

/* The last header of this name, any bytes and a zero byte after them, and their number (ret_size may be
 * NULL).  NULL if there is none, or it has no value. */
OUTBOX_API const void *outbox_record_header(const outbox_record *record, const char *name, size_t *ret_size);

/* The header number index, from 0, in the record's order: OUTBOX_OK with its name and value (NULL: it has
 * none) and size, or OUTBOX_EINVAL if there are not so many.  Each ret_ may be NULL. */
OUTBOX_API int outbox_record_header_at(const outbox_record *record, size_t index, const char **ret_name,
                                       const void **ret_value, size_t *ret_size);

/* How often the handler has failed with this record alone: 0 at first. */
OUTBOX_API int outbox_record_failures(const outbox_record *record);

/* Why the handler will answer OUTBOX_CONSUMER_RETRY or _REJECT: told in the log and, in the end, in the
 * dead letter.  UTF-8, cut to 500 bytes; copied.  Keep secrets out of it. */
OUTBOX_API void outbox_record_set_reason(outbox_record *record, const char *text);

/* ---- the handler ---- */

/* What a handler answers, of all records that it was given together. */
enum outbox_consumer_answer {
    OUTBOX_CONSUMER_DONE = 0,   /* commit */
    OUTBOX_CONSUMER_RETRY = 1,  /* roll back and try again, after a while: the fault may pass */
    OUTBOX_CONSUMER_REJECT = 2, /* roll back: another try would not help */
    OUTBOX_CONSUMER_STOP = 3    /* roll back and end outbox_consumer_run(); the records stay to be done */
};

/* Handles count records of one partition, in order, in the transaction that is open on conn.
 *
 * If it answers other than DONE with more than one record, all is rolled back and each of them is
 * given to it again alone: so only the one that is at fault is retried or rejected.  It must expect that.
 *
 * It may do anything on conn but end the transaction; savepoints are allowed.  It must have read all
 * results of what it sent.  If the transaction has failed (a statement did), DONE counts as RETRY.
 * It should not wait long for anything: what a transaction may take is limited
 * (outbox_consumer_options_set_transaction_timeout()), and if the partition is revoked meanwhile the
 * statement that runs is cancelled after a while.
 *
 * It is called by threads of the consumer, for several partitions at once.  context is the caller's. */
typedef int (*outbox_consumer_handler)(struct pg_conn *conn, outbox_record *const records[], size_t count,
                                       void *context);

/* ---- options ---- */

/* How a consumer is to work.  Setters copy what they are given, and return OUTBOX_OK; OUTBOX_ENOMEM;
 * OUTBOX_EINVAL or OUTBOX_ELIMIT for a value out of its range.  What they could not store is
 * remembered and reported by outbox_consumer_new(), so their answers need not be looked at. */
typedef struct outbox_consumer_options outbox_consumer_options;

/* Options, none set.  NULL without memory. */
OUTBOX_API outbox_consumer_options *outbox_consumer_options_new(void);

/* Frees options.  NULL is allowed. */
OUTBOX_API void outbox_consumer_options_free(outbox_consumer_options *options);

/* The consumer's name, which is its group in Kafka (group.id), and that of its position.  1 to 249 bytes,
 * UTF-8, no control characters.  Must be set.  Another name is another consumer, which does all work again. */
OUTBOX_API int outbox_consumer_options_set_name(outbox_consumer_options *options, const char *name);

/* The database: a connection string of libpq.  Must be set.  Each worker has a connection.  Without TLS to
 * another machine it is refused (sslmode=verify-full), unless set_insecure(). */
OUTBOX_API int outbox_consumer_options_set_dsn(outbox_consumer_options *options, const char *dsn);

/* A property of librdkafka; bootstrap.servers must be set.  Source:
 * https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
 * The consumer sets by itself, and refuses: group.id, group.protocol, isolation.level,
 * enable.auto.commit, enable.auto.offset.store, auto.offset.reset, enable.partition.eof,
 * partition.assignment.strategy, queued.max.messages.kbytes. */
OUTBOX_API int outbox_consumer_options_set_property(outbox_consumer_options *options, const char *name,
                                                    const char *value);

/* Lets brokers and servers on other machines be spoken to without TLS: 0 (as if not set) or 1. */
OUTBOX_API int outbox_consumer_options_set_insecure(outbox_consumer_options *options, int insecure);

/* Subscribes to one more topic; at least one is needed.  A name that begins with "^" is a regular
 * expression (POSIX extended), and topics made later that match are found within
 * topic.metadata.refresh.interval.ms (5 minutes unless set). */
OUTBOX_API int outbox_consumer_options_add_topic(outbox_consumer_options *options, const char *topic);

/* The handler; must be set.  context is handed to it as it is. */
OUTBOX_API int outbox_consumer_options_set_handler(outbox_consumer_options *options, outbox_consumer_handler handler,
                                                   void *context);

/* Where to begin in a partition that this consumer has no position in yet. */
enum outbox_consumer_start {
    OUTBOX_CONSUMER_BEGINNING, /* as if not set: the oldest record that Kafka still has */
    OUTBOX_CONSUMER_END,       /* what comes from now on */
    OUTBOX_CONSUMER_TIME,      /* value: microseconds since 1970; the first record with that timestamp or a later one */
    OUTBOX_CONSUMER_OFFSET     /* value: the offset; the first that there is, if that has been deleted */
};

/* Sets it.  It also counts for partitions that a topic gets later: END and TIME may then leave out what was
 * written before the consumer saw them.  To move a position that there is: outbox.consumer_seek() in SQL. */
OUTBOX_API int outbox_consumer_options_set_start(outbox_consumer_options *options, enum outbox_consumer_start start,
                                                 int64_t value);

/* Worker threads, each with a connection: 1 to 64; 4 unless set.  More than there are partitions idle. */
OUTBOX_API int outbox_consumer_options_set_workers(outbox_consumer_options *options, int workers);

/* The most records in one transaction: 1 to 10000; 100 unless set.  A transaction takes what is
 * there and does not wait for more. */
OUTBOX_API int outbox_consumer_options_set_batch(outbox_consumer_options *options, int records);

/* How much is fetched ahead for each partition: 64 KiB to 1 GiB; 16 MiB unless set.  May be exceeded by one
 * response (fetch.message.max.bytes, 1 MiB).  With less than a second's worth of records, librdkafka
 * before 2.3 fetches only once a second. */
OUTBOX_API int outbox_consumer_options_set_queue_bytes(outbox_consumer_options *options, int64_t bytes);

/* What becomes of a record that the handler rejects, or that failed as often as is allowed. */
enum outbox_consumer_failure {
    OUTBOX_CONSUMER_DEAD_LETTER, /* as if not set: it is emitted to the dead-letter topic */
    OUTBOX_CONSUMER_FAIL_STOP    /* outbox_consumer_run() ends with an error; the record stays to be done */
};

/* Sets it, and the dead-letter topic (NULL: "<name>.dead-letter").  The dead letter is an event of the
 * outbox, emitted in the transaction that moves the position on, and published by outbox-relay: it is there
 * exactly once.  docs/consumers.md tells its headers. */
OUTBOX_API int outbox_consumer_options_set_failure(outbox_consumer_options *options,
                                                   enum outbox_consumer_failure failure,
                                                   const char *dead_letter_topic);

/* What becomes of the later records of a key after one of its records became a dead letter. */
enum outbox_consumer_followers {
    OUTBOX_CONSUMER_FOLLOW,  /* as if not set: they follow it to the dead-letter topic, in order, until
                                outbox.consumer_release_key() in SQL */
    OUTBOX_CONSUMER_CONTINUE /* they are handled, as if the dead one had not been */
};

/* Sets it.  Records without a key have no followers. */
OUTBOX_API int outbox_consumer_options_set_followers(outbox_consumer_options *options,
                                                     enum outbox_consumer_followers followers);

/* How often the handler is called with a record alone before it counts as failed: 1 to 1000000; 5 unless set.
 * Between two calls: first_ms, then twice as long each time up to last_ms (1 to 3600000; 500 and 30000 unless
 * set), a fifth more or less.  The partition waits meanwhile, others do not. */
OUTBOX_API int outbox_consumer_options_set_retries(outbox_consumer_options *options, int attempts, int first_ms,
                                                   int last_ms);

/* The longest that a transaction may idle while the handler thinks, in milliseconds: 1000 to 3600000;
 * 60000 unless set.  PostgreSQL then ends it, so that a stopped process cannot hold locks for ever. */
OUTBOX_API int outbox_consumer_options_set_transaction_timeout(outbox_consumer_options *options, int milliseconds);

/* How long a transaction may take to end once its partition is revoked or the consumer is to stop, in
 * milliseconds: 0 to 600000; 5000 unless set.  Then it is cancelled and rolled back. */
OUTBOX_API int outbox_consumer_options_set_drain_timeout(outbox_consumer_options *options, int milliseconds);

/* How much it matters. */
enum outbox_consumer_level {
    OUTBOX_CONSUMER_ERROR,
    OUTBOX_CONSUMER_WARNING,
    OUTBOX_CONSUMER_INFO,
    OUTBOX_CONSUMER_DEBUG
};

/* Receives what there is to tell: level is one of enum outbox_consumer_level, event a short name ("revoked",
 * "retry", ...; docs/consumers.md lists them), text a line for people without payloads, keys or secrets.  Called
 * by any thread of the consumer; must not call the consumer. */
typedef void (*outbox_consumer_log)(int level, const char *event, const char *text, void *context);

/* Sets it.  NULL: nothing is told. */
OUTBOX_API int outbox_consumer_options_set_log(outbox_consumer_options *options, outbox_consumer_log log,
                                               void *context);

/* ---- the consumer ---- */

/* A consumer. */
typedef struct outbox_consumer outbox_consumer;

/* Makes a consumer.  options are only read.  Connects nowhere yet.
 *
 * Returns OUTBOX_OK with *ret, to be freed with outbox_consumer_free(); OUTBOX_EINVAL or OUTBOX_ELIMIT with
 * the option or property at fault; OUTBOX_ESTATE (a librdkafka that must not be used); OUTBOX_ENOMEM. */
OUTBOX_API int outbox_consumer_new(const outbox_consumer_options *options, outbox_consumer **ret,
                                   outbox_error **reterr);

/* Consumes until outbox_consumer_stop(), in this thread and in workers that it starts and joins; once only.
 * Lost connections, to PostgreSQL and to Kafka, are made again, after 0.1 to 10 seconds.
 *
 * Returns OUTBOX_OK after a stop; what a handler had not finished within the drain timeout was rolled back.
 * OUTBOX_ESTATE: a record failed and the policy is to stop, a handler answered STOP, ended the transaction
 * itself, or Kafka does not have the position any more (the message says what to do); OUTBOX_ESERVER:
 * PostgreSQL refused for a reason that another try would not mend (a missing schema or right);
 * OUTBOX_ECONNECTION: Kafka refused for such a reason; OUTBOX_ETIMEOUT: a handler did not return within
 * the drain timeout and 10 s more, and its thread is left behind: end the process;
 * OUTBOX_ENOMEM; OUTBOX_EINTERNAL. */
OUTBOX_API int outbox_consumer_run(outbox_consumer *consumer, outbox_error **reterr);

/* Has outbox_consumer_run() end.  Returns at once.  Any thread, and signal handlers. */
OUTBOX_API void outbox_consumer_stop(outbox_consumer *consumer);

/* Begins no more transactions until outbox_consumer_resume(); those that run end.  The consumer keeps its
 * partitions.  Any thread, also before outbox_consumer_run(). */
OUTBOX_API void outbox_consumer_pause(outbox_consumer *consumer);

/* Ends a pause.  Any thread. */
OUTBOX_API void outbox_consumer_resume(outbox_consumer *consumer);

/* What a consumer counts, since it was made. */
enum outbox_consumer_count {
    OUTBOX_CONSUMER_RECORDS,      /* handled and committed */
    OUTBOX_CONSUMER_TRANSACTIONS, /* committed, dead letters' too */
    OUTBOX_CONSUMER_RETRIES,      /* times that a record is to be tried again */
    OUTBOX_CONSUMER_DEAD_LETTERS, /* records that went to the dead-letter topic, followers too */
    OUTBOX_CONSUMER_TAKEOVERS,    /* partitions taken over */
    OUTBOX_CONSUMER_FENCED,       /* transactions rolled back as the partition was another's */
    OUTBOX_CONSUMER_PARTITIONS    /* that it has now */
};

/* Such a number; -1 if count is none of them.  Any thread. */
OUTBOX_API int64_t outbox_consumer_get(const outbox_consumer *consumer, enum outbox_consumer_count count);

/* Frees consumer, which must not be running.  NULL is allowed.  May take some seconds while
 * librdkafka ends.  With a librdkafka before 2.3.0 a consumer that was stopped while it joined its
 * group, before its first assignment, keeps its memory: those end the process when it is freed. */
OUTBOX_API void outbox_consumer_free(outbox_consumer *consumer);

#ifdef __cplusplus
}
#endif

#endif

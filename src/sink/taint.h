/* May a request of a finished transaction still be on its way?
 *
 * The transaction protocol that librdkafka speaks does not number transactions: an
 * EndTxn that was delayed on the wire and answered again by retry ends the *next*
 * transaction of the same producer.  So a producer is not used again once one of its
 * transactional requests ended without an answer, or EndTxn was sent twice.  A retry
 * that the broker asked for by an answer leaves nothing on the wire; AddPartitionsToTxn
 * is retried so in every tenth healthy transaction. */
#ifndef SINK_TAINT_H
#define SINK_TAINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Written by librdkafka's threads. */
struct taint {
    atomic_bool lost;     /* a transactional request ended without an answer */
    atomic_int ends_sent; /* EndTxn requests of this transaction */
};

/* At the beginning of a transaction. */
void taint_begin(struct taint *taint);
/* A request of this kind (Kafka's ApiKey) goes out. */
void taint_sent(struct taint *taint, int16_t api_key);
/* A request of this kind ended; error: librdkafka's, 0 if there was an answer. */
void taint_answered(struct taint *taint, int16_t api_key, int error);
bool taint_is(const struct taint *taint);

#endif

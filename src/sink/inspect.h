/* What a topic is like, for outboxctl doctor: the relay itself asks for less. */
#ifndef SINK_INSPECT_H
#define SINK_INSPECT_H

#include <stdbool.h>

#include "sink/kafka.h"
#include "sink/result.h"

struct inspector;

/* Does not wait for the cluster.  NULL on failure. */
struct inspector *inspector_open(const struct kafka *kafka, outbox_error **reterr);
/* NULL is allowed. */
void inspector_close(struct inspector *inspector);

struct topic_facts {
    int partitions;        /* 0: there is no such topic, and nothing else is known */
    int replication;       /* of the partition that has least */
    bool configured;       /* the rest could be read */
    char cleanup[32];      /* cleanup.policy */
    int min_insync;        /* min.insync.replicas */
    bool unclean_election; /* unclean.leader.election.enable */
};

/* SINK_OK, SINK_TIMEOUT, SINK_REFUSED.  Its configuration may be unreadable without the
 * right DescribeConfigs; that is no error. */
enum sink_result inspect_topic(struct inspector *inspector, const char *name, mono_us deadline,
                               struct topic_facts *ret, outbox_error **reterr);

#endif

/* Connections to brokers: none without TLS to other machines, and why one failed. */
#ifndef SINK_SECURITY_H
#define SINK_SECURITY_H

#include <stdbool.h>

#include "base/error.h"
#include "sink/kafka.h"

struct rd_kafka_conf_s;

/* Refuses settings by which brokers other than loopback would be spoken to without TLS.
 * OUTBOX_EINVAL. */
int security_check(const struct kafka_settings *settings, outbox_error **reterr);
/* Speaks without TLS, and to this machine alone. */
bool security_only_loopback(const struct kafka_settings *settings);
/* What the settings leave unverified, for a warning; NULL: nothing. */
const char *security_weakness(const struct kafka_settings *settings);

/* Has a client look at what it dials, and at certificates. */
void security_watch(struct rd_kafka_conf_s *conf, bool plain_only_loopback);

/* What librdkafka's error says of the connection. */
enum kafka_trouble security_trouble(struct kafka_client *client, int code, const char *text);
/* What an operator can do about it; "" for KAFKA_TROUBLE_NONE. */
const char *security_advice(const struct kafka_client *client, char *room, size_t size);

#endif

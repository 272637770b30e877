/* What may be spoken to without TLS: this machine, unless told otherwise. */
#ifndef SINK_PLAIN_H
#define SINK_PLAIN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "sink/security.h"

/* The value of a property; "" if it is not set. */
const char *plain_setting(const struct kafka_settings *settings, const char *name);
/* Is this value of security.protocol one with TLS? */
bool plain_is_tls(const char *protocol);
bool plain_uses_tls(const struct kafka_settings *settings);
/* librdkafka's connect_cb; opaque is a struct kafka_client. */
int plain_connect(int socket, const struct sockaddr *address, int size, const char *id, void *opaque);

#endif

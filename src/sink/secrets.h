/* No secret of the settings in what librdkafka says. */
#ifndef SINK_SECRETS_H
#define SINK_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#include "sink/kafka.h"

/* Is the value of this property a secret? */
bool secrets_is(const char *property);

/* Copies text, up to room, with stars in the place of each secret value of the properties;
 * also of one that was cut off by the end of text. */
void secrets_hide(const struct kafka_property *properties, size_t count, const char *text, char *ret, size_t room);

#endif

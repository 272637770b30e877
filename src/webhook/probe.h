/* One webhook, sent once, for outboxctl endpoint test. */
#ifndef WEBHOOK_PROBE_H
#define WEBHOOK_PROBE_H

#include "webhook/http.h"

/* Texts are borrowed. */
struct probe {
    const char *url;
    const char *id;
    const char *timestamp;
    const char *signature; /* the whole value of webhook-signature */
    const char *type;
    const char *content_type;
    const char *payload;
    mono_us timeout;
};

/* Sends it on a connection of its own, and waits for the end of it: at most the timeout
 * and a little.  OUTBOX_OK if *ret tells what happened, whatever that was; an error if it
 * could not even be tried. */
int probe_send(const struct http_settings *settings, const struct probe *probe, struct http_evidence *ret,
               outbox_error **reterr);

#endif

/* An event stream (server-sent events) to one browser. */
#ifndef DASHBOARD_STREAM_H
#define DASHBOARD_STREAM_H

#include <microhttpd.h>
#include <stdint.h>

#include "feed.h"

/* Begins after this alert.  NULL without memory. */
struct MHD_Response *stream_response(struct feed *feed, int64_t last_alert);

#endif

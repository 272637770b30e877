/* Metrics as text, in Prometheus' exposition format 0.0.4. */
#ifndef ADMIN_EXPOSITION_H
#define ADMIN_EXPOSITION_H

#include "base/buf.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The rows of runtime/metrics.h. */
void exposition_write(struct outbox__buf *out);
/* outbox_build_info, and process_* as every exporter has them. */
void exposition_write_process(struct outbox__buf *out, const char *version);
/* A label's value, with what needs it escaped. */
void exposition_escape(struct outbox__buf *out, const char *text);

#endif

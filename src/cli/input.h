/* What a command reads: files, standard input, random bytes. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "base/buf.h"
#include "base/error.h"

/* Appends the file's bytes; "-" is standard input.  More than buf's limit is an error. */
int read_input(const char *path, struct outbox__buf *buf, outbox_error **reterr);

/* A text of words separated by commas as an array of PostgreSQL, '{"a","b.*"}'. */
int array_literal(const char *list, struct outbox__buf *buf, outbox_error **reterr);
/* Appends a literal of interval[] from times separated by commas, such as 0s,5s,5m. */
int schedule_literal(const char *list, struct outbox__buf *buf, outbox_error **reterr);

/* Secret bytes of a webhook: generated, or read from its text form "whsec_BASE64". */
#define SECRET_PREFIX "whsec_"
#define SECRET_MAX 75 /* bytes; the least is 24 */
int secret_generate(unsigned char ret[32], outbox_error **reterr);
int secret_parse(const char *text, unsigned char ret[SECRET_MAX], size_t *ret_size, outbox_error **reterr);

#endif

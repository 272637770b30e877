/* Log lines in logfmt on standard error:
 *   time=2026-01-02T03:04:05.678Z level=info event=lane lane=0 state=running epoch=7
 * One line is one write(2).  Values are quoted and escaped where needed, so nothing
 * that comes from outside can forge a line.  Never pass secrets, payloads or keys. */
#ifndef RUNTIME_LOG_H
#define RUNTIME_LOG_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_field {
    const char *name;
    const char *text; /* NULL: number counts */
    int64_t number;
};

#define LOG_TEXT(name, value) {(name), (value) ? (value) : "", 0}
#define LOG_NUMBER(name, value) {(name), NULL, (int64_t)(value)}

#define log_write(level, event, ...)                                                                         \
    log_write_fields((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) {NULL, NULL, 0}})
#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event __VA_OPT__(, ) __VA_ARGS__)
#define log_warning(event, ...) log_write(LOG_LEVEL_WARNING, event __VA_OPT__(, ) __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event __VA_OPT__(, ) __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event __VA_OPT__(, ) __VA_ARGS__)

void log_write_fields(enum log_level level, const char *event, const struct log_field *fields);
/* Lines above this level are dropped.  Default: info. */
void log_set_level(enum log_level level);
/* "error", "warning", "info", "debug"; false if it is none of them. */
bool log_level_parse(const char *name, enum log_level *ret);

#endif

#include "runtime/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/metrics.h"

#define LINE_MAX_BYTES 2048

struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
};

static atomic_int current_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_set_level(enum log_level level)
{
    atomic_store(&current_level, (int)level);
}

bool log_level_parse(const char *name, enum log_level *ret)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* A line that is full is cut: a log line is never worth failing for. */
static void put(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof(line->text) - 1 - line->size; /* 1 for the newline */

    if (size > room)
        size = room;
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void put_escaped(struct line *line, const char *text)
{
    put(line, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char escaped[8];

        if (c == '"' || c == '\\')
            put(line, escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\%c", c));
        else if (c == '\n')
            put(line, "\\n", 2);
        else if (c < 0x20 || c == 0x7f)
            put(line, escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\u%04x", c));
        else
            put(line, text, 1);
    }
    put(line, "\"", 1);
}

static bool needs_quotes(const char *text)
{
    if (!*text)
        return true;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c <= 0x20 || c == 0x7f || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return false;
}

static void put_field(struct line *line, const struct log_field *field)
{
    char number[32];

    put(line, " ", 1);
    put(line, field->name, strlen(field->name));
    put(line, "=", 1);
    if (!field->text)
        put(line, number, (size_t)snprintf(number, sizeof(number), "%" PRId64, field->number));
    else if (needs_quotes(field->text))
        put_escaped(line, field->text);
    else
        put(line, field->text, strlen(field->text));
}

static void put_time(struct line *line)
{
    int64_t now = clock_wall();
    time_t seconds = (time_t)(now / 1000000);
    struct tm utc;
    char text[64];

    gmtime_r(&seconds, &utc);
    put(line, "time=", 5);
    put(line, text, strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc));
    put(line, text, (size_t)snprintf(text, sizeof(text), ".%03dZ", (int)(now % 1000000 / 1000)));
}

void log_write_fields(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line line = {.size = 0};

    if ((int)level > atomic_load(&current_level))
        return;
    metric_add(METRIC_LOG_LINES + (int)level, 1);
    put_time(&line);
    put_field(&line, &(const struct log_field)LOG_TEXT("level", level_names[level]));
    put_field(&line, &(const struct log_field)LOG_TEXT("event", event));
    for (; fields->name; fields++)
        put_field(&line, fields);
    line.text[line.size++] = '\n';
    if (write(STDERR_FILENO, line.text, line.size) < 0)
        return; /* nowhere left to say so */
}

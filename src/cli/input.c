#include "cli/input.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/base64.h"
#include "config/value.h"

/* What the relay takes. */
#define SCHEDULE_MAX 64

int read_input(const char *path, struct outbox__buf *buf, outbox_error **reterr)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "re");
    char part[16384];
    size_t size;
    int failed;

    if (!file)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "%s: cannot be read: %s", path, strerror(errno));
    while (!buf->failed && (size = fread(part, 1, sizeof(part), file)) > 0)
        outbox__buf_append(buf, part, size);
    failed = ferror(file) ? errno : 0;
    if (!standard)
        fclose(file);
    if (failed)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "%s: cannot be read: %s",
                            standard ? "standard input" : path, strerror(failed));
    if (buf->failed)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "%s: has more than %zu bytes",
                            standard ? "standard input" : path, buf->limit);
    return OUTBOX_OK;
}

int array_literal(const char *list, struct outbox__buf *buf, outbox_error **reterr)
{
    outbox__buf_puts(buf, "{");
    for (;;) {
        size_t size = strcspn(list, ",");
        size_t trimmed = size;

        while (trimmed > 0 && isspace((unsigned char)*list))
            list++, trimmed--, size--;
        while (trimmed > 0 && isspace((unsigned char)list[trimmed - 1]))
            trimmed--;
        if (trimmed == 0)
            return outbox__fail(reterr, OUTBOX_EINVAL, NULL,
                                "an empty word in a list; separate them by single commas");
        outbox__buf_puts(buf, "\"");
        for (size_t i = 0; i < trimmed; i++) {
            if (list[i] == '"' || list[i] == '\\')
                outbox__buf_puts(buf, "\\");
            outbox__buf_append(buf, list + i, 1);
        }
        outbox__buf_puts(buf, "\"");
        list += size;
        if (!*list)
            break;
        outbox__buf_puts(buf, ",");
        list++;
    }
    outbox__buf_puts(buf, "}");
    return buf->failed ? outbox__fail(reterr, OUTBOX_EINVAL, NULL, "the list is too long") : OUTBOX_OK;
}

/* Durations as the other flags take them: what Postgres calls an interval knows other units. */
int schedule_literal(const char *list, struct outbox__buf *buf, outbox_error **reterr)
{
    char word[VALUE_TEXT];
    mono_us wait;

    for (int count = 1;; count++) {
        size_t size = strcspn(list, ",");

        if (count > SCHEDULE_MAX)
            return outbox__fail(reterr, OUTBOX_ELIMIT, "schedule", "--schedule: has more than %d waits",
                                SCHEDULE_MAX);
        snprintf(word, sizeof(word), "%.*s", (int)size, list);
        if (size >= sizeof(word) || !value_duration(word, &wait) || wait < 0)
            return outbox__fail(
                reterr, OUTBOX_EINVAL, "schedule",
                "--schedule: \"%s\" is no time; must be like 0s,5s,5m: the wait before each attempt", word);
        outbox__buf_printf(buf, "%s%" PRId64 " us", count == 1 ? "{" : ",", wait);
        list += size;
        if (!*list)
            break;
        list++;
    }
    outbox__buf_puts(buf, "}");
    return buf->failed ? outbox__fail(reterr, OUTBOX_EINVAL, NULL, "the list is too long") : OUTBOX_OK;
}

int secret_generate(unsigned char ret[32], outbox_error **reterr)
{
    /* Up to 256 bytes come whole or not at all. */
    if (getrandom(ret, 32, 0) != 32)
        return outbox__fail(reterr, OUTBOX_EINTERNAL, "secret", "the kernel gives no random bytes: %s",
                            strerror(errno));
    return OUTBOX_OK;
}

int secret_parse(const char *text, unsigned char ret[SECRET_MAX], size_t *ret_size, outbox_error **reterr)
{
    size_t size = strlen(text);
    ssize_t bytes = -1;

    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    if (size > strlen(SECRET_PREFIX) && strncmp(text, SECRET_PREFIX, strlen(SECRET_PREFIX)) == 0)
        bytes = outbox__base64_decode(text + strlen(SECRET_PREFIX), size - strlen(SECRET_PREFIX), ret,
                                      SECRET_MAX);
    if (bytes < 24)
        return outbox__fail(reterr, OUTBOX_EINVAL, "secret",
                            "the secret must be " SECRET_PREFIX " and 24 to 75 bytes in base64");
    *ret_size = (size_t)bytes;
    return OUTBOX_OK;
}

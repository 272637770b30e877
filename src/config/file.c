#include "config/file.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define VALUE_MAX 65536

struct reader {
    const char *path;
    FILE *file;
    char *line; /* as it stands in the file */
    size_t allocated;
    size_t size;
    size_t given;   /* of it to inih so far */
    int number;     /* of that line */
    bool continued; /* what inih has now belongs to the value before */
    bool split;     /* ... and was cut by us, so that no blank goes between */
    config_entry *entry;
    void *user;
    char name[128]; /* the entry that is being collected; "": none */
    int name_line;
    struct outbox__buf value;
    int status;
    outbox_error **reterr;
};

/* inih takes at most 199 bytes at a time but lets a value continue in the next line: a
 * long line is given to it in pieces.  A piece ends where inih would trim nothing and
 * would see no comment. */
static size_t piece_size(const char *text, size_t size, size_t room)
{
    size_t cut;

    if (size <= room)
        return size;
    for (cut = room; cut > 1; cut--) {
        if (!isspace((unsigned char)text[cut - 1]) && !isspace((unsigned char)text[cut]) &&
            text[cut] != ';' && text[cut] != '#' && text[cut] != '[')
            return cut;
    }
    return room;
}

static char *give_piece(struct reader *r, char *buffer, int buffer_size)
{
    size_t lead = r->given > 0; /* a blank in front says "continued" */
    size_t size = piece_size(r->line + r->given, r->size - r->given, (size_t)buffer_size - 1 - lead);

    buffer[0] = ' ';
    memcpy(buffer + lead, r->line + r->given, size);
    buffer[lead + size] = '\0';
    r->split = r->given > 0;
    r->given += size;
    return buffer;
}

/* A comment must not be cut into pieces: the second would look like a value. */
static size_t size_without_comment(const char *line)
{
    size_t start = strspn(line, " \t\r\n");

    if (line[start] == '#' || line[start] == ';')
        return 0;
    for (size_t i = start; line[i]; i++) {
        if (line[i] == ';' && i > 0 && isspace((unsigned char)line[i - 1]))
            return i;
    }
    return strlen(line);
}

static char *next_piece(char *buffer, int buffer_size, void *stream)
{
    struct reader *r = stream;
    ssize_t size;

    if (r->given < r->size) {
        r->continued = true;
        return give_piece(r, buffer, buffer_size);
    }
    if (r->status < 0)
        return NULL;
    size = getline(&r->line, &r->allocated, r->file);
    if (size < 0)
        return NULL;
    if (r->number++ == 0 && strncmp(r->line, "\xef\xbb\xbf", 3) == 0)
        memmove(r->line, r->line + 3, (size_t)size - 2); /* a byte order mark */
    r->size = size_without_comment(r->line);
    r->given = 0;
    r->continued = r->size > 0 && isspace((unsigned char)r->line[0]);
    if (r->size == 0) {
        memcpy(buffer, "\n", 2);
        return buffer;
    }
    return give_piece(r, buffer, buffer_size);
}

static int finish_entry(struct reader *r)
{
    if (!r->name[0])
        return OUTBOX_OK;
    if (r->value.failed)
        r->status =
            outbox__fail(r->reterr, OUTBOX_EINVAL, NULL, "%s:%d: %s: the value is longer than %d bytes",
                         r->path, r->name_line, r->name, VALUE_MAX);
    else
        r->status = r->entry(r->user, r->name, outbox__buf_text(&r->value), r->name_line, r->reterr);
    r->name[0] = '\0';
    outbox__buf_clear(&r->value);
    return r->status;
}

/* Called by inih: 1 good, 0 not. */
static int take_entry(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    char full[sizeof(r->name)];
    const char *prefix = strcmp(section, "kafka") == 0 && strncmp(name, "kafka.", 6) != 0 ? "kafka." : "";

    if (r->status < 0)
        return 0;
    if (!name[0]) {
        r->status = outbox__fail(r->reterr, OUTBOX_EINVAL, NULL, "%s:%d: there is no name before the value",
                                 r->path, r->number);
        return 0;
    }
    if ((size_t)snprintf(full, sizeof(full), "%s%s", prefix, name) >= sizeof(full)) {
        r->status = outbox__fail(r->reterr, OUTBOX_EINVAL, NULL, "%s:%d: the name is longer than %zu bytes",
                                 r->path, r->number, sizeof(full) - 1);
        return 0;
    }
    if (r->continued && strcmp(full, r->name) == 0) {
        outbox__buf_puts(&r->value, r->split ? "" : " ");
        outbox__buf_puts(&r->value, value);
        return 1;
    }
    if (finish_entry(r) < 0)
        return 0;
    memcpy(r->name, full, sizeof(full));
    r->name_line = r->number;
    outbox__buf_puts(&r->value, value);
    return 1;
}

/* Which line of the file was in the nth call of next_piece()? */
static int line_of_piece(struct reader *r, int n)
{
    char buffer[200];

    rewind(r->file);
    r->number = 0;
    r->size = r->given = 0;
    while (n-- > 0 && next_piece(buffer, sizeof(buffer), r))
        ;
    return r->number;
}

int config_file_read(const char *path, config_entry *entry, void *user, outbox_error **reterr)
{
    struct reader r = {
        .path = path, .entry = entry, .user = user, .reterr = reterr, .value = OUTBOX__BUF_INIT(VALUE_MAX)};
    int bad_piece;

    r.file = fopen(path, "re");
    if (!r.file)
        return outbox__fail(reterr, OUTBOX_EINVAL, NULL, "%s: cannot be read: %s", path, strerror(errno));
    bad_piece = ini_parse_stream(next_piece, &r, take_entry, &r);
    if (r.status == OUTBOX_OK)
        finish_entry(&r);
    if (r.status == OUTBOX_OK && ferror(r.file))
        r.status = outbox__fail(reterr, OUTBOX_EINVAL, NULL, "%s: cannot be read: %s", path, strerror(errno));
    if (r.status == OUTBOX_OK && bad_piece != 0)
        r.status = outbox__fail(reterr, OUTBOX_EINVAL, NULL,
                                "%s:%d: is not `name = value`, `[section]` or a comment", path,
                                line_of_piece(&r, bad_piece));
    free(r.line);
    fclose(r.file);
    outbox__buf_free(&r.value);
    return r.status;
}

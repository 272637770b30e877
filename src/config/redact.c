#include "config/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HIDDEN "***"

struct text {
    char *data;
    size_t size;
    size_t room;
};

static void put(struct text *out, const char *data, size_t size)
{
    size_t left = out->room - 1 - out->size;

    if (size > left)
        size = left;
    memcpy(out->data + out->size, data, size);
    out->size += size;
    out->data[out->size] = '\0';
}

static void puts_text(struct text *out, const char *text)
{
    put(out, text, strlen(text));
}

/* Only what is known to be harmless is shown: a new secret keyword of libpq stays hidden. */
static bool may_show(const char *name, size_t size)
{
    static const char *const shown[] = {"host",
                                        "hostaddr",
                                        "port",
                                        "dbname",
                                        "user",
                                        "sslmode",
                                        "sslrootcert",
                                        "sslcert",
                                        "sslkey",
                                        "sslsni",
                                        "application_name",
                                        "fallback_application_name",
                                        "connect_timeout",
                                        "target_session_attrs",
                                        "channel_binding",
                                        "keepalives",
                                        "keepalives_idle",
                                        "keepalives_interval",
                                        "keepalives_count",
                                        "tcp_user_timeout",
                                        "gssencmode",
                                        "krbsrvname",
                                        "client_encoding",
                                        "options",
                                        "service",
                                        "load_balance_hosts",
                                        "ssl_min_protocol_version",
                                        "ssl_max_protocol_version"};

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        if (strlen(shown[i]) == size && strncmp(shown[i], name, size) == 0)
            return true;
    }
    return false;
}

/* The end of a value: quoted, or up to the next blank; a backslash takes the next character along. */
static const char *value_end(const char *text)
{
    bool quoted = *text == '\'';

    for (text += quoted; *text; text++) {
        if (*text == '\\' && text[1])
            text++;
        else if (quoted && *text == '\'')
            return text + 1;
        else if (!quoted && isspace((unsigned char)*text))
            return text;
    }
    return quoted ? NULL : text;
}

static bool redact_keywords(const char *dsn, struct text *out)
{
    for (;;) {
        const char *name, *value, *end;
        size_t size;

        while (isspace((unsigned char)*dsn))
            dsn++;
        if (!*dsn)
            return true;
        name = dsn;
        size = strcspn(name, "= \t\n\r");
        value = name + size;
        while (isspace((unsigned char)*value))
            value++;
        if (size == 0 || *value != '=')
            return false;
        for (value++; isspace((unsigned char)*value); value++)
            ;
        end = value_end(value);
        if (!end)
            return false;
        if (out->size > 0)
            puts_text(out, " ");
        put(out, name, size);
        puts_text(out, "=");
        if (may_show(name, size))
            put(out, value, (size_t)(end - value));
        else
            puts_text(out, HIDDEN);
        dsn = end;
    }
}

/* name=value&name=value */
static bool redact_query(const char *query, struct text *out)
{
    const char *separator = "?";

    while (*query) {
        size_t size = strcspn(query, "&");
        size_t name = strcspn(query, "=");

        if (name >= size)
            return false;
        puts_text(out, separator);
        put(out, query, name + 1);
        if (may_show(query, name))
            put(out, query + name + 1, size - name - 1);
        else
            puts_text(out, HIDDEN);
        separator = "&";
        query += size + (query[size] == '&');
    }
    return true;
}

/* scheme://user:password@hosts/name?query */
static bool redact_uri(const char *dsn, struct text *out)
{
    const char *authority = strstr(dsn, "://") + 3;
    const char *authority_end = authority + strcspn(authority, "/?");
    const char *at = NULL;
    size_t path;

    for (const char *p = authority; p < authority_end; p++) {
        if (*p == '@')
            at = p;
    }
    put(out, dsn, (size_t)(authority - dsn));
    if (at) {
        const char *colon = memchr(authority, ':', (size_t)(at - authority));

        put(out, authority, (size_t)((colon ? colon : at) - authority));
        if (colon)
            puts_text(out, ":" HIDDEN);
        authority = at;
    } else if (strchr(authority_end, '@')) {
        return false; /* an unescaped "/" or "?" in a password: libpq would not take it either */
    }
    put(out, authority, (size_t)(authority_end - authority));
    path = strcspn(authority_end, "?");
    put(out, authority_end, path);
    return authority_end[path] != '?' || redact_query(authority_end + path + 1, out);
}

void redact_dsn(const char *dsn, char *ret, size_t room)
{
    struct text out = {ret, 0, room};
    bool uri = strncmp(dsn, "postgresql://", 13) == 0 || strncmp(dsn, "postgres://", 11) == 0;

    ret[0] = '\0';
    if (!(uri ? redact_uri(dsn, &out) : redact_keywords(dsn, &out)))
        snprintf(ret, room, "%s (not understood, hence not shown)", HIDDEN);
}

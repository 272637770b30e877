#include "consumer/dead_letter.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/utf8.h"
#include "consumer/position.h"

#define TYPE "dead_letter"
/* The outbox's own limits (sql/migrations/0004_emit.sql). */
#define KEY_LIMIT 4096
#define NAME_LIMIT 128
#define VALUE_LIMIT 4096
#define TEXT_LIMIT 255

static bool is_text(const char *value, size_t size, size_t limit)
{
    return value && size <= limit && outbox__utf8_valid(value, size) && !outbox__has_control(value, size);
}

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"host",          "content-length", "content-type", "transfer-encoding",
                                           "authorization", "connection",     "traceparent",  "tracestate"};

    if (strncasecmp(name, "outbox-", 7) == 0 || strncasecmp(name, "webhook-", 8) == 0)
        return true;
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strcasecmp(name, reserved[i]) == 0)
            return true;
    }
    return false;
}

bool dead_letter_takes_header(const char *name, const char *value, size_t size)
{
    size_t name_size = strlen(name);

    return name_size >= 1 && name_size <= NAME_LIMIT && !is_reserved(name) &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == name_size &&
           is_text(value, size, VALUE_LIMIT);
}

char *dead_letter_key(const void *key, size_t size, const char **ret_form)
{
    static const char digits[] = "0123456789abcdef";
    size_t kept = size < KEY_LIMIT / 2 ? size : KEY_LIMIT / 2;
    const uint8_t *bytes = key;
    char *text = malloc(KEY_LIMIT + 1);

    *ret_form = NULL;
    if (!text)
        return NULL;
    if (size <= KEY_LIMIT && outbox__utf8_valid(key, size)) {
        memcpy(text, key, size);
        text[size] = '\0';
        return text;
    }
    for (size_t i = 0; i < kept; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * kept] = '\0';
    *ret_form = kept < size ? "hex, cut" : "hex";
    return text;
}

/* ---- headers ---- */

static const char *header(const rd_kafka_message_t *message, const char *name, size_t *ret_size)
{
    rd_kafka_headers_t *headers;
    const void *value = NULL;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, ret_size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NULL;
    return value;
}

static bool put(json_t *object, const char *name, const char *value, size_t size)
{
    return json_object_set_new(object, name, json_stringn(value, size)) == 0;
}

static bool put_text(json_t *object, const char *name, const char *value)
{
    return put(object, name, value, strlen(value));
}

static bool put_number(json_t *object, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return put_text(object, name, text);
}

/* Those of the record; what the outbox does not take is counted. */
static bool put_own(json_t *object, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    int omitted = 0;
    size_t size;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        if (dead_letter_takes_header(name, value, size)) {
            if (!put(object, name, value, size))
                return false;
        } else if (!is_reserved(name)) {
            omitted++;
        }
    }
    return omitted == 0 || put_number(object, "dead-letter-headers-omitted", omitted);
}

/* The event's own, under names that may be emitted. */
static bool put_event(json_t *object, const rd_kafka_message_t *message)
{
    static const struct {
        const char *from;
        const char *to;
    } names[] = {{"outbox-id", "dead-letter-id"},
                 {"outbox-type", "dead-letter-type"},
                 {"outbox-time", "dead-letter-time"},
                 {"outbox-seq", "dead-letter-seq"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t size;
        const char *value = header(message, names[i].from, &size);

        if (is_text(value, value ? size : 0, TEXT_LIMIT) && !put(object, names[i].to, value, size))
            return false;
    }
    return true;
}

static bool put_origin(json_t *object, const struct partition *partition, const struct dead_letter *letter)
{
    rd_kafka_timestamp_type_t type;
    int64_t timestamp = rd_kafka_message_timestamp(letter->message, &type);

    return put_text(object, "dead-letter-consumer", partition->consumer->options->name) &&
           put_text(object, "dead-letter-topic", partition->topic) &&
           put_number(object, "dead-letter-partition", partition->number) &&
           put_number(object, "dead-letter-offset", letter->message->offset) &&
           put_number(object, "dead-letter-timestamp", timestamp) &&
           put_number(object, "dead-letter-attempts", letter->attempts) &&
           put_text(object, "dead-letter-reason", letter->reason);
}

char *dead_letter_headers(const struct partition *partition, const struct dead_letter *letter, const char *key_form)
{
    json_t *object = json_object();
    char *text = NULL;

    if (object && (letter->bare || (put_own(object, letter->message) && put_event(object, letter->message))) &&
        (!letter->bare || put_text(object, "dead-letter-omitted", "payload and headers")) &&
        (!key_form || put_text(object, "dead-letter-key", key_form)) && put_origin(object, partition, letter))
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

/* ---- emitting ---- */

/* A header as a text of its own; NULL if it is none that the outbox takes. */
static char *copy_text(const struct dead_letter *letter, const char *name, size_t limit)
{
    size_t size;
    const char *value = letter->bare ? NULL : header(letter->message, name, &size);

    return value && size > 0 && is_text(value, size, limit) ? strndup(value, size) : NULL;
}

static int emit(struct pg *pg, const struct partition *partition, const struct dead_letter *letter, const char *key,
                const char *headers, outbox_error **reterr)
{
    const rd_kafka_message_t *message = letter->message;
    char *content_type = copy_text(letter, "content-type", TEXT_LIMIT);
    char *tenant = copy_text(letter, "outbox-tenant", TEXT_LIMIT);
    struct pg_args args = PG_ARGS_INIT;
    int r;

    pg_arg_text(&args, TYPE);
    pg_arg_text(&args, key);
    if (letter->bare || !message->payload)
        pg_arg_text(&args, NULL);
    else
        pg_arg_bytes(&args, message->payload, message->len);
    pg_arg_text(&args, content_type);
    pg_arg_text(&args, partition->consumer->options->dead_letter_topic);
    pg_arg_text(&args, headers);
    pg_arg_text(&args, tenant);
    r = pg_exec(pg,
                "SELECT FROM outbox.emit_event(p_type => $1, p_key => $2, p_payload => $3::bytea, p_content_type => $4,"
                " p_topic => $5, p_headers => $6::jsonb, p_tenant => $7)",
                &args, 0, clock_now() + POSITION_PATIENCE, NULL, reterr);
    free(content_type);
    free(tenant);
    return r;
}

int dead_letter_emit(struct pg *pg, const struct partition *partition, const struct dead_letter *letter,
                     outbox_error **reterr)
{
    const char *form = NULL;
    char *key = letter->message->key ? dead_letter_key(letter->message->key, letter->message->key_len, &form) : NULL;
    char *headers = dead_letter_headers(partition, letter, form);
    int r;

    if (!headers || (letter->message->key && !key)) {
        r = outbox__fail_memory(reterr);
        goto out;
    }
    /* The limit is for what services emit; this has been in Kafka already. */
    r = position_run(pg, "SELECT set_config('outbox.max_payload_bytes', '268435456', true)", reterr);
    if (r == OUTBOX_OK)
        r = emit(pg, partition, letter, key, headers, reterr);
out:
    free(headers);
    free(key);
    return r;
}

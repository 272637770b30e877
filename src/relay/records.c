#include "relay/records.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/uuid.h"
#include "runtime/clock.h"
#include "sink/timestamp.h"

#define OWN_HEADERS 8
#define TIME_TEXT 32

/* What one record needs beside its event. */
struct room {
    char id[OUTBOX__UUID_TEXT];
    char seq[24];
    char time[TIME_TEXT];
    struct sink_header headers[OWN_HEADERS];
    struct sink_header *all; /* own and the event's, when it has some */
    json_t *parsed;
};

struct records {
    struct sink_record *list;
    struct room *rooms;
    int64_t *seqs;
    const char **topics;
    size_t allocated;
    size_t used; /* rooms with something to give back */
    time_t second; /* whose text is below, if it has a size */
    size_t second_size;
    char second_text[TIME_TEXT];
};

struct records *records_new(void)
{
    return calloc(1, sizeof(struct records));
}

static void release_rooms(struct records *records)
{
    for (size_t i = 0; i < records->used; i++) {
        free(records->rooms[i].all);
        json_decref(records->rooms[i].parsed);
        records->rooms[i].all = NULL;
        records->rooms[i].parsed = NULL;
    }
    records->used = 0;
}

void records_free(struct records *records)
{
    if (!records)
        return;
    release_rooms(records);
    free(records->list);
    free(records->rooms);
    free(records->seqs);
    free(records->topics);
    free(records);
}

static bool make_room(struct records *records, size_t count)
{
    if (count <= records->allocated)
        return true;
    free(records->list);
    free(records->rooms);
    free(records->seqs);
    free(records->topics);
    records->seqs = calloc(count, sizeof(*records->seqs));
    records->list = calloc(count, sizeof(*records->list));
    records->rooms = calloc(count, sizeof(*records->rooms));
    records->topics = calloc(count, sizeof(*records->topics));
    records->allocated =
        records->list && records->rooms && records->seqs && records->topics ? count : 0;
    return records->allocated != 0;
}

static void put_text(struct sink_header **at, const char *name, const char *value, size_t size)
{
    **at = (struct sink_header){name, value, size};
    ++*at;
}

static void put(struct sink_header **at, const char *name, const char *value)
{
    if (value)
        put_text(at, name, value, strlen(value));
}

static char *put_digits(char *at, uint64_t number, int width)
{
    for (int i = width; i-- > 0; number /= 10)
        at[i] = (char)('0' + number % 10);
    return at + width;
}

static size_t format_number(int64_t number, char ret[24])
{
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    char *at = ret;
    int width = 1;

    for (uint64_t left = rest; left >= 10; left /= 10)
        width++;
    if (number < 0)
        *at++ = '-';
    at = put_digits(at, rest, width);
    *at = '\0';
    return (size_t)(at - ret);
}

/* RFC 3339 in UTC, with microseconds.  Events come in the order of their time, more or less, and
 * many to a second: the calendar is asked once for each. */
static size_t format_time(struct records *records, int64_t us, char ret[TIME_TEXT])
{
    int64_t fraction = (us % 1000000 + 1000000) % 1000000;
    time_t second = (time_t)((us - fraction) / 1000000);
    char *at;

    if (records->second_size == 0 || records->second != second) {
        struct tm utc;

        gmtime_r(&second, &utc);
        records->second_size = strftime(records->second_text, TIME_TEXT, "%Y-%m-%dT%H:%M:%S.", &utc);
        records->second = second;
    }
    memcpy(ret, records->second_text, records->second_size);
    at = put_digits(ret + records->second_size, (uint64_t)fraction, 6);
    *at++ = 'Z';
    *at = '\0';
    return (size_t)(at - ret);
}

static size_t put_own_headers(struct records *records, const struct page_event *event, struct room *room)
{
    struct sink_header *at = room->headers;
    struct outbox__uuid id;

    memcpy(id.bytes, event->id, sizeof(id.bytes));
    outbox__uuid_format(&id, room->id);
    put_text(&at, "outbox-id", room->id, OUTBOX__UUID_TEXT - 1);
    put(&at, "outbox-type", event->type);
    put_text(&at, "outbox-time", room->time, format_time(records, event->occurred_at, room->time));
    put_text(&at, "outbox-seq", room->seq, format_number(event->seq, room->seq));
    put(&at, "outbox-tenant", event->tenant);
    put(&at, "content-type", event->content_type);
    put(&at, "traceparent", event->traceparent);
    put(&at, "tracestate", event->tracestate);
    return (size_t)(at - room->headers);
}

static int add_event_headers(const struct page_event *event, struct room *room, size_t own, size_t *ret_count,
                             outbox_error **reterr)
{
    json_error_t error;
    struct sink_header *at;
    const char *name;
    json_t *value;

    room->parsed = json_loads(event->headers, 0, &error);
    if (!json_is_object(room->parsed))
        return outbox__fail(reterr, OUTBOX_EINVAL, "headers", "event %s: the headers are not a JSON object",
                            room->id);
    room->all = calloc(own + json_object_size(room->parsed), sizeof(*room->all));
    if (!room->all)
        return outbox__fail_memory(reterr);
    memcpy(room->all, room->headers, own * sizeof(*room->all));
    at = room->all + own;
    json_object_foreach(room->parsed, name, value) {
        if (!json_is_string(value))
            return outbox__fail(reterr, OUTBOX_EINVAL, "headers", "event %s: header %s is not a text", room->id,
                                name);
        *at++ = (struct sink_header){name, json_string_value(value), json_string_length(value)};
    }
    *ret_count = (size_t)(at - room->all);
    return OUTBOX_OK;
}

static int make_record(struct records *records, const struct page_event *event, struct room *room,
                       struct sink_record *ret, outbox_error **reterr)
{
    size_t count = put_own_headers(records, event, room);
    const struct sink_header *headers = room->headers;

    if (event->headers) {
        int status = add_event_headers(event, room, count, &count, reterr);

        if (status < 0)
            return status;
        headers = room->all;
    }
    *ret = (struct sink_record){
        .topic = event->topic,
        .partition = event->partition,
        .key = event->key,
        .key_size = event->key_size,
        .payload = event->payload,
        .payload_size = event->payload_size,
        .timestamp_ms = timestamp_of_record(event->occurred_at, clock_wall()),
        .headers = headers,
        .header_count = count,
    };
    return OUTBOX_OK;
}

/* Most pages have few topics: remembers each one once, the last one first. */
static void note_topic(struct records *records, const char *topic, size_t *count)
{
    for (size_t i = *count; i > 0; i--) {
        if (records->topics[i - 1] == topic || strcmp(records->topics[i - 1], topic) == 0)
            return;
    }
    records->topics[(*count)++] = topic;
}

int records_make(struct records *records, const struct page *page, const struct sink_record **ret_list,
                 size_t *ret_count, const char *const **ret_topics, size_t *ret_topic_count,
                 outbox_error **reterr)
{
    size_t topics = 0;

    release_rooms(records);
    if (!make_room(records, (size_t)page_count(page)))
        return outbox__fail_memory(reterr);
    for (int i = 0; i < page_count(page); i++) {
        struct page_event event;
        size_t at = records->used;
        int status;

        page_get(page, i, &event);
        if (!event.topic || page_is_left_out(page, i))
            continue;
        records->seqs[at] = event.seq;
        records->used++;
        status = make_record(records, &event, &records->rooms[at], &records->list[at], reterr);
        if (status < 0)
            return status;
        note_topic(records, event.topic, &topics);
    }
    *ret_list = records->list;
    *ret_count = records->used;
    *ret_topics = records->topics;
    *ret_topic_count = topics;
    return OUTBOX_OK;
}

int64_t records_seq(const struct records *records, size_t index)
{
    return records->seqs[index];
}

const char *records_topic(const struct records *records, size_t index)
{
    return records->list[index].topic;
}

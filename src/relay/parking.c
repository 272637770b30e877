#include "relay/parking.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/log.h"
#include "runtime/metrics.h"

int parking_begin(struct parking *parking, struct pg *pg, const struct parking_owner *owner, mono_us deadline,
                  outbox_error **reterr)
{
    parking->owner = *owner;
    return parking_survey(pg, owner, deadline, &parking->open, &parking->last, reterr);
}

static void note_last(struct parking *parking, int64_t seq)
{
    if (seq > parking->last)
        parking->last = seq;
}

/* ---- leaving out ---- */

static void leave_out(const PGresult *rows, struct page *page)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        if (!PQgetisnull(rows, row, 0))
            page_leave_out(page, pg_get_int(rows, row, 0));
    }
}

static bool is_of(const PGresult *rows, const char *topic)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        if (!PQgetisnull(rows, row, 1) && strcmp(PQgetvalue(rows, row, 1), topic) == 0)
            return true;
    }
    return false;
}

/* The page's events of topics in which something is parked, {"topic": [seq, ...]}. */
static json_t *suspects(const PGresult *rows, const struct page *page)
{
    json_t *topics = json_object();

    for (int i = 0; i < page_count(page); i++) {
        struct page_event event;
        json_t *seqs;

        page_get(page, i, &event);
        if (page_is_left_out(page, i) || !event.topic || !is_of(rows, event.topic))
            continue;
        seqs = json_object_get(topics, event.topic);
        if (!seqs) {
            json_object_set_new(topics, event.topic, json_array());
            seqs = json_object_get(topics, event.topic);
        }
        json_array_append_new(seqs, json_integer(event.seq));
    }
    return topics;
}

/* What is parked with another tick: the batch was read before, and cut otherwise.  Of the rows
 * between the page's first and last some may be of other batches. */
static json_t *parked_again(const PGresult *rows, const struct page *page)
{
    json_t *seqs = json_array();

    for (int row = 0; row < PQntuples(rows); row++) {
        if (pg_get_bool(rows, row, 2) && page_has(page, pg_get_int(rows, row, 0)))
            json_array_append_new(seqs, json_integer(pg_get_int(rows, row, 0)));
    }
    return seqs;
}

/* For free(); NULL if there is nothing to be done, or no memory. */
static char *describe_page(const PGresult *rows, const struct page *page, bool *ret_needed)
{
    json_t *again = parked_again(rows, page);
    json_t *behind = suspects(rows, page);
    json_t *both = NULL;
    char *text = NULL;

    *ret_needed = json_array_size(again) > 0 || json_object_size(behind) > 0;
    if (*ret_needed) {
        both = json_pack("{s:O, s:O}", "again", again, "behind", behind);
        text = both ? json_dumps(both, JSON_COMPACT) : NULL;
    }
    json_decref(again);
    json_decref(behind);
    json_decref(both);
    return text;
}

static int park_behind(struct parking *parking, struct pg *pg, int64_t tick, const char *text, struct page *page,
                       mono_us deadline, outbox_error **reterr)
{
    PGresult *rows = NULL;
    int status = parking_add_behind(pg, &parking->owner, tick, text, deadline, &rows, reterr);

    if (status < 0)
        return status;
    leave_out(rows, page);
    for (int row = 0; row < PQntuples(rows); row++)
        note_last(parking, pg_get_int(rows, row, 0));
    if (PQntuples(rows) > 0)
        metric_add(METRIC_EVENTS_PARKED, PQntuples(rows));
    PQclear(rows);
    return OUTBOX_OK;
}

int parking_filter(struct parking *parking, struct pg *pg, int64_t tick, struct page *page, mono_us deadline,
                   outbox_error **reterr)
{
    struct page_event first, last;
    PGresult *rows = NULL;
    bool needed;
    char *text;
    int status;

    if (page_count(page) == 0)
        return OUTBOX_OK;
    page_get(page, 0, &first);
    page_get(page, page_count(page) - 1, &last);
    if (!parking->open && first.seq > parking->last)
        return OUTBOX_OK;
    status = parking_look(pg, &(struct parking_range){first.seq, last.seq, tick}, deadline, &rows, reterr);
    if (status < 0)
        return status;
    leave_out(rows, page);
    text = describe_page(rows, page, &needed);
    PQclear(rows);
    if (!needed)
        return OUTBOX_OK;
    if (!text)
        return outbox__fail_memory(reterr);
    status = park_behind(parking, pg, tick, text, page, deadline, reterr);
    free(text);
    return status;
}

/* ---- parking ---- */

/* Whoever parks an event reads its batch anew, and finds it beyond no limit. */
static void note_faults(struct parking *parking, const char *faults)
{
    json_t *list = json_loads(faults, 0, NULL);
    json_t *fault;
    size_t i;

    json_array_foreach(list, i, fault)
        note_last(parking, json_integer_value(json_object_get(fault, "seq")));
    metric_add(METRIC_EVENTS_PARKED, (int64_t)json_array_size(list));
    json_decref(list);
}

int parking_park(struct parking *parking, struct pg *pg, int64_t tick, const char *faults, mono_us deadline,
                 outbox_error **reterr)
{
    int status = parking_add(pg, &parking->owner, tick, faults, deadline, reterr);

    if (status < 0)
        return status;
    parking->open = true;
    note_faults(parking, faults);
    return OUTBOX_OK;
}

/* The error may have been cut off within a character. */
static json_t *pack(int64_t seq, const char *topic, const char *reason, const char *error, bool whole)
{
    json_t *text = json_string(error);

    if (!text)
        text = json_null();
    return json_pack("{s:I, s:s, s:s, s:o, s:b}", "seq", (json_int_t)seq, "topic", topic, "reason", reason, "error",
                     text, "whole", whole);
}

char *parking_describe(int lane, const struct records *records, const struct record_fault *faults, size_t count)
{
    json_t *list = json_array();
    char *text;

    for (size_t i = 0; i < count; i++) {
        const struct record_fault *fault = &faults[i];
        const char *topic = records_topic(records, fault->index);
        const char *reason = record_fault_name(fault->kind);
        bool whole = record_fault_is_topics(fault->kind);
        int64_t seq = records_seq(records, fault->index);

        json_array_append_new(list, pack(seq, topic, reason, fault->error, whole));
        if (whole)
            log_debug("topic_parked", LOG_NUMBER("lane", lane), LOG_NUMBER("seq", seq), LOG_TEXT("topic", topic),
                      LOG_TEXT("reason", reason), LOG_TEXT("error", fault->error));
        else
            log_error("event_parked", LOG_NUMBER("lane", lane), LOG_NUMBER("seq", seq), LOG_TEXT("topic", topic),
                      LOG_TEXT("reason", reason), LOG_TEXT("error", fault->error));
    }
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

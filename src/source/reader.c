#include "source/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "source/routes.h"

/* How long a route may take to be noticed. */
#define ROUTES_AGE SECONDS(1)

struct reader {
    struct reader_settings settings;
    struct tick from;
    struct tick to;
    bool to_is_there; /* in the database, not only remembered */
    struct routes *routes;
    mono_us routes_until;
};

/* The running total keeps a page within its bytes whatever the payloads are; it looks
 * at their lengths only, so what is cut off is never read from its place. */
static const char sql_page[] =
    "SELECT p.seq, p.id, p.type, p.topic, p.key, p.partition, p.tenant, p.headers, p.content_type, p.payload,"
    "       p.traceparent, p.tracestate, p.occurred_at"
    "  FROM (SELECT e.*, pg_catalog.sum(pg_catalog.octet_length(e.payload))"
    "                      OVER (ORDER BY e.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"
    "          FROM outbox.batch_rows($1::xid8[], $2::xid8, $3::xid8, $4::bigint, $5::pg_snapshot, $6::bigint,"
    "                                 $7::bigint, 9223372036854775807, $8::integer, $9::integer,"
    "                                 $10::integer) AS e) AS p"
    " WHERE coalesce(p.before, 0) < $11::bigint"
    " ORDER BY p.seq";

/* The same if nothing is late and the batch is small; by a plan that is made once. */
static const char sql_recent_page[] =
    "SELECT seq, id, type, topic, key, partition, tenant, headers, content_type, payload, traceparent, tracestate,"
    "       occurred_at"
    "  FROM outbox.recent_rows($1, $2, $3, $4, $5, $6, $7)";

/* Numbers up to which a batch is small: its rows are held twice. */
#define RECENT_NUMBERS 500

struct reader *reader_new(const struct reader_settings *settings)
{
    struct reader *reader = calloc(1, sizeof(*reader));

    if (reader)
        reader->settings = *settings;
    return reader;
}

void reader_set_page_bytes(struct reader *reader, size_t page_bytes)
{
    reader->settings.page_bytes = page_bytes;
}

void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    tick_clear(&reader->from);
    tick_clear(&reader->to);
    routes_unref(reader->routes);
    free(reader);
}

static int load_tick(struct pg *pg, struct tick *tick, const struct tick_id *id, mono_us deadline,
                     outbox_error **reterr)
{
    bool found = false;
    int status;

    if (tick_is(tick, id))
        return OUTBOX_OK;
    tick_clear(tick);
    status = tick_load(pg, id, deadline, &found, tick, reterr);
    if (status == OUTBOX_OK && !found)
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "tick %lld is not there any more", (long long)id->id);
    return status;
}

static int load_from(struct reader *reader, struct pg *pg, const struct tick_id *id, mono_us deadline,
                     outbox_error **reterr)
{
    /* A batch begins where the last one ended. */
    if (!tick_is(&reader->from, id) && tick_is(&reader->to, id)) {
        tick_clear(&reader->from);
        reader->from = reader->to;
        reader->to = (struct tick){0};
    }
    return load_tick(pg, &reader->from, id, deadline, reterr);
}

/* A tick that this process has taken itself is known.  But then it must be there in the
 * database that is read, which may be another than it was taken in: see select_recent(). */
static void recall_to(struct reader *reader, const struct tick_id *id)
{
    if (tick_is(&reader->to, id))
        return;
    tick_clear(&reader->to);
    reader->to_is_there = false;
    tick_memory_get(reader->settings.ticks, id, &reader->to);
}

static int load_to(struct reader *reader, struct pg *pg, const struct tick_id *id, mono_us deadline,
                   outbox_error **reterr)
{
    int status;

    if (!reader->to_is_there)
        tick_clear(&reader->to);
    status = load_tick(pg, &reader->to, id, deadline, reterr);
    reader->to_is_there = status == OUTBOX_OK;
    return status;
}

static int load_routes(struct reader *reader, struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    struct routes *routes;

    if (reader->routes && clock_now() < reader->routes_until)
        return OUTBOX_OK;
    routes = routes_load(pg, deadline, reterr);
    if (!routes)
        return pg_usable(pg) ? OUTBOX_ESERVER : OUTBOX_ECONNECTION;
    routes_unref(reader->routes);
    reader->routes = routes;
    reader->routes_until = clock_now() + ROUTES_AGE;
    return OUTBOX_OK;
}

/* Where the numbers begin that the page may have if nothing is late. */
static int64_t recent_after(const struct reader *reader, const struct position *position)
{
    return position->seq > reader->from.last_seq ? position->seq : reader->from.last_seq;
}

/* No xids were open or unknown at the first tick, and few numbers have been drawn since. */
static bool is_recent(const struct reader *reader, const struct position *position)
{
    const struct tick *from = &reader->from, *to = &reader->to;

    return to->snapshot && strcmp(from->xip, "{}") == 0 && strcmp(from->xmax, from->self) == 0 &&
           to->last_seq - recent_after(reader, position) <= RECENT_NUMBERS;
}

/* Fails if the tick is not there. */
static int select_recent(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                         mono_us deadline, PGresult **ret_rows, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    char nonce[OUTBOX__UUID_TEXT];
    struct outbox__uuid uuid;
    int status;

    memcpy(uuid.bytes, position->to.nonce, sizeof(uuid.bytes));
    outbox__uuid_format(&uuid, nonce);
    pg_arg_int(&args, position->to.id);
    pg_arg_text(&args, nonce);
    pg_arg_int(&args, recent_after(reader, position));
    pg_arg_int(&args, reader->settings.bucket_low);
    pg_arg_int(&args, reader->settings.bucket_high);
    pg_arg_int(&args, limit);
    pg_arg_int(&args, (int64_t)reader->settings.page_bytes);
    status = pg_exec(pg, sql_recent_page, &args, 1, deadline, ret_rows, reterr);
    reader->to_is_there = reader->to_is_there || status == OUTBOX_OK;
    return status;
}

static int select_page(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                       mono_us deadline, PGresult **ret_rows, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_text(&args, reader->from.xip);
    pg_arg_text(&args, reader->from.xmax);
    pg_arg_text(&args, reader->from.self);
    pg_arg_int(&args, reader->from.last_seq);
    pg_arg_text(&args, reader->to.snapshot);
    pg_arg_int(&args, reader->to.last_seq);
    pg_arg_int(&args, position->seq);
    pg_arg_int(&args, reader->settings.bucket_low);
    pg_arg_int(&args, reader->settings.bucket_high);
    pg_arg_int(&args, limit);
    pg_arg_int(&args, (int64_t)reader->settings.page_bytes);
    return pg_exec(pg, sql_page, &args, 1, deadline, ret_rows, reterr);
}

static int select_rows(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                       mono_us deadline, PGresult **ret_rows, outbox_error **reterr)
{
    int status = load_from(reader, pg, &position->from, deadline, reterr);

    if (status < 0)
        return status;
    recall_to(reader, &position->to);
    if (is_recent(reader, position))
        return select_recent(reader, pg, position, limit, deadline, ret_rows, reterr);
    status = load_to(reader, pg, &position->to, deadline, reterr);
    if (status < 0)
        return status;
    return select_page(reader, pg, position, limit, deadline, ret_rows, reterr);
}

int reader_read(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                mono_us deadline, struct page **ret_page, bool *ret_ended, outbox_error **reterr)
{
    PGresult *rows = NULL;
    struct page *page;
    int status = load_routes(reader, pg, deadline, reterr);

    if (status == OUTBOX_OK)
        status = select_rows(reader, pg, position, limit, deadline, &rows, reterr);
    if (status < 0)
        return status;
    page = page_new(rows, reader->routes, reterr);
    if (!page) {
        PQclear(rows);
        return OUTBOX_EINTERNAL;
    }
    *ret_ended = page_count(page) < limit && page_payload_bytes(page) < reader->settings.page_bytes;
    *ret_page = page;
    return OUTBOX_OK;
}

int reader_make_page(struct reader *reader, struct pg *pg, PGresult *rows, mono_us deadline, struct page **ret_page,
                     outbox_error **reterr)
{
    int status = load_routes(reader, pg, deadline, reterr);

    if (status == OUTBOX_OK) {
        *ret_page = page_new(rows, reader->routes, reterr);
        if (*ret_page)
            return OUTBOX_OK;
        status = OUTBOX_EINTERNAL;
    }
    PQclear(rows);
    return status;
}

#include "source/reader.h"

#include <stdlib.h>
#include <string.h>

#include "source/routes.h"
#include "source/tick.h"

/* How long a route may take to be noticed. */
#define ROUTES_AGE SECONDS(1)

struct reader {
    struct reader_settings settings;
    struct tick from;
    struct tick to;
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

/* The same if no transaction of the batch began before its first tick: then there is no late part,
 * and planning, which is most of what a small batch costs, takes a third. */
static const char sql_recent_page[] =
    "SELECT p.seq, p.id, p.type, p.topic, p.key, p.partition, p.tenant, p.headers, p.content_type, p.payload,"
    "       p.traceparent, p.tracestate, p.occurred_at"
    "  FROM (SELECT e.*, pg_catalog.sum(pg_catalog.octet_length(e.payload))"
    "                      OVER (ORDER BY e.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"
    "          FROM (SELECT r.* FROM outbox.event AS r"
    "                 WHERE r.seq > greatest($1::bigint, $4::bigint) AND r.seq <= $3::bigint"
    "                   AND ($5::integer = 0 AND $6::integer = 255"
    "                        OR outbox.bucket(r.key, r.seq) BETWEEN $5::integer AND $6::integer)"
    "                   AND pg_catalog.pg_visible_in_snapshot(r.xid, $2::pg_snapshot)"
    "                 ORDER BY r.seq LIMIT $7::integer) AS e) AS p"
    " WHERE coalesce(p.before, 0) < $8::bigint"
    " ORDER BY p.seq";

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

static bool is_tick(const struct tick *tick, const struct tick_id *id)
{
    return tick->snapshot && tick->id.id == id->id && memcmp(tick->id.nonce, id->nonce, sizeof(id->nonce)) == 0;
}

static int load_tick(struct pg *pg, struct tick *tick, const struct tick_id *id, mono_us deadline,
                     outbox_error **reterr)
{
    bool found = false;
    int status;

    if (is_tick(tick, id))
        return OUTBOX_OK;
    tick_clear(tick);
    status = tick_load(pg, id, deadline, &found, tick, reterr);
    if (status == OUTBOX_OK && !found)
        return outbox__fail(reterr, OUTBOX_ESTATE, NULL, "tick %lld is not there any more", (long long)id->id);
    return status;
}

static int load_ticks(struct reader *reader, struct pg *pg, const struct position *position, mono_us deadline,
                      outbox_error **reterr)
{
    int status;

    /* A batch begins where the last one ended. */
    if (!is_tick(&reader->from, &position->from) && is_tick(&reader->to, &position->from)) {
        tick_clear(&reader->from);
        reader->from = reader->to;
        reader->to = (struct tick){0};
    }
    status = load_tick(pg, &reader->from, &position->from, deadline, reterr);
    if (status < 0)
        return status;
    return load_tick(pg, &reader->to, &position->to, deadline, reterr);
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

/* The xids that were open or unknown at the first tick: none. */
static bool nothing_is_late(const struct tick *from)
{
    return strcmp(from->xip, "{}") == 0 && strcmp(from->xmax, from->self) == 0;
}

static int select_recent(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                         mono_us deadline, PGresult **ret_rows, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    pg_arg_int(&args, reader->from.last_seq);
    pg_arg_text(&args, reader->to.snapshot);
    pg_arg_int(&args, reader->to.last_seq);
    pg_arg_int(&args, position->seq);
    pg_arg_int(&args, reader->settings.bucket_low);
    pg_arg_int(&args, reader->settings.bucket_high);
    pg_arg_int(&args, limit);
    pg_arg_int(&args, (int64_t)reader->settings.page_bytes);
    return pg_exec(pg, sql_recent_page, &args, 1, deadline, ret_rows, reterr);
}

static int select_page(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                       mono_us deadline, PGresult **ret_rows, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;

    if (nothing_is_late(&reader->from))
        return select_recent(reader, pg, position, limit, deadline, ret_rows, reterr);
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

int reader_read(struct reader *reader, struct pg *pg, const struct position *position, int limit,
                mono_us deadline, struct page **ret_page, bool *ret_ended, outbox_error **reterr)
{
    PGresult *rows = NULL;
    struct page *page;
    int status = load_ticks(reader, pg, position, deadline, reterr);

    if (status == OUTBOX_OK)
        status = load_routes(reader, pg, deadline, reterr);
    if (status == OUTBOX_OK)
        status = select_page(reader, pg, position, limit, deadline, &rows, reterr);
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

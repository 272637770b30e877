#include "source/check_in.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/uuid.h"

static const char sql_check_in[] =
    "SELECT c.kind, c.number, c.name, (c.lease_left * 1000000)::bigint, c.yes, c.closed, c.pinned_to, c.tick, c.nonce"
    "  FROM outbox.relay_check_in($1, $2::interval, $3, $4, $5, $6, $7, $8::integer[], $9::bigint[]) AS c";

enum column { KIND, NUMBER, NAME, LEASE_LEFT, YES, CLOSED, PINNED_TO, TICK, NONCE };

/* "{1,2,3}" */
#define LIST_SIZE (SHARE_LANES * 21 + 3)

static void write_list(const struct check_in *what, bool epochs, char ret[LIST_SIZE])
{
    size_t size = 0;

    ret[size++] = '{';
    for (size_t i = 0; i < what->count; i++)
        size += (size_t)snprintf(ret + size, LIST_SIZE - size, "%s%" PRId64, i ? "," : "",
                                 epochs ? what->epochs[i] : (int64_t)what->lanes[i]);
    ret[size++] = '}';
    ret[size] = '\0';
}

static void copy_name(char ret[PICTURE_NAME], const PGresult *rows, int row)
{
    snprintf(ret, PICTURE_NAME, "%s", PQgetvalue(rows, row, NAME));
}

static bool is_kind(const PGresult *rows, int row, const char *kind)
{
    return strcmp(PQgetvalue(rows, row, KIND), kind) == 0;
}

static void read_map(const PGresult *rows, int row, struct picture *picture)
{
    struct outbox__uuid nonce;

    picture->map = (int)pg_get_int(rows, row, NUMBER);
    picture->ticking = pg_get_bool(rows, row, YES);
    copy_name(picture->ticker, rows, row);
    if (!PQgetisnull(rows, row, TICK) && outbox__uuid_parse(PQgetvalue(rows, row, NONCE), &nonce)) {
        picture->stop.id = pg_get_int(rows, row, TICK);
        memcpy(picture->stop.nonce, nonce.bytes, sizeof(picture->stop.nonce));
    }
}

static void add_relay(const PGresult *rows, int row, const char *self, struct picture *picture)
{
    struct share_picture *share = &picture->share;

    bool is_self = strcmp(PQgetvalue(rows, row, NAME), self) == 0;

    if (share->relay_count >= SHARE_RELAYS) { /* as all see it: they come in the order of their names */
        picture->left_out = picture->left_out || is_self;
        return;
    }
    if (is_self)
        picture->self = (int)share->relay_count;
    share->able[share->relay_count++] = pg_get_bool(rows, row, YES);
}

/* The index of a relay by name; SHARE_NOBODY: none that is alive. */
static int find_relay(const PGresult *rows, const char *name)
{
    int index = 0;

    for (int row = 0; row < PQntuples(rows) && index < SHARE_RELAYS; row++) {
        if (!is_kind(rows, row, "relay"))
            continue;
        if (strcmp(PQgetvalue(rows, row, NAME), name) == 0)
            return index;
        index++;
    }
    return SHARE_NOBODY;
}

static void add_lane(const PGresult *rows, int row, struct picture *picture)
{
    size_t index = picture->share.lane_count;
    struct picture_lane *lane = &picture->lanes[index];

    if (index >= SHARE_LANES)
        return;
    picture->share.lane_count++;
    lane->number = (int)pg_get_int(rows, row, NUMBER);
    lane->renewed = pg_get_bool(rows, row, YES);
    lane->lease_left = PQgetisnull(rows, row, NAME) ? 0 : pg_get_int(rows, row, LEASE_LEFT);
    copy_name(lane->holder, rows, row);
    picture->share.lanes[index] = (struct share_lane){
        .holder = PQgetisnull(rows, row, NAME) ? SHARE_NOBODY : find_relay(rows, PQgetvalue(rows, row, NAME)),
        .pinned = PQgetisnull(rows, row, PINNED_TO) ? SHARE_NOBODY
                                                    : find_relay(rows, PQgetvalue(rows, row, PINNED_TO)),
        .closed = pg_get_bool(rows, row, CLOSED),
    };
}

static void read_picture(const PGresult *rows, const char *self, struct picture *ret)
{
    ret->self = -1;
    for (int row = 0; row < PQntuples(rows); row++) {
        if (is_kind(rows, row, "map"))
            read_map(rows, row, ret);
        else if (is_kind(rows, row, "relay"))
            add_relay(rows, row, self, ret);
        else if (is_kind(rows, row, "lane"))
            add_lane(rows, row, ret);
        else if (is_kind(rows, row, "tick"))
            ret->newest_tick = pg_get_int(rows, row, TICK);
        else
            snprintf(ret->unknown, sizeof(ret->unknown), "%s", PQgetvalue(rows, row, KIND));
    }
}

int check_in(struct pg *pg, const struct check_in *what, mono_us deadline, struct picture *ret, outbox_error **reterr)
{
    struct pg_args args = PG_ARGS_INIT;
    PGresult *rows = NULL;
    char lanes[LIST_SIZE];
    char epochs[LIST_SIZE];
    int status;

    write_list(what, false, lanes);
    write_list(what, true, epochs);
    *ret = (struct picture){.asked_at = clock_now()};
    pg_arg_text(&args, what->name);
    pg_arg_interval_us(&args, what->ttl);
    pg_arg_bool(&args, what->first);
    pg_arg_bool(&args, what->leaving);
    pg_arg_bool(&args, what->able);
    pg_arg_bool(&args, what->may_tick);
    pg_arg_int(&args, what->map);
    pg_arg_text(&args, lanes);
    pg_arg_text(&args, epochs);
    pg_take_warning(pg);
    status = pg_exec(pg, sql_check_in, &args, 0, deadline, &rows, reterr);
    if (status < 0)
        return status;
    if (pg_take_warning(pg))
        status = outbox__fail(reterr, OUTBOX_ESERVER, NULL,
                              "PostgreSQL warned at a synchronous commit: it may not be replicated");
    else
        read_picture(rows, what->name, ret);
    PQclear(rows);
    return status;
}

int check_in_listen(struct pg *pg, mono_us deadline, outbox_error **reterr)
{
    return pg_run(pg, "LISTEN outbox_relays", deadline, reterr);
}

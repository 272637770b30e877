/* outboxctl tail: follows the events as they commit.
 *
 * It takes ticks of its own, which nobody else sees: a snapshot, and the last number
 * drawn before it.  Whatever is visible in the next snapshot and was not in this one is
 * new, however late its transaction commits; nothing is written and no relay is needed.
 * Unlike a tick of the relay it has no xid of its own to bound the transactions that
 * its snapshot does not know; the next snapshot's xmax bounds them as well. */
#include <outbox/error.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/output.h"

#define PAGE "1000"
#define PREVIEW 120 /* bytes of a payload in a line for people */

static const struct flag_spec flags[] = {
    {"type", "PATTERN", "only these, such as order.*"},
    {"from-beginning", NULL, "all events that are kept, then follow"},
    {"count", "N", "end after N events"},
    {"no-follow", NULL, "end when there are no more"},
    {"interval", "TIME", "between looks; 200ms"},
    {NULL, NULL, NULL},
};

/* A moment: a snapshot, and a number drawn before it was taken. */
struct moment {
    char *snapshot;
    int64_t last_seq;
};

struct tail {
    struct cli *cli;
    char *like;   /* the pattern for LIKE, or NULL */
    int64_t left; /* events to show, or -1 */
    struct moment from;
};

static const char page_sql[] =
    "SELECT e.seq, shown, e.id, e.type, e.topic, e.key, e.partition, e.tenant, e.headers, "
    "e.content_type,"
    "       CASE WHEN shown THEN e.payload END AS payload, e.traceparent, e.tracestate, e.occurred_at"
    "  FROM outbox.batch_rows(ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)), "
    "pg_snapshot_xmax($1::pg_snapshot),"
    "       pg_snapshot_xmax($3::pg_snapshot), $2::bigint, $3::pg_snapshot, $4::bigint, $5::bigint,"
    "       9223372036854775807, 0, 255, " PAGE ") AS e"
    " CROSS JOIN LATERAL (SELECT $6::text IS NULL OR e.type LIKE $6) AS f(shown)"
    " ORDER BY e.seq";

static int take_moment(struct tail *tail, struct moment *ret)
{
    PGresult *result = NULL;
    int64_t last_seq;
    int code = cli_query(
        tail->cli, "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM outbox.event_seq",
        NULL, &result);

    if (code != CLI_OK)
        return code;
    last_seq = pg_get_int(result, 0, 0);
    PQclear(result);
    result = NULL;
    /* A statement of its own, after the number. */
    code = cli_query(tail->cli, "SELECT pg_current_snapshot()", NULL, &result);
    if (code != CLI_OK)
        return code;
    ret->last_seq = last_seq;
    free(ret->snapshot);
    ret->snapshot = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return ret->snapshot ? CLI_OK : cli_fail(CLI_FAILED, "out of memory");
}

/* The bytes of a bytea in text form, \x..., for the caller to free. */
static unsigned char *payload_bytes(const PGresult *page, int row, size_t *ret_size)
{
    int column = PQfnumber(page, "payload");

    return PQgetisnull(page, row, column)
               ? NULL
               : PQunescapeBytea((const unsigned char *)PQgetvalue(page, row, column), ret_size);
}

/* JSON as such, other text as text, anything else in base64. */
static void add_payload(json_t *object, const char *content_type, const unsigned char *bytes, size_t size)
{
    json_t *value = NULL;
    char *base64;

    if (content_type && strstr(content_type, "json"))
        value = json_loadb((const char *)bytes, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!value && outbox__utf8_valid((const char *)bytes, size))
        value = json_stringn((const char *)bytes, size);
    if (value) {
        json_object_set_new(object, "payload", value);
        return;
    }
    base64 = malloc(OUTBOX__BASE64_TEXT(size));
    if (!base64)
        return;
    outbox__base64_encode(bytes, size, base64);
    json_object_del(object, "payload");
    json_object_set_new(object, "payload_base64", json_string(base64));
    free(base64);
}

static void print_event_json(const PGresult *page, int row)
{
    json_t *object = result_object(page, row);
    size_t size = 0;
    unsigned char *bytes = payload_bytes(page, row, &size);

    json_object_del(object, "shown");
    if (bytes)
        add_payload(object, pg_get_text(page, row, PQfnumber(page, "content_type")), bytes, size);
    PQfreemem(bytes);
    print_json(stdout, object);
}

static void print_named(const PGresult *page, int row, const char *name)
{
    const char *text = pg_get_text(page, row, PQfnumber(page, name));

    if (!text)
        return;
    printf(" %s=", name);
    print_escaped(stdout, text, strlen(text));
}

static void print_event_text(const PGresult *page, int row)
{
    size_t size = 0;
    unsigned char *bytes = payload_bytes(page, row, &size);

    printf("%s %s %s ", PQgetvalue(page, row, PQfnumber(page, "occurred_at")), PQgetvalue(page, row, 0),
           PQgetvalue(page, row, PQfnumber(page, "id")));
    print_escaped(stdout, PQgetvalue(page, row, PQfnumber(page, "type")),
                  strlen(PQgetvalue(page, row, PQfnumber(page, "type"))));
    print_named(page, row, "key");
    print_named(page, row, "topic");
    print_named(page, row, "tenant");
    if (!bytes) {
        printf(" (no payload)\n");
    } else if (!outbox__utf8_valid((const char *)bytes, size)) {
        printf(" (%zu bytes)\n", size);
    } else {
        size_t shown = size;

        if (shown > PREVIEW)
            for (shown = PREVIEW; shown > 0 && (bytes[shown] & 0xc0) == 0x80; shown--)
                ;
        printf(" ");
        print_escaped(stdout, (const char *)bytes, shown);
        printf("%s\n", shown < size ? "..." : "");
    }
    PQfreemem(bytes);
}

static void print_page(struct tail *tail, const PGresult *page)
{
    for (int row = 0; row < PQntuples(page) && tail->left != 0; row++) {
        if (!pg_get_bool(page, row, 1))
            continue;
        if (tail->cli->json)
            print_event_json(page, row);
        else
            print_event_text(page, row);
        if (tail->left > 0)
            tail->left--;
    }
}

/* Prints what is new in `to`, in pages of growing seq. */
static int print_batch(struct tail *tail, const struct moment *to)
{
    int64_t after = 0;

    for (;;) {
        struct pg_args args = PG_ARGS_INIT;
        PGresult *page = NULL;
        int rows, code;

        pg_arg_text(&args, tail->from.snapshot);
        pg_arg_int(&args, tail->from.last_seq);
        pg_arg_text(&args, to->snapshot);
        pg_arg_int(&args, to->last_seq);
        pg_arg_int(&args, after);
        pg_arg_text(&args, tail->like);
        code = cli_query(tail->cli, page_sql, &args, &page);
        if (code != CLI_OK)
            return code;
        rows = PQntuples(page);
        if (rows > 0)
            after = pg_get_int(page, rows - 1, 0);
        print_page(tail, page);
        PQclear(page);
        if (rows < atoll(PAGE) || tail->left == 0)
            return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
    }
}

static int follow(struct tail *tail, mono_us interval, bool stay)
{
    for (;;) {
        struct moment to = {NULL, 0};
        int code = take_moment(tail, &to);

        if (code == CLI_OK)
            code = print_batch(tail, &to);
        if (code != CLI_OK || tail->left == 0 || !stay) {
            free(to.snapshot);
            return code;
        }
        free(tail->from.snapshot);
        tail->from = to;
        code = cli_end_reading(tail->cli);
        if (code != CLI_OK)
            return code;
        if (pg_wait(tail->cli->pg, -1, clock_now() + interval) == PG_WAIT_LOST)
            return cli_fail(CLI_CONNECT, "the connection is lost");
        code = cli_begin_reading(tail->cli);
        if (code != CLI_OK)
            return code;
    }
}

/* "a.*" as LIKE has it, for the caller to free. */
static char *like_of(const char *pattern)
{
    char *like = malloc(strlen(pattern) * 2 + 1);
    size_t size = 0;

    if (!like)
        return NULL;
    for (; *pattern; pattern++) {
        if (*pattern == '%' || *pattern == '_' || *pattern == '\\')
            like[size++] = '\\';
        like[size++] = *pattern == '*' ? '%' : *pattern;
    }
    like[size] = '\0';
    return like;
}

/* Where to begin: now, or before everything. */
static int find_start(struct tail *tail)
{
    PGresult *result = NULL;
    bool standby;
    int code = cli_query(tail->cli, "SELECT pg_is_in_recovery()", NULL, &result);

    if (code != CLI_OK)
        return code;
    standby = pg_get_bool(result, 0, 0);
    PQclear(result);
    if (standby)
        return cli_fail(CLI_REFUSED,
                        "this is a standby, where snapshots do not list open transactions; ask the"
                        " primary");
    if (!flag_given(&tail->cli->args, "from-beginning"))
        return take_moment(tail, &tail->from);
    tail->from.last_seq = 0;
    tail->from.snapshot = strdup("1:1:");
    return tail->from.snapshot ? CLI_OK : cli_fail(CLI_FAILED, "out of memory");
}

static int run(struct cli *cli)
{
    const char *pattern = flag_text(&cli->args, "type");
    struct tail tail = {.cli = cli};
    outbox_error *err = NULL;
    mono_us interval;
    int code;

    if (flag_integer(&cli->args, "count", 1, INT64_MAX, -1, &tail.left, &err) < 0 ||
        flag_duration(&cli->args, "interval", MILLISECONDS(1), SECONDS(3600), MILLISECONDS(200), &interval,
                      &err) < 0)
        return cli_fail_error(err);
    tail.like = pattern ? like_of(pattern) : NULL;
    if (pattern && !tail.like)
        return cli_fail(CLI_FAILED, "out of memory");
    code = find_start(&tail);
    if (code == CLI_OK)
        code = follow(&tail, interval, !flag_given(&cli->args, "no-follow"));
    free(tail.from.snapshot);
    free(tail.like);
    return code;
}

const struct command tail_command = {
    .name = "tail",
    .operands = "",
    .summary = "Follows the events of the database as they commit",
    .help = "Shows what is committed, not what is published, and needs no relay. Events that\n"
            "become visible together come in the order of their numbers.\n"
            "With --json each event is a line; a payload that is neither JSON nor text is in\n"
            "payload_base64.",
    .flags = flags,
    .connects = true,
    .run = run,
};

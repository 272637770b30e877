/* What was described is what stands in outbox.event, byte for byte. */
#include "emit_support.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* Every column of an event in its binary form but for those in text: one row. */
static const char columns_sql[] =
    "SELECT type, key, topic, tenant, content_type, schema_ref, traceparent, tracestate, stream,"
    "       partition::text, version::text, (extract(epoch FROM occurred_at) * 1000000)::bigint::text,"
    "       headers::text, payload"
    "  FROM outbox.event WHERE id = $1::uuid";

enum column {
    TYPE,
    KEY,
    TOPIC,
    TENANT,
    CONTENT_TYPE,
    SCHEMA_REF,
    PARENT,
    STATE,
    STREAM,
    PARTITION,
    VERSION,
    OCCURRED_AT,
    HEADERS,
    PAYLOAD
};

static PGresult *read_event(PGconn *conn, const char *id)
{
    PGresult *result = PQexecParams(conn, columns_sql, 1, NULL, &id, NULL, NULL, 1);

    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        bail("event %s: %d rows: %s", id, PQntuples(result), PQerrorMessage(conn));
    return result;
}

static void is_column(const PGresult *result, enum column column, const void *data, size_t size,
                      const char *name)
{
    bool same = data ? !PQgetisnull(result, 0, column) && (size_t)PQgetlength(result, 0, column) == size &&
                           memcmp(PQgetvalue(result, 0, column), data, size) == 0
                     : PQgetisnull(result, 0, column);

    ok(same, "%s", name);
    if (!same)
        printf("# got: %.200s\n", PQgetisnull(result, 0, column) ? "(null)" : PQgetvalue(result, 0, column));
}

static void is_text_column(const PGresult *result, enum column column, const char *text, const char *name)
{
    is_column(result, column, text, text ? strlen(text) : 0, name);
}

static void emit_and_commit(PGconn *conn, const outbox_event *ev, char id[OUTBOX_ID_SIZE])
{
    outbox_error *err = NULL;
    int r;

    run(conn, "BEGIN");
    r = outbox_emit(conn, ev, id, &err);
    if (r != OUTBOX_OK)
        bail("emit: %d: %s", r, err ? outbox_error_message(err) : "");
    run(conn, "COMMIT");
}

static void test_all_fields(PGconn *conn)
{
    static const char given[] = "0190c3a4-5b6c-7d8e-9f01-23456789abcd";
    char payload[256];
    outbox_event *ev = make_event("order_\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "k\t\xc3\xbc '\"\\", given);
    char id[OUTBOX_ID_SIZE];
    PGresult *row;

    for (int i = 0; i < 256; i++)
        payload[i] = (char)i;
    outbox_event_set_payload(ev, payload, sizeof(payload));
    outbox_event_set_content_type(ev, "application/octet-stream");
    outbox_event_set_topic(ev, "orders.v1_x-y");
    outbox_event_set_partition(ev, 2147483647);
    outbox_event_set_tenant(ev, "acme");
    outbox_event_set_header(ev, "a", "quote \" back \\ slash / \xe2\x82\xac {}");
    outbox_event_set_header(ev, "empty", "");
    outbox_event_set_traceparent(ev, TRACEPARENT);
    outbox_event_set_tracestate(ev, "vendor=1,other=2");
    outbox_event_set_occurred_at(ev, INT64_C(-1234567890123457));
    outbox_event_set_schema_ref(ev, "order/3");
    emit_and_commit(conn, ev, id);
    is_text(id, given, "the caller's id comes back");
    row = read_event(conn, id);
    is_text_column(row, TYPE, "order_\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "type");
    is_text_column(row, KEY, "k\t\xc3\xbc '\"\\", "key");
    is_column(row, PAYLOAD, payload, sizeof(payload), "payload of all 256 bytes");
    is_text_column(row, CONTENT_TYPE, "application/octet-stream", "content type");
    is_text_column(row, TOPIC, "orders.v1_x-y", "topic");
    is_text_column(row, PARTITION, "2147483647", "partition");
    is_text_column(row, TENANT, "acme", "tenant");
    is_text_column(row, HEADERS, "{\"a\": \"quote \\\" back \\\\ slash / \xe2\x82\xac {}\", \"empty\": \"\"}",
                   "headers");
    is_text_column(row, PARENT, TRACEPARENT, "traceparent");
    is_text_column(row, STATE, "vendor=1,other=2", "tracestate");
    is_text_column(row, OCCURRED_AT, "-1234567890123457", "occurred at, before 1970");
    is_text_column(row, SCHEMA_REF, "order/3", "schema");
    PQclear(row);
    outbox_event_free(ev);
}

static void test_few_fields(PGconn *conn)
{
    static const char json[] = " {\"b\" : 1.50, \"a\":\"\\u00e4\", \"a\": 12345678901234567890123}\n";
    outbox_event *ev = make_event("t", NULL, NULL);
    char before[32];
    char id[OUTBOX_ID_SIZE];
    char other[OUTBOX_ID_SIZE];
    PGresult *row;
    long long at;

    snprintf(before, sizeof(before), "%s",
             ask(conn, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"));
    emit_and_commit(conn, ev, id);
    emit_and_commit(conn, ev, other);
    ok(strcmp(id, other) != 0, "an event emitted twice without an id is two events");
    row = read_event(conn, id);
    for (int column = KEY; column <= PAYLOAD; column++) {
        if (column != OCCURRED_AT)
            is_column(row, (enum column)column, NULL, 0, PQfname(row, column));
    }
    at = atoll(PQgetvalue(row, 0, OCCURRED_AT));
    ok(at >= atoll(before) && at <= atoll(before) + 60000000, "it occurs when it is emitted");
    PQclear(row);

    outbox_event_set_payload_json(ev, json);
    emit_and_commit(conn, ev, id);
    row = read_event(conn, id);
    is_text_column(row, PAYLOAD, json, "JSON is stored as it was written");
    is_text_column(row, CONTENT_TYPE, "application/json", "and so is its content type");
    PQclear(row);

    outbox_event_set_payload(ev, "", 0);
    emit_and_commit(conn, ev, id);
    row = read_event(conn, id);
    is_column(row, PAYLOAD, "", 0, "an empty payload is not null");
    PQclear(row);
    outbox_event_free(ev);
}

static void test_occurred_at_bounds(PGconn *conn)
{
    static const int64_t times[] = {OUTBOX_OCCURRED_AT_MIN, -1, 0, INT64_C(946684800000000),
                                    OUTBOX_OCCURRED_AT_MAX};
    outbox_event *ev = make_event("t", NULL, NULL);

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char wanted[32];
        char id[OUTBOX_ID_SIZE];

        snprintf(wanted, sizeof(wanted), "%" PRId64, times[i]);
        outbox_event_set_occurred_at(ev, times[i]);
        emit_and_commit(conn, ev, id);
        is_text(ask_with(conn,
                         "SELECT (extract(epoch FROM occurred_at) * 1000000)::bigint FROM outbox.event"
                         " WHERE id = $1::uuid",
                         id),
                wanted, "occurred at");
    }
    is_text(ask(conn, "SELECT min(occurred_at) AT TIME ZONE 'UTC' FROM outbox.event"), "0001-01-01 00:00:00",
            "the earliest time is the beginning of the year 1");
    is_text(ask(conn, "SELECT max(occurred_at) AT TIME ZONE 'UTC' FROM outbox.event"),
            "9999-12-31 23:59:59.999999", "the latest is the end of the year 9999");
    outbox_event_free(ev);
}

void test_fields(void)
{
    PGconn *conn = connect_to("");

    test_all_fields(conn);
    test_few_fields(conn);
    test_occurred_at_bounds(conn);
    PQfinish(conn);
}

typedef int setter(outbox_event *, const char *);

static int set_header(outbox_event *ev, const char *value)
{
    return outbox_event_set_header(ev, "h", value);
}

static int set_header_name(outbox_event *ev, const char *name)
{
    return outbox_event_set_header(ev, name, "v");
}

#define PLAIN "", ""
#define VALUE "{\"h\": \"", "\"}"
#define NAME "{\"", "\": \"v\"}"

/* Values that C and SQL must judge alike: repeated unit by unit. */
static const struct judged {
    setter *set;
    const char *field;  /* also the parameter p_<field> in SQL */
    const char *before; /* what makes the value into SQL's argument */
    const char *after;
    const char *unit;
    int times;
    bool allowed;
} judged[] = {
    {outbox_event_set_type, "type", PLAIN, "", 1, false},
    {outbox_event_set_type, "type", PLAIN, "\xc3\xa4", 255, true},
    {outbox_event_set_type, "type", PLAIN, "\xc3\xa4", 256, false},
    {outbox_event_set_type, "type", PLAIN, "\x01", 1, false},
    {outbox_event_set_type, "type", PLAIN, "\x1f", 1, false},
    {outbox_event_set_type, "type", PLAIN, "\x7f", 1, false},
    {outbox_event_set_type, "type", PLAIN, " ", 1, true},
    {outbox_event_set_key, "key", PLAIN, "", 1, true},
    {outbox_event_set_key, "key", PLAIN, "\xe2\x82\xac", 1365, true},
    {outbox_event_set_key, "key", PLAIN, "\xe2\x82\xac", 1366, false},
    {outbox_event_set_key, "key", PLAIN, "\n", 1, true},
    {outbox_event_set_topic, "topic", PLAIN, "", 1, false},
    {outbox_event_set_topic, "topic", PLAIN, "a", 249, true},
    {outbox_event_set_topic, "topic", PLAIN, "a", 250, false},
    {outbox_event_set_topic, "topic", PLAIN, ".", 1, false},
    {outbox_event_set_topic, "topic", PLAIN, ".", 2, false},
    {outbox_event_set_topic, "topic", PLAIN, ".", 3, true},
    {outbox_event_set_topic, "topic", PLAIN, "a b", 1, false},
    {outbox_event_set_topic, "topic", PLAIN, "a\n", 1, false},
    {outbox_event_set_topic, "topic", PLAIN, "\xc3\xa4", 1, false},
    {outbox_event_set_tenant, "tenant", PLAIN, "", 1, false},
    {outbox_event_set_tenant, "tenant", PLAIN, "\xc3\xa4", 255, true},
    {outbox_event_set_tenant, "tenant", PLAIN, "a", 256, false},
    {outbox_event_set_tenant, "tenant", PLAIN, "\t", 1, false},
    {outbox_event_set_content_type, "content_type", PLAIN, "", 1, false},
    {outbox_event_set_content_type, "content_type", PLAIN, "a", 255, true},
    {outbox_event_set_content_type, "content_type", PLAIN, "a", 256, false},
    {outbox_event_set_content_type, "content_type", PLAIN, "\r", 1, false},
    {outbox_event_set_schema_ref, "schema_ref", PLAIN, "", 1, false},
    {outbox_event_set_schema_ref, "schema_ref", PLAIN, "a", 255, true},
    {outbox_event_set_schema_ref, "schema_ref", PLAIN, "a", 256, false},
    {outbox_event_set_schema_ref, "schema_ref", PLAIN, "\x02", 1, false},
    {outbox_event_set_traceparent, "traceparent", PLAIN, TRACEPARENT, 1, true},
    {outbox_event_set_traceparent, "traceparent", PLAIN, TRACEPARENT, 2, false},
    {outbox_event_set_traceparent, "traceparent", PLAIN, "", 1, false},
    {outbox_event_set_traceparent, "traceparent", PLAIN,
     "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 1, false},
    {outbox_event_set_traceparent, "traceparent", PLAIN,
     "000-af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 1, false},
    {outbox_event_set_traceparent, "traceparent", PLAIN,
     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0-", 1, false},
    {outbox_event_set_traceparent, "traceparent", PLAIN,
     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n", 1, false},
    {outbox_event_set_tracestate, "tracestate", PLAIN, "", 1, true},
    {outbox_event_set_tracestate, "tracestate", PLAIN, "a", 512, true},
    {outbox_event_set_tracestate, "tracestate", PLAIN, "a", 513, false},
    {outbox_event_set_tracestate, "tracestate", PLAIN, "\x7f", 1, false},
    {set_header, "headers", VALUE, "\xe2\x82\xac", 4096, true},
    {set_header, "headers", VALUE, "a", 4097, false},
    {set_header, "headers", VALUE, "\x7f", 1, false},
    {set_header_name, "headers", NAME, "n", 128, true},
    {set_header_name, "headers", NAME, "n", 129, false},
    {set_header_name, "headers", NAME, "", 1, false},
    {set_header_name, "headers", NAME, "a b", 1, false},
    {set_header_name, "headers", NAME, "\xc3\xa4", 1, false},
    {set_header_name, "headers", NAME, "Host", 1, false},
    {set_header_name, "headers", NAME, "hosts", 1, true},
    {set_header_name, "headers", NAME, "Outbox-X", 1, false},
    {set_header_name, "headers", NAME, "webhook-id", 1, false},
    {set_header_name, "headers", NAME, "Content-Type", 1, false},
    {set_header_name, "headers", NAME, "tracestate", 1, false},
    {set_header_name, "headers", NAME, "transfer-encoding", 1, false},
    {set_header_name, "headers", NAME, "content-length", 1, false},
    {set_header_name, "headers", NAME, "authorization", 1, false},
    {set_header_name, "headers", NAME, "connection", 1, false},
    {set_header_name, "headers", NAME, "traceparent", 1, false},
};

/* "" if the server's function takes it, else the field that it names. */
static void ask_server(PGconn *conn, const struct judged *judge, const char *value, char ret[64])
{
    char sql[256];
    PGresult *result;
    const char *field;

    snprintf(sql, sizeof(sql), "SELECT outbox.emit_event(%sp_%s => $1)",
             strcmp(judge->field, "type") == 0 ? "" : "p_type => 't', ", judge->field);
    run(conn, "BEGIN");
    result = PQexecParams(conn, sql, 1, NULL, &value, NULL, NULL, 0);
    field = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
    snprintf(ret, 64, "%s",
             PQresultStatus(result) == PGRES_TUPLES_OK ? ""
             : field                                   ? field
                                                       : "(another error)");
    PQclear(result);
    run(conn, "ROLLBACK");
}

static bool judge_alike(PGconn *conn, const struct judged *judge)
{
    const char *wanted = judge->allowed ? "" : judge->field;
    outbox_event *ev = make_event("t", NULL, NULL);
    outbox_error *err = NULL;
    char id[OUTBOX_ID_SIZE];
    char text[16500] = "";
    char value[16600];
    char theirs[64];
    bool alike;
    int r;

    for (int i = 0; i < judge->times; i++)
        memcpy(text + (size_t)i * strlen(judge->unit), judge->unit, strlen(judge->unit) + 1);
    judge->set(ev, text);
    snprintf(value, sizeof(value), "%s%s%s", judge->before, text, judge->after);
    ask_server(conn, judge, value, theirs);
    run(conn, "BEGIN");
    r = outbox_emit(conn, ev, id, &err);
    run(conn, "ROLLBACK");
    /* A refusal of ours is EINVAL or ELIMIT: ESERVER would mean that it was found too late. */
    alike = (judge->allowed ? r == OUTBOX_OK : r == OUTBOX_EINVAL || r == OUTBOX_ELIMIT) &&
            strcmp(err ? outbox_error_field(err) : "", wanted) == 0 && strcmp(theirs, wanted) == 0;
    if (!alike)
        printf("# %s %.60s (%d times): C says %d (%s), SQL says '%s'\n", judge->field, judge->unit,
               judge->times, r, err ? outbox_error_message(err) : "", theirs);
    outbox_error_free(err);
    outbox_event_free(ev);
    return alike;
}

static void test_payload_limits(PGconn *conn)
{
    size_t size = OUTBOX_PAYLOAD_LIMIT_DEFAULT + 1;
    char *block = calloc(1, size);
    outbox_event *ev = make_event("t", NULL, NULL);
    outbox_error *err = NULL;
    char id[OUTBOX_ID_SIZE];

    outbox_event_borrow_payload(ev, block, size - 1);
    emit_and_commit(conn, ev, id);
    is_text(ask_with(conn, "SELECT octet_length(payload) FROM outbox.event WHERE id = $1::uuid", id),
            "1048576", "a payload of the default limit is emitted");
    outbox_event_set_payload_limit(ev, size);
    outbox_event_borrow_payload(ev, block, size);
    run(conn, "BEGIN");
    is_error(outbox_emit(conn, ev, id, &err), OUTBOX_ESERVER, &err, "payload",
             "has 1048577 bytes, the limit is 1048576; ", "the server keeps a limit of its own");
    run(conn, "ROLLBACK");
    run(conn, "SET outbox.max_payload_bytes = 2000000");
    emit_and_commit(conn, ev, id);
    is_text(ask_with(conn, "SELECT octet_length(payload) FROM outbox.event WHERE id = $1::uuid", id),
            "1048577", "which can be raised");
    outbox_event_free(ev);
    free(block);
}

void test_limits(void)
{
    PGconn *conn = connect_to("");
    int alike = 0;
    int count = (int)(sizeof(judged) / sizeof(judged[0]));

    for (int i = 0; i < count; i++)
        alike += judge_alike(conn, &judged[i]);
    is_int(alike, count, "C and SQL judge alike, and name the same field");
    test_payload_limits(conn);
    PQfinish(conn);
}

#include "source/page.h"

#include <stdlib.h>

#include "source/routes.h"

enum column {
    COLUMN_SEQ,
    COLUMN_ID,
    COLUMN_TYPE,
    COLUMN_TOPIC,
    COLUMN_KEY,
    COLUMN_PARTITION,
    COLUMN_TENANT,
    COLUMN_HEADERS,
    COLUMN_CONTENT_TYPE,
    COLUMN_PAYLOAD,
    COLUMN_TRACEPARENT,
    COLUMN_TRACESTATE,
    COLUMN_OCCURRED_AT,
    COLUMN_COUNT
};

/* PostgreSQL counts microseconds from 2000-01-01. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)
/* With which jsonb's binary form begins. */
#define JSONB_VERSION 1

struct page {
    PGresult *rows;
    struct routes *routes;
    bool *left_out; /* one for each row */
    int left_out_count;
};

static int64_t get_int64(const PGresult *rows, int row, int column)
{
    const unsigned char *at = (const unsigned char *)PQgetvalue(rows, row, column);
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

static int get_int32(const PGresult *rows, int row, int column)
{
    const unsigned char *at = (const unsigned char *)PQgetvalue(rows, row, column);

    return (int)((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
}

/* Infinity is the largest number there is, and stays that. */
static int64_t since_1970(int64_t since_2000)
{
    int64_t sum;

    return __builtin_add_overflow(since_2000, POSTGRES_EPOCH_US, &sum) ? INT64_MAX : sum;
}

/* libpq ends every value with a 0, binary ones too. */
static const char *get_text(const PGresult *rows, int row, int column)
{
    return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

static size_t get_size(const PGresult *rows, int row, int column)
{
    return (size_t)PQgetlength(rows, row, column);
}

/* What is read below without looking at sizes again.  Null has the size 0. */
static bool row_fits(const PGresult *rows, int row)
{
    const char *headers = get_text(rows, row, COLUMN_HEADERS);

    return get_size(rows, row, COLUMN_SEQ) == 8 && get_size(rows, row, COLUMN_ID) == 16 &&
           !PQgetisnull(rows, row, COLUMN_TYPE) && get_size(rows, row, COLUMN_OCCURRED_AT) == 8 &&
           (PQgetisnull(rows, row, COLUMN_PARTITION) || get_size(rows, row, COLUMN_PARTITION) == 4) &&
           (!headers || headers[0] == JSONB_VERSION);
}

static int check_rows(const PGresult *rows, outbox_error **reterr)
{
    if (PQnfields(rows) < COLUMN_COUNT) /* what is behind them is the caller's */
        return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "a page of events has %d columns", PQnfields(rows));
    for (int row = 0; row < PQntuples(rows); row++) {
        if (!row_fits(rows, row))
            return outbox__fail(reterr, OUTBOX_EINTERNAL, NULL,
                                "an event is not as this program expects it: was the schema changed by hand?");
    }
    return OUTBOX_OK;
}

struct page *page_new(PGresult *rows, struct routes *routes, outbox_error **reterr)
{
    struct page *page;

    if (check_rows(rows, reterr) < 0)
        return NULL;
    page = calloc(1, sizeof(*page));
    if (page)
        page->left_out = calloc((size_t)PQntuples(rows) + 1, sizeof(*page->left_out));
    if (!page || !page->left_out) {
        free(page);
        outbox__fail_memory(reterr);
        return NULL;
    }
    page->rows = rows;
    page->routes = routes_ref(routes);
    return page;
}

void page_free(struct page *page)
{
    if (!page)
        return;
    PQclear(page->rows);
    routes_unref(page->routes);
    free(page->left_out);
    free(page);
}

int page_count(const struct page *page)
{
    return PQntuples(page->rows);
}

void page_get(const struct page *page, int index, struct page_event *ret)
{
    const PGresult *rows = page->rows;
    const char *headers = get_text(rows, index, COLUMN_HEADERS);

    *ret = (struct page_event){
        .seq = get_int64(rows, index, COLUMN_SEQ),
        .id = (const uint8_t *)PQgetvalue(rows, index, COLUMN_ID),
        .type = PQgetvalue(rows, index, COLUMN_TYPE),
        .topic = get_text(rows, index, COLUMN_TOPIC),
        .key = get_text(rows, index, COLUMN_KEY),
        .key_size = get_size(rows, index, COLUMN_KEY),
        .partition = PQgetisnull(rows, index, COLUMN_PARTITION) ? -1 : get_int32(rows, index, COLUMN_PARTITION),
        .tenant = get_text(rows, index, COLUMN_TENANT),
        .headers = headers ? headers + 1 : NULL,
        .content_type = get_text(rows, index, COLUMN_CONTENT_TYPE),
        .payload = get_text(rows, index, COLUMN_PAYLOAD),
        .payload_size = get_size(rows, index, COLUMN_PAYLOAD),
        .traceparent = get_text(rows, index, COLUMN_TRACEPARENT),
        .tracestate = get_text(rows, index, COLUMN_TRACESTATE),
        .occurred_at = since_1970(get_int64(rows, index, COLUMN_OCCURRED_AT)),
    };
    if (!ret->topic)
        ret->topic = routes_topic(page->routes, ret->type);
}

/* The rows are in the order of seq.  -1: none. */
static int find_row(const struct page *page, int64_t seq)
{
    int low = 0, high = page_count(page);

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (get_int64(page->rows, middle, COLUMN_SEQ) < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < page_count(page) && get_int64(page->rows, low, COLUMN_SEQ) == seq ? low : -1;
}

bool page_has(const struct page *page, int64_t seq)
{
    return find_row(page, seq) >= 0;
}

void page_leave_out(struct page *page, int64_t seq)
{
    int row = find_row(page, seq);

    if (row < 0 || page->left_out[row])
        return;
    page->left_out[row] = true;
    page->left_out_count++;
}

bool page_is_left_out(const struct page *page, int index)
{
    return page->left_out[index];
}

int page_count_kept(const struct page *page)
{
    return page_count(page) - page->left_out_count;
}

size_t page_payload_bytes(const struct page *page)
{
    size_t bytes = 0;

    for (int row = 0; row < page_count(page); row++)
        bytes += get_size(page->rows, row, COLUMN_PAYLOAD);
    return bytes;
}

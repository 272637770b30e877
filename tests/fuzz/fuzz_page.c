/* Rows of events as PostgreSQL sends them, and the records made of them.  Each value: its size
 * in a line, "-" for null, then that many bytes; thirteen of them are a row. */
#include "fuzz.h"

#include <libpq-fe.h>
#include <string.h>

#include "relay/records.h"
#include "source/page.h"

#define COLUMNS 13
#define ROWS_MAX 8

/* What is read has to be read. */
static volatile size_t total;

static void put_value(PGresult *rows, int at, struct fuzz_input *input)
{
    const char *number = fuzz_optional(input);
    struct fuzz_input own = FUZZ_INPUT((const uint8_t *)number, number ? strlen(number) : 0);
    size_t size = number ? (size_t)fuzz_number(&own) % 4096 : 0;
    /* In memory of its own, so that libpq copies what is there and no more. */
    struct fuzz_input part = FUZZ_INPUT(input->data, size < input->size ? size : input->size);
    size_t part_size = 0;
    char *bytes = fuzz_bytes(&part, &part_size);

    FUZZ_CHECK(PQsetvalue(rows, at / COLUMNS, at % COLUMNS, number ? bytes : NULL, number ? (int)part_size : -1));
    input->data += part_size;
    input->size -= part_size;
    fuzz_end(&own);
    fuzz_end(&part);
}

static PGresult *make_rows(struct fuzz_input *input)
{
    PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    char name[] = "column";
    PGresAttDesc columns[COLUMNS];

    for (int i = 0; i < COLUMNS; i++)
        columns[i] = (PGresAttDesc){.name = name, .format = 1};
    FUZZ_CHECK(rows && PQsetResultAttrs(rows, COLUMNS, columns));
    for (int at = 0; at % COLUMNS != 0 || (input->size > 0 && at < ROWS_MAX * COLUMNS); at++)
        put_value(rows, at, input);
    return rows;
}

static size_t add_up(const char *bytes, size_t size)
{
    size_t sum = size;

    for (size_t i = 0; i < size; i++)
        sum += (unsigned char)bytes[i];
    return sum;
}

/* Reads all that a record points to. */
static size_t read_record(const struct sink_record *record)
{
    size_t sum = add_up(record->topic, strlen(record->topic));

    sum += add_up(record->key, record->key ? record->key_size : 0);
    sum += add_up(record->payload, record->payload ? record->payload_size : 0);

    for (size_t i = 0; i < record->header_count; i++)
        sum += add_up(record->headers[i].name, strlen(record->headers[i].name)) +
               add_up(record->headers[i].value, record->headers[i].size);
    return sum;
}

static size_t try_records(const struct page *page)
{
    struct records *records = records_new();
    const struct sink_record *list;
    const char *const *topics;
    size_t count, topic_count, sum = 0;
    outbox_error *err = NULL;

    FUZZ_CHECK(records != NULL);
    for (int round = 0; round < 2; round++) {
        if (records_make(records, page, &list, &count, &topics, &topic_count, &err) < 0)
            break;
        FUZZ_CHECK(count <= (size_t)page_count(page) && topic_count <= count);
        for (size_t i = 0; i < count; i++)
            sum += read_record(&list[i]);
    }
    outbox_error_free(err);
    records_free(records);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    PGresult *rows = make_rows(&input);
    outbox_error *err = NULL;
    struct page *page = page_new(rows, NULL, &err);

    FUZZ_CHECK((page != NULL) == (err == NULL));
    if (page) {
        total += try_records(page) + page_payload_bytes(page);
        page_free(page);
    } else {
        PQclear(rows);
    }
    outbox_error_free(err);
    fuzz_end(&input);
    return 0;
}

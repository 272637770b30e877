#include "consume_rows.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE ((size_t)20)

enum { INT4 = 23, INT8 = 20, BYTEA = 17 };
static const uint32_t types[3] = {INT4, INT8, BYTEA};

static void put(char *at, uint64_t value, size_t size)
{
    for (size_t i = size; i-- > 0; value >>= 8)
        at[i] = (char)(value & 255);
}

/* Room for one more element of this size; its length stands before it. */
static char *add(struct rows *rows, int field, size_t size)
{
    char *at;

    if (rows->sizes[field] == 0)
        rows->sizes[field] = HEADER_SIZE;
    if (rows->sizes[field] + 4 + size > rows->rooms[field]) {
        rows->rooms[field] = 2 * (rows->sizes[field] + 4 + size);
        rows->fields[field] = realloc(rows->fields[field], rows->rooms[field]);
        if (!rows->fields[field])
            abort();
    }
    at = rows->fields[field] + rows->sizes[field];
    put(at, size, 4);
    rows->sizes[field] += 4 + size;
    return at + 4;
}

void rows_add(struct rows *rows, int32_t partition, int64_t offset, const void *payload, size_t size)
{
    put(add(rows, 0, 4), (uint64_t)partition, 4);
    put(add(rows, 1, 8), (uint64_t)offset, 8);
    if (size > 0)
        memcpy(add(rows, 2, size), payload, size);
    else
        add(rows, 2, 0);
    rows->count++;
}

bool rows_insert(struct rows *rows, PGconn *conn)
{
    static const int formats[3] = {1, 1, 1};
    const int sizes[3] = {(int)rows->sizes[0], (int)rows->sizes[1], (int)rows->sizes[2]};
    PGresult *result;
    bool fine;

    for (int field = 0; field < 3; field++) { /* one dimension, no nulls, from 1 */
        put(rows->fields[field], 1, 4);
        put(rows->fields[field] + 4, 0, 4);
        put(rows->fields[field] + 8, types[field], 4);
        put(rows->fields[field] + 12, rows->count, 4);
        put(rows->fields[field] + 16, 1, 4);
    }
    result = PQexecParams(conn,
                          "INSERT INTO consumed (partition, off, payload)"
                          " SELECT * FROM unnest($1::int4[], $2::int8[], $3::bytea[])",
                          3, NULL, (const char *const *)rows->fields, sizes, formats, 0);
    fine = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return fine;
}

void rows_free(struct rows *rows)
{
    for (int field = 0; field < 3; field++)
        free(rows->fields[field]);
    *rows = (struct rows){0};
}

/* What both sides of the benchmark "consume" write: a batch in one INSERT of three arrays. */
#ifndef BENCH_CONSUME_ROWS_H
#define BENCH_CONSUME_ROWS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rows {
    size_t count;
    char *fields[3]; /* partitions, offsets, payloads: PostgreSQL's binary form of an array each */
    size_t sizes[3];
    size_t rooms[3];
};

/* Zeroed is empty. */
void rows_add(struct rows *rows, int32_t partition, int64_t offset, const void *payload, size_t size);
bool rows_insert(struct rows *rows, PGconn *conn);
void rows_free(struct rows *rows);

#endif

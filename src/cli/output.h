/* What a command prints: an aligned table, or JSON. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <libpq-fe.h>
#include <stdio.h>

/* A table in the making.  The first row names the columns.  Memory that is missing ends
 * the program, here and below: there is nothing left to save. */
struct table;

struct table *table_new(int columns);
/* Copies text; NULL is an empty cell.  Cells go row by row.  Control characters become
 * escapes, so that no event can send commands to a terminal. */
void table_cell(struct table *table, const char *text);
/* Numbers stand at the right. */
void table_align_right(struct table *table, int column);
void table_print(const struct table *table, FILE *out);
void table_free(struct table *table);

/* A value of a result by its type: numbers, booleans, jsonb and null as such, arrays of
 * text as arrays, times in ISO 8601, all else as text. */
json_t *result_value(const PGresult *result, int row, int column);
json_t *result_object(const PGresult *result, int row);
json_t *result_array(const PGresult *result);

/* Prints all rows; `nothing` (may be NULL) stands for an empty table. */
void print_rows(FILE *out, const PGresult *result, const char *nothing);
/* Prints one row, a line per column. */
void print_record(FILE *out, const PGresult *result, int row);
/* Prints value on one line and frees it. */
void print_json(FILE *out, json_t *value);
/* A text with control characters escaped. */
void print_escaped(FILE *out, const char *text, size_t size);

#endif

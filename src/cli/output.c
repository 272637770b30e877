#include "cli/output.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

/* Types of PostgreSQL, by their fixed oids. */
enum {
    BOOL = 16,
    INT8 = 20,
    INT2 = 21,
    INT4 = 23,
    JSON = 114,
    FLOAT4 = 700,
    FLOAT8 = 701,
    TEXT_ARRAY = 1009,
    TIMESTAMPTZ = 1184,
    NUMERIC = 1700,
    JSONB = 3802
};

static void *must(void *memory)
{
    if (!memory) {
        fputs("outboxctl: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

struct table {
    int columns;
    size_t cells;
    char **text;
    bool *right;
};

struct table *table_new(int columns)
{
    struct table *table = must(calloc(1, sizeof(*table)));

    table->columns = columns;
    table->right = must(calloc((size_t)columns, sizeof(bool)));
    return table;
}

/* \n and the like, else \x1b; the closing 0 is not counted.  room for 4 bytes. */
static size_t escape(unsigned char c, char *ret)
{
    static const char hex[] = "0123456789abcdef";

    ret[0] = '\\';
    if (c == '\n' || c == '\t' || c == '\r') {
        ret[1] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        return 2;
    }
    ret[1] = 'x';
    ret[2] = hex[c >> 4];
    ret[3] = hex[c & 15];
    return 4;
}

/* The bytes of the control character at text, or 0: C0 and DEL are one, the C1 controls
 * are two in UTF-8, c2 80 to c2 9f. */
static size_t control_size(const unsigned char *text, size_t left)
{
    if (text[0] < 0x20 || text[0] == 0x7f)
        return 1;
    return left > 1 && text[0] == 0xc2 && text[1] < 0xa0 ? 2 : 0;
}

static char *escaped(const char *text, size_t size)
{
    char *copy = must(malloc(size * 4 + 1));
    size_t used = 0;
    size_t control = 0; /* bytes left of the present one */

    for (size_t i = 0; i < size; i++) {
        if (control == 0)
            control = control_size((const unsigned char *)text + i, size - i);
        if (control > 0) {
            used += escape((unsigned char)text[i], copy + used);
            control--;
        } else {
            copy[used++] = text[i];
        }
    }
    copy[used] = '\0';
    return copy;
}

void print_escaped(FILE *out, const char *text, size_t size)
{
    char *copy = escaped(text, size);

    fputs(copy, out);
    free(copy);
}

void table_cell(struct table *table, const char *text)
{
    table->text = must(realloc(table->text, (table->cells + 1) * sizeof(char *)));
    table->text[table->cells++] = escaped(text ? text : "", text ? strlen(text) : 0);
}

void table_align_right(struct table *table, int column)
{
    table->right[column] = true;
}

/* Characters, not bytes. */
static int width(const char *text)
{
    int count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

void table_print(const struct table *table, FILE *out)
{
    int *widths = must(calloc((size_t)table->columns, sizeof(int)));
    int gap = 0; /* blanks that are due before the next text: none end a line */

    for (size_t i = 0; i < table->cells; i++) {
        int column = (int)(i % (size_t)table->columns);
        int wide = width(table->text[i]);

        if (wide > widths[column])
            widths[column] = wide;
    }
    for (size_t i = 0; i < table->cells; i++) {
        int column = (int)(i % (size_t)table->columns);
        int padding = widths[column] - width(table->text[i]);

        if (table->right[column]) {
            gap += padding;
            padding = 0;
        }
        if (table->text[i][0]) {
            fprintf(out, "%*s%s", gap, "", table->text[i]);
            gap = 0;
        }
        gap += padding + 2;
        if (column == table->columns - 1) {
            fputc('\n', out);
            gap = 0;
        }
    }
    free(widths);
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->cells; i++)
        free(table->text[i]);
    free(table->text);
    free(table->right);
    free(table);
}

static json_t *json_text(const char *text)
{
    /* What another encoding left behind must not end the output. */
    return must(outbox__utf8_valid(text, strlen(text)) ? json_string(text) : json_string("(not UTF-8)"));
}

/* '2026-01-02 03:04:05.678+00' becomes '2026-01-02T03:04:05.678+00:00'. */
static json_t *json_time(const char *text)
{
    char iso[64];
    size_t size = strlen(text);

    if (size < 14 || size > 50)
        return json_text(text); /* infinity */
    memcpy(iso, text, size + 1);
    if (iso[10] == ' ')
        iso[10] = 'T';
    if (iso[size - 3] == '+' || iso[size - 3] == '-')
        memcpy(iso + size, ":00", 4);
    return json_text(iso);
}

/* {a,"b,c"} of text, without nulls and of one dimension. */
static json_t *json_text_array(const char *text)
{
    json_t *array = must(json_array());
    char *item = must(malloc(strlen(text) + 1));

    while (*text && *text != '}') {
        bool quoted = *++text == '"';
        size_t size = 0;

        if (!quoted && *text == '}')
            break;
        for (text += quoted; *text && (quoted ? *text != '"' : *text != ',' && *text != '}'); text++) {
            if (*text == '\\' && text[1])
                text++;
            item[size++] = *text;
        }
        text += quoted && *text == '"';
        item[size] = '\0';
        json_array_append_new(array, json_text(item));
    }
    free(item);
    return array;
}

json_t *result_value(const PGresult *result, int row, int column)
{
    const char *text = PQgetvalue(result, row, column);
    json_t *value;

    if (PQgetisnull(result, row, column))
        return must(json_null());
    switch (PQftype(result, column)) {
    case BOOL:
        return must(json_boolean(text[0] == 't'));
    case INT2:
    case INT4:
    case INT8:
        return must(json_integer(strtoll(text, NULL, 10)));
    case FLOAT4:
    case FLOAT8:
    case NUMERIC:
        value = json_real(strtod(text, NULL));
        return value ? value : must(json_null()); /* NaN */
    case JSON:
    case JSONB:
        value = json_loads(text, JSON_DECODE_ANY, NULL);
        return value ? value : json_text(text);
    case TEXT_ARRAY:
        return json_text_array(text);
    case TIMESTAMPTZ:
        return json_time(text);
    default:
        return json_text(text);
    }
}

json_t *result_object(const PGresult *result, int row)
{
    json_t *object = must(json_object());

    for (int column = 0; column < PQnfields(result); column++)
        json_object_set_new(object, PQfname(result, column), result_value(result, row, column));
    return object;
}

json_t *result_array(const PGresult *result)
{
    json_t *array = must(json_array());

    for (int row = 0; row < PQntuples(result); row++)
        json_array_append_new(array, result_object(result, row));
    return array;
}

static bool is_number(Oid type)
{
    return type == INT2 || type == INT4 || type == INT8 || type == FLOAT4 || type == FLOAT8 ||
           type == NUMERIC;
}

/* What people see of a value, for the caller to free. */
static char *shown(const PGresult *result, int row, int column)
{
    const char *text = PQgetvalue(result, row, column);
    struct outbox__buf list = OUTBOX__BUF_INIT(1 << 20);
    json_t *array, *item;
    size_t i;

    if (PQgetisnull(result, row, column))
        return must(strdup(""));
    if (PQftype(result, column) == BOOL)
        return must(strdup(text[0] == 't' ? "yes" : "no"));
    if (PQftype(result, column) != TEXT_ARRAY)
        return must(strdup(text));
    array = json_text_array(text);
    json_array_foreach(array, i, item)
    {
        outbox__buf_puts(&list, i > 0 ? "," : "");
        outbox__buf_puts(&list, json_string_value(item));
    }
    json_decref(array);
    outbox__buf_puts(&list, "");
    return must(list.failed || !list.data ? strdup(text) : list.data);
}

static void result_cell(struct table *table, const PGresult *result, int row, int column)
{
    char *text = shown(result, row, column);

    table_cell(table, text);
    free(text);
}

void print_rows(FILE *out, const PGresult *result, const char *nothing)
{
    struct table *table;
    int columns = PQnfields(result);

    if (PQntuples(result) == 0 && nothing) {
        fprintf(out, "%s\n", nothing);
        return;
    }
    table = table_new(columns);
    for (int column = 0; column < columns; column++) {
        table_cell(table, PQfname(result, column));
        if (is_number(PQftype(result, column)))
            table_align_right(table, column);
    }
    for (int row = 0; row < PQntuples(result); row++) {
        for (int column = 0; column < columns; column++)
            result_cell(table, result, row, column);
    }
    table_print(table, out);
    table_free(table);
}

void print_record(FILE *out, const PGresult *result, int row)
{
    struct table *table = table_new(2);

    for (int column = 0; column < PQnfields(result); column++) {
        table_cell(table, PQfname(result, column));
        result_cell(table, result, row, column);
    }
    table_print(table, out);
    table_free(table);
}

void print_json(FILE *out, json_t *value)
{
    if (json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) == 0)
        fputc('\n', out);
    json_decref(value);
}

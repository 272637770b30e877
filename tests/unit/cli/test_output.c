#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

/* A result without a server. */
struct column {
    const char *name;
    Oid type;
    const char *values[2]; /* NULL: null */
};

static PGresult *make_result(const struct column *columns, int count, int rows)
{
    PGresAttDesc attributes[16] = {{0}};
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    for (int i = 0; i < count; i++) {
        attributes[i].name = (char *)(uintptr_t)columns[i].name;
        attributes[i].typid = columns[i].type;
    }
    assert_int_equal(PQsetResultAttrs(result, count, attributes), 1);
    for (int row = 0; row < rows; row++) {
        for (int i = 0; i < count; i++) {
            char *value = (char *)(uintptr_t)columns[i].values[row];

            assert_int_equal(PQsetvalue(result, row, i, value, value ? (int)strlen(value) : -1), 1);
        }
    }
    return result;
}

static char *text; /* what was printed last */
static size_t text_size;

static FILE *capture(void)
{
    FILE *out;

    free(text);
    text = NULL;
    out = open_memstream(&text, &text_size);
    assert_non_null(out);
    return out;
}

static void values_have_the_type_of_their_column(void **state)
{
    static const struct column columns[] = {
        {"b", 16, {"t"}},
        {"i", 20, {"9223372036854775807"}},
        {"f", 701, {"0.1"}},
        {"nan", 701, {"NaN"}},
        {"j", 3802, {"{\"a\": [1, null]}"}},
        {"a", 1009, {"{a,\"b, \\\"c\\\"\",NULL2}"}},
        {"none", 1009, {"{}"}},
        {"t", 1184, {"2026-01-02 03:04:05.678+00"}},
        {"t2", 1184, {"2026-01-02 03:04:05-03:30"}},
        {"t3", 1184, {"-infinity"}},
        {"s", 25, {"\xc3\xa9\"\n"}},
        {"z", 23, {NULL}},
    };
    PGresult *result = make_result(columns, 12, 1);
    FILE *out = capture();

    (void)state;
    print_json(out, result_object(result, 0));
    fclose(out);
    assert_string_equal(text,
                        "{\"b\":true,\"i\":9223372036854775807,\"f\":0.1,\"nan\":null,\"j\":{\"a\":[1,null]},"
                        "\"a\":[\"a\",\"b, \\\"c\\\"\",\"NULL2\"],\"none\":[],"
                        "\"t\":\"2026-01-02T03:04:05.678+00:00\",\"t2\":\"2026-01-02T03:04:05-03:30\","
                        "\"t3\":\"-infinity\",\"s\":\"\xc3\xa9\\\"\\n\",\"z\":null}\n");
    PQclear(result);
}

static void tables_are_aligned(void **state)
{
    static const struct column columns[] = {
        {"name", 25, {"\xc3\xa9\xc3\xa9", "long name"}},
        {"n", 20, {"5", "12345"}},
        {"types", 1009, {"{a,b}", NULL}},
        {"ok", 16, {"f", NULL}},
    };
    PGresult *result = make_result(columns, 4, 2);
    FILE *out = capture();

    (void)state;
    print_rows(out, result, "nothing");
    fclose(out);
    assert_string_equal(text, "name           n  types  ok\n"
                              "\xc3\xa9\xc3\xa9             5  a,b    no\n"
                              "long name  12345\n");
    out = capture();
    print_record(out, result, 0);
    fclose(out);
    assert_string_equal(text, "name   \xc3\xa9\xc3\xa9\nn      5\ntypes  a,b\nok     no\n");
    PQclear(result);
}

static void an_empty_table_says_so(void **state)
{
    static const struct column columns[] = {{"name", 25, {NULL}}};
    PGresult *result = make_result(columns, 1, 0);
    FILE *out = capture();

    (void)state;
    print_rows(out, result, "nothing here");
    fclose(out);
    assert_string_equal(text, "nothing here\n");
    out = capture();
    print_json(out, result_array(result));
    fclose(out);
    assert_string_equal(text, "[]\n");
    PQclear(result);
}

/* An event's text must not clear the screen, ring, or look like another row. */
static void control_characters_are_escaped(void **state)
{
    static const struct column columns[] = {{"v", 25, {"a\x1b[2J\r\n\tb\x7f\xc2\x9b"}}};
    PGresult *result = make_result(columns, 1, 1);
    FILE *out = capture();

    (void)state;
    print_rows(out, result, NULL);
    fclose(out);
    assert_string_equal(text, "v\na\\x1b[2J\\r\\n\\tb\\x7f\\xc2\\x9b\n");
    PQclear(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_the_type_of_their_column),
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(an_empty_table_says_so),
        cmocka_unit_test(control_characters_are_escaped),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    free(text);
    return failed;
}

#include "consumer/dead_letter.h"

#include <stdlib.h>
#include <string.h>

#include "../cmocka_all.h"

static void assert_key(const char *key, size_t size, const char *wanted, const char *form)
{
    const char *got_form;
    char *got = dead_letter_key(key, size, &got_form);

    assert_non_null(got);
    assert_string_equal(got, wanted);
    if (form)
        assert_string_equal(got_form, form);
    else
        assert_null(got_form);
    free(got);
}

static void test_keys(void **state)
{
    char large[5000];
    char *text;
    const char *form;

    (void)state;
    assert_key("", 0, "", NULL);
    assert_key("order \xc3\xa9", 8, "order \xc3\xa9", NULL);
    assert_key("a\0b", 3, "610062", "hex");
    assert_key("\xff\x01", 2, "ff01", "hex");
    memset(large, 'x', sizeof(large));
    text = dead_letter_key(large, 4096, &form);
    assert_int_equal(strlen(text), 4096);
    assert_null(form);
    free(text);
    text = dead_letter_key(large, 4097, &form);
    assert_int_equal(strlen(text), 4096);
    assert_string_equal(form, "hex, cut");
    free(text);
}

/* The outbox's own rules, or its refusal would hold up the partition. */
static void test_headers(void **state)
{
    char large[4098];

    (void)state;
    memset(large, 'n', sizeof(large));
    large[4097] = '\0';
    assert_true(dead_letter_takes_header("x-Request_id.1", "v", 1));
    assert_true(dead_letter_takes_header("a", "", 0));
    assert_true(dead_letter_takes_header("a", large, 4096));
    assert_false(dead_letter_takes_header("a", large, 4097));
    assert_false(dead_letter_takes_header("a", NULL, 0));
    assert_false(dead_letter_takes_header("a", "\n", 1));
    assert_false(dead_letter_takes_header("a", "\xff", 1));
    assert_false(dead_letter_takes_header("", "v", 1));
    assert_false(dead_letter_takes_header("a b", "v", 1));
    assert_false(dead_letter_takes_header("Outbox-Id", "v", 1));
    assert_false(dead_letter_takes_header("webhook-id", "v", 1));
    assert_false(dead_letter_takes_header("TraceParent", "v", 1));
    large[129] = '\0';
    assert_false(dead_letter_takes_header(large, "v", 1));
    large[128] = '\0';
    assert_true(dead_letter_takes_header(large, "v", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_headers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

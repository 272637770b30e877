#include "consumer/keyset.h"

#include <stdio.h>
#include <string.h>

#include "../cmocka_all.h"

static void test_adds_and_removes(void **state)
{
    struct keyset set = {0};
    char key[16];

    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "%d", i * 7919 % 500);
        assert_true(keyset_add(&set, key, strlen(key)));
    }
    assert_int_equal(set.count, 500);
    assert_true(keyset_add(&set, "42", 2));
    assert_int_equal(set.count, 500);
    for (int i = 0; i < 500; i += 2) {
        snprintf(key, sizeof(key), "%d", i);
        keyset_remove(&set, key, strlen(key));
    }
    keyset_remove(&set, "no such", 7);
    assert_int_equal(set.count, 250);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(keyset_has(&set, key, strlen(key)), i % 2);
    }
    keyset_free(&set);
    assert_false(keyset_has(&set, "1", 1));
}

static void test_any_bytes(void **state)
{
    struct keyset set = {0};

    (void)state;
    assert_true(keyset_add(&set, "", 0));
    assert_true(keyset_add(&set, "a\0b", 3));
    assert_true(keyset_has(&set, "", 0));
    assert_true(keyset_has(&set, "a\0b", 3));
    assert_false(keyset_has(&set, "a\0c", 3));
    assert_false(keyset_has(&set, "a", 1));
    keyset_free(&set);
}

/* A long key counts by its beginning, as in the table. */
static void test_long_keys(void **state)
{
    struct keyset set = {0};
    char key[2 * KEYSET_KEY_SIZE];

    (void)state;
    memset(key, 'x', sizeof(key));
    assert_true(keyset_add(&set, key, sizeof(key)));
    assert_true(keyset_has(&set, key, KEYSET_KEY_SIZE));
    assert_true(keyset_has(&set, key, KEYSET_KEY_SIZE + 5));
    assert_false(keyset_has(&set, key, KEYSET_KEY_SIZE - 1));
    keyset_remove(&set, key, sizeof(key) - 1);
    assert_int_equal(set.count, 0);
    keyset_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds_and_removes),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_long_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

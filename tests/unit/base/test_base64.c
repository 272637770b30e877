/* RFC 4648: its own vectors, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/base64.h"

static const struct {
    const char *bytes;
    const char *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char text[OUTBOX__BASE64_TEXT(6)];
        char bytes[6];
        size_t size = strlen(vectors[i].bytes);

        outbox__base64_encode(vectors[i].bytes, size, text);
        assert_string_equal(text, vectors[i].text);
        assert_int_equal(outbox__base64_decode(text, strlen(text), bytes, sizeof(bytes)), size);
        assert_memory_equal(bytes, vectors[i].bytes, size);
    }
}

static void test_every_byte_survives(void **state)
{
    uint8_t bytes[256];
    uint8_t again[256];
    char text[OUTBOX__BASE64_TEXT(256)];

    (void)state;
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    for (size_t size = 0; size <= 256; size++) {
        outbox__base64_encode(bytes, size, text);
        assert_int_equal(strlen(text) + 1, OUTBOX__BASE64_TEXT(size));
        assert_int_equal(outbox__base64_decode(text, strlen(text), again, sizeof(again)), size);
        assert_memory_equal(bytes, again, size);
    }
}

static ssize_t decode(const char *text)
{
    char bytes[16];

    return outbox__base64_decode(text, strlen(text), bytes, sizeof(bytes));
}

static void test_missing_padding_is_accepted(void **state)
{
    (void)state;
    assert_int_equal(decode("Zg"), 1);
    assert_int_equal(decode("Zm8"), 2);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"Z",    "Zm9vY", "Zg=",  "Zm9=v",    "====",   "=",    "Zm 8",
                                      "Zm-_", "Zh==",  "Zm9=", "Zg==Zg==", "Zg==\n", "Z===", "\xc3\xa4=="};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (decode(bad[i]) >= 0)
            fail_msg("accepted '%s'", bad[i]);
    }
}

static void test_room_is_respected(void **state)
{
    char bytes[4] = {'x', 'x', 'x', '#'};

    (void)state;
    assert_int_equal(outbox__base64_decode("Zm9v", 4, bytes, 3), 3);
    assert_int_equal(outbox__base64_decode("Zm9vYg==", 8, bytes, 3), -1);
    assert_int_equal(bytes[3], '#');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_byte_survives),
        cmocka_unit_test(test_missing_padding_is_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_room_is_respected),
    };

    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}

#include "cli/input.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cmocka_all.h"

static void assert_array(const char *list, const char *wanted)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(1000);

    assert_int_equal(array_literal(list, &buf, NULL), wanted ? OUTBOX_OK : OUTBOX_EINVAL);
    if (wanted)
        assert_string_equal(outbox__buf_text(&buf), wanted);
    outbox__buf_free(&buf);
}

static void lists_become_arrays(void **state)
{
    (void)state;
    assert_array("*", "{\"*\"}");
    assert_array("a, b.* ,c", "{\"a\",\"b.*\",\"c\"}");
    assert_array("a\"b\\c", "{\"a\\\"b\\\\c\"}");
    assert_array("{},null", "{\"{}\",\"null\"}");
    assert_array("a b", "{\"a b\"}");
    assert_array("", NULL);
    assert_array("a,,b", NULL);
    assert_array("a,", NULL);
    assert_array(" ", NULL);
}

static void secrets(void **state)
{
    static const char *const bad[] = {
        "",
        "whsec_",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",       /* no prefix */
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY=", /* 23 bytes */
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFR!X", /* not base64 */
    };
    unsigned char bytes[SECRET_MAX];
    unsigned char other[32], made[32];
    char text[256] = "whsec_";
    size_t size = 0;

    (void)state;
    assert_int_equal(secret_parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\n", bytes, &size, NULL), OUTBOX_OK);
    assert_int_equal(size, 24);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[23], 23);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(secret_parse(bad[i], bytes, &size, NULL), OUTBOX_EINVAL);
    memset(text + 6, 'A', 100); /* 75 bytes */
    assert_int_equal(secret_parse(text, bytes, &size, NULL), OUTBOX_OK);
    assert_int_equal(size, 75);
    memset(text + 6, 'A', 104); /* 78 */
    assert_int_equal(secret_parse(text, bytes, &size, NULL), OUTBOX_EINVAL);
    assert_int_equal(secret_generate(made, NULL), OUTBOX_OK);
    assert_int_equal(secret_generate(other, NULL), OUTBOX_OK);
    assert_memory_not_equal(made, other, sizeof(made));
}

static void files(void **state)
{
    char path[] = "/tmp/outbox-input.XXXXXX";
    int fd = mkstemp(path);
    struct outbox__buf buf = OUTBOX__BUF_INIT(5);
    outbox_error *err = NULL;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a\0b\nc", 5), 5);
    assert_int_equal(read_input(path, &buf, &err), OUTBOX_OK);
    assert_int_equal(buf.size, 5);
    assert_memory_equal(buf.data, "a\0b\nc", 5);
    outbox__buf_clear(&buf);
    assert_int_equal(write(fd, "d", 1), 1);
    close(fd);
    assert_int_equal(read_input(path, &buf, &err), OUTBOX_EINVAL);
    assert_non_null(strstr(outbox_error_message(err), "more than 5 bytes"));
    unlink(path);
    assert_int_equal(read_input(path, &buf, &err), OUTBOX_EINVAL);
    assert_non_null(strstr(outbox_error_message(err), "cannot be read"));
    outbox_error_free(err);
    outbox__buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_become_arrays),
        cmocka_unit_test(secrets),
        cmocka_unit_test(files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "cli/flags.h"

#include <string.h>

#include "../cmocka_all.h"

static const struct flag_spec own[] = {
    {"type", "TYPE", "x"}, {"header", "H", "x"}, {"dry-run", NULL, "x"}, {NULL, NULL, NULL}};
static const struct flag_spec common[] = {
    {"dsn", "DSN", "x"}, {"json", NULL, "x"}, {"help", NULL, "x"}, {NULL, NULL, NULL}};

static struct arguments args;
static outbox_error *err;

static int parse(const char *const words[], bool stop)
{
    char *copy[16];
    int count = 0;

    flags_free(&args);
    outbox_error_free(err);
    err = NULL;
    for (; words[count]; count++)
        copy[count] = (char *)(uintptr_t)words[count];
    return flags_parse(&args, count, copy, own, common, stop, &err);
}

#define WORDS(...)                                                                                           \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

static void flags_and_operands_mix(void **state)
{
    size_t at = 0;

    (void)state;
    assert_int_equal(parse(WORDS("a", "--type=t=u", "--json", "-", "--header", "x=1", "--dsn", "--odd",
                                 "--header=y", "--", "--type"),
                           false),
                     11);
    assert_string_equal(operand(&args, 0), "a");
    assert_string_equal(operand(&args, 1), "-");
    assert_string_equal(operand(&args, 2), "--type");
    assert_null(operand(&args, 3));
    assert_int_equal(operand_count(&args), 3);
    assert_string_equal(flag_text(&args, "type"), "t=u");
    assert_string_equal(flag_text(&args, "dsn"), "--odd");
    assert_true(flag_given(&args, "json"));
    assert_false(flag_given(&args, "dry-run"));
    assert_null(flag_text(&args, "json"));
    assert_string_equal(flag_next(&args, "header", &at), "x=1");
    assert_string_equal(flag_next(&args, "header", &at), "y");
    assert_null(flag_next(&args, "header", &at));
}

static void the_last_of_a_flag_counts(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--type=a", "--type", "b"), false), 3);
    assert_string_equal(flag_text(&args, "type"), "b");
}

static void it_stops_at_the_command(void **state)
{
    (void)state;
    assert_int_equal(parse(WORDS("--dsn", "x", "emit", "--nonsense"), true), 2);
    assert_string_equal(flag_text(&args, "dsn"), "x");
    assert_int_equal(parse(WORDS("-h"), true), 1);
    assert_true(flag_given(&args, "help"));
}

static void assert_refused(const char *const words[], const char *text)
{
    assert_true(parse(words, false) < 0);
    assert_int_equal(outbox_error_code(err), OUTBOX_EINVAL);
    if (!strstr(outbox_error_message(err), text))
        fail_msg("\"%s\" is not in: %s", text, outbox_error_message(err));
}

static void mistakes(void **state)
{
    (void)state;
    assert_refused(WORDS("--tpye=x"), "did you mean --type?");
    assert_refused(WORDS("--jsonn"), "did you mean --json?");
    assert_refused(WORDS("--nothing-like-it"), "no flag --nothing-like-it");
    assert_refused(WORDS("-x"), "flags begin with --");
    assert_refused(WORDS("--type"), "--type needs a value");
    assert_refused(WORDS("--json=yes"), "--json has no value");
}

static void numbers_and_times(void **state)
{
    int64_t number;
    mono_us time;

    (void)state;
    assert_int_equal(parse(WORDS("--type=5"), false), 1);
    assert_int_equal(flag_integer(&args, "type", 1, 5, 9, &number, &err), OUTBOX_OK);
    assert_int_equal(number, 5);
    assert_int_equal(flag_integer(&args, "header", 1, 5, 9, &number, &err), OUTBOX_OK);
    assert_int_equal(number, 9);
    assert_int_equal(flag_integer(&args, "type", 1, 4, 9, &number, &err), OUTBOX_EINVAL);
    assert_non_null(strstr(outbox_error_message(err), "from 1 to 4"));
    assert_int_equal(flag_duration(&args, "type", 0, SECONDS(9), 0, &time, &err), OUTBOX_EINVAL);
    assert_non_null(strstr(outbox_error_message(err), "unit"));
    assert_int_equal(parse(WORDS("--type=5s"), false), 1);
    assert_int_equal(flag_duration(&args, "type", 0, SECONDS(9), 0, &time, &err), OUTBOX_OK);
    assert_int_equal(time, SECONDS(5));
    assert_int_equal(flag_duration(&args, "type", 0, SECONDS(4), 0, &time, &err), OUTBOX_EINVAL);
}

static int clean(void **state)
{
    (void)state;
    flags_free(&args);
    outbox_error_free(err);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_and_operands_mix),  cmocka_unit_test(the_last_of_a_flag_counts),
        cmocka_unit_test(it_stops_at_the_command), cmocka_unit_test(mistakes),
        cmocka_unit_test(numbers_and_times),
    };

    return cmocka_run_group_tests(tests, NULL, clean);
}

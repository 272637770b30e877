#include "runtime/repeat.h"

#include <stdio.h>

#include "../cmocka_all.h"

static void the_same_is_told_once_a_minute(void **state)
{
    struct repeat repeat = {0};

    (void)state;
    assert_false(repeat_seen(&repeat, "refused after 3ms", SECONDS(100)));
    assert_true(repeat_seen(&repeat, "refused after 3ms", SECONDS(101)));
    assert_true(repeat_seen(&repeat, "refused after 17ms", SECONDS(159)));
    assert_false(repeat_seen(&repeat, "refused after 4ms", SECONDS(160)));
    assert_true(repeat_seen(&repeat, "refused after 4ms", SECONDS(161)));
}

static void a_change_is_told_at_once(void **state)
{
    struct repeat repeat = {0};

    (void)state;
    assert_false(repeat_seen(&repeat, "wrong password", SECONDS(100)));
    assert_false(repeat_seen(&repeat, "expired", SECONDS(100)));
    assert_true(repeat_seen(&repeat, "wrong password", SECONDS(101)));
    assert_true(repeat_seen(&repeat, "expired", SECONDS(101)));
}

/* The one told longest ago makes room; none of more kinds than that is lost. */
static void many_kinds_are_all_told(void **state)
{
    struct repeat repeat = {0};
    char text[] = "trouble a";

    (void)state;
    for (int i = 0; i < REPEAT_KEPT + 4; i++) {
        text[8] = (char)('a' + i);
        assert_false(repeat_seen(&repeat, text, SECONDS(100 + i)));
    }
    assert_true(repeat_seen(&repeat, text, SECONDS(120)));
    assert_false(repeat_seen(&repeat, "trouble a", SECONDS(120)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_told_once_a_minute),
        cmocka_unit_test(a_change_is_told_at_once),
        cmocka_unit_test(many_kinds_are_all_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

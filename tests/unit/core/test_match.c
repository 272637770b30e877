#include "core/match.h"

#include "../cmocka_all.h"

static void matches(void **state)
{
    (void)state;
    assert_true(match_pattern("order_placed", "order_placed"));
    assert_true(match_pattern("*", "anything"));
    assert_true(match_pattern("*", ""));
    assert_true(match_pattern("order.*", "order.placed"));
    assert_true(match_pattern("order.*", "order."));
    assert_true(match_pattern("*.placed", "order.placed"));
    assert_true(match_pattern("a*b*c", "a-b-b-c"));
    assert_true(match_pattern("*ab", "aab")); /* the star must give back what it took */
    assert_true(match_pattern("a**b", "ab"));
}

static void does_not_match(void **state)
{
    (void)state;
    assert_false(match_pattern("order_placed", "order_place"));
    assert_false(match_pattern("order_placed", "order_placed_"));
    assert_false(match_pattern("order.*", "orders"));
    assert_false(match_pattern("a*b*c", "a-c-b"));
    assert_false(match_pattern("", "a"));
    assert_true(match_pattern("", ""));
}

/* Backtracking must not explode on what an operator may type by mistake. */
static void many_stars_end_soon(void **state)
{
    char text[2001];

    (void)state;
    for (int i = 0; i < 2000; i++)
        text[i] = 'a';
    text[2000] = '\0';
    assert_false(match_pattern("*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(does_not_match),
        cmocka_unit_test(many_stars_end_soon),
    };

    return cmocka_run_group_tests_name("core/match", tests, NULL, NULL);
}

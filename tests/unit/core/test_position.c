#include "core/position.h"

#include "../cmocka_all.h"

static struct position at(int64_t from, int64_t to, int64_t seq, bool done)
{
    struct position position = {{from, {0}}, {to, {0}}, seq, done};

    position.from.nonce[0] = (uint8_t)from;
    position.to.nonce[0] = (uint8_t)to;
    return position;
}

#define assert_order(a, b, expected)                                                                         \
    do {                                                                                                     \
        struct position first = a;                                                                           \
        struct position second = b;                                                                          \
        assert_int_equal(position_compare(&first, &second), expected);                                       \
    } while (0)

static void within_a_batch(void **state)
{
    (void)state;
    assert_order(at(1, 2, 10, false), at(1, 2, 10, false), POSITION_SAME);
    assert_order(at(1, 2, 10, false), at(1, 2, 11, false), POSITION_BEFORE);
    assert_order(at(1, 2, 11, false), at(1, 2, 10, false), POSITION_AFTER);
    assert_order(at(1, 2, 10, false), at(1, 2, 10, true), POSITION_BEFORE);
    assert_order(at(1, 2, 10, true), at(1, 2, 10, false), POSITION_AFTER);
    /* Nothing comes after what is done. */
    assert_order(at(1, 2, 10, true), at(1, 2, 11, false), POSITION_CONFLICT);
    assert_order(at(1, 2, 11, true), at(1, 2, 10, true), POSITION_CONFLICT);
}

static void across_batches(void **state)
{
    (void)state;
    assert_order(at(1, 2, 50, true), at(2, 3, 4, false), POSITION_BEFORE);
    assert_order(at(2, 3, 4, false), at(1, 2, 50, true), POSITION_AFTER);
    /* Empty batches between leave a gap. */
    assert_order(at(1, 2, 50, true), at(5, 6, 60, false), POSITION_BEFORE);
    /* One read the tail of its batch and found nothing: it is not marked done. */
    assert_order(at(1, 2, 50, false), at(2, 3, 60, false), POSITION_BEFORE);
}

/* A new lane begins with an empty batch from the first tick to itself. */
static void from_the_start(void **state)
{
    (void)state;
    assert_order(at(1, 1, 0, true), at(1, 5, 3, false), POSITION_BEFORE);
    assert_order(at(1, 5, 3, false), at(1, 1, 0, true), POSITION_AFTER);
    assert_order(at(1, 1, 0, true), at(1, 1, 0, true), POSITION_SAME);
    assert_order(at(1, 1, 0, true), at(3, 4, 1, false), POSITION_BEFORE);
}

static void contradictions(void **state)
{
    struct position other = at(1, 2, 10, false);

    (void)state;
    /* The same from_tick leads to one to_tick only. */
    assert_order(at(1, 2, 10, false), at(1, 3, 10, false), POSITION_CONFLICT);
    /* Batches do not overlap. */
    assert_order(at(1, 5, 10, false), at(3, 6, 10, false), POSITION_CONFLICT);
    /* A tick id without its nonce is another tick. */
    other.to.nonce[0] = 99;
    assert_order(at(1, 2, 10, false), other, POSITION_CONFLICT);
    assert_order(other, at(2, 3, 1, false), POSITION_CONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_a_batch),
        cmocka_unit_test(across_batches),
        cmocka_unit_test(from_the_start),
        cmocka_unit_test(contradictions),
    };

    return cmocka_run_group_tests_name("core/position", tests, NULL, NULL);
}

#include "core/flight.h"

#include "../cmocka_all.h"

static void push(struct flight *flight, uint64_t id, int64_t bytes)
{
    const struct lane_page page = {.id = id, .count = 1, .bytes = bytes};

    flight_push(flight, &page);
}

static void pages_leave_in_their_order(void **state)
{
    struct flight flight = {0};

    (void)state;
    assert_null(flight_oldest(&flight));
    for (uint64_t id = 1; id <= 20; id++) { /* round the ring */
        push(&flight, id, 1);
        push(&flight, id + 100, 1);
        assert_int_equal(flight_oldest(&flight)->id, id);
        assert_true(flight_holds(&flight, id));
        assert_true(flight_holds(&flight, id + 100));
        assert_int_equal(flight_pop(&flight).id, id);
        assert_false(flight_holds(&flight, id));
        assert_int_equal(flight_pop(&flight).id, id + 100);
    }
    assert_int_equal(flight.count, 0);
    assert_int_equal(flight.bytes, 0);
    push(&flight, 0, 0);
    assert_false(flight_holds(&flight, 0)); /* no page */
}

static void pages_are_limited(void **state)
{
    struct flight flight = {0};

    (void)state;
    for (uint64_t id = 1; id <= 3; id++) {
        assert_true(flight_has_room(&flight, 3, 100));
        push(&flight, id, 1);
    }
    assert_false(flight_has_room(&flight, 3, 100));
    assert_true(flight_has_room(&flight, 4, 100));
    for (uint64_t id = 4; id <= FLIGHT_PAGES; id++)
        push(&flight, id, 1);
    assert_false(flight_has_room(&flight, 100, 100));
}

static void bytes_are_limited_but_for_the_first(void **state)
{
    struct flight flight = {0};

    (void)state;
    assert_true(flight_has_room(&flight, 4, 0));
    push(&flight, 1, 60);
    assert_true(flight_has_room(&flight, 4, 100));
    push(&flight, 2, 60);
    assert_false(flight_has_room(&flight, 4, 100));
    flight_pop(&flight);
    assert_true(flight_has_room(&flight, 4, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_leave_in_their_order),
        cmocka_unit_test(pages_are_limited),
        cmocka_unit_test(bytes_are_limited_but_for_the_first),
    };

    return cmocka_run_group_tests_name("core/flight", tests, NULL, NULL);
}

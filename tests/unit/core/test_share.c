#include "core/share.h"

#include <stdint.h>

#include "../cmocka_all.h"

static struct share_picture picture;
static int owner[SHARE_LANES];

/* holders: for each lane the number of its relay, '-' for none */
static void draw(size_t relays, const char *holders)
{
    picture = (struct share_picture){.relay_count = relays};
    for (size_t i = 0; i < relays; i++)
        picture.able[i] = true;
    for (; holders[picture.lane_count]; picture.lane_count++) {
        char holder = holders[picture.lane_count];

        picture.lanes[picture.lane_count] =
            (struct share_lane){.holder = holder == '-' ? SHARE_NOBODY : holder - '0', .pinned = SHARE_NOBODY};
    }
}

static void assert_owners(const char *wanted)
{
    char got[SHARE_LANES + 1] = "";

    share_lanes(&picture, owner);
    for (size_t i = 0; i < picture.lane_count; i++)
        got[i] = owner[i] == SHARE_NOBODY ? '-' : (char)('0' + owner[i]);
    assert_string_equal(got, wanted);
}

static void free_lanes_are_dealt_out(void **state)
{
    (void)state;
    draw(1, "----");
    assert_owners("0000");
    draw(2, "----");
    assert_owners("0101");
    draw(3, "----");
    assert_owners("0012");
    draw(3, "-");
    assert_owners("0");
    draw(0, "--");
    assert_owners("--");
}

static void what_is_shared_evenly_stays(void **state)
{
    (void)state;
    draw(2, "1100");
    assert_owners("1100");
    draw(3, "2201");
    assert_owners("2201");
    /* one too many for one of them, whoever it is: the one that has it */
    draw(2, "110");
    assert_owners("110");
    draw(2, "0");
    assert_owners("0");
}

static void a_new_relay_gets_its_part(void **state)
{
    (void)state;
    draw(2, "0000");
    assert_owners("0011");
    draw(3, "0011");
    assert_owners("0012");
    draw(4, "0012");
    assert_owners("0312");
}

static void the_lanes_of_a_dead_one_go_to_those_with_the_fewest(void **state)
{
    (void)state;
    draw(2, "001-");
    assert_owners("0011");
    draw(2, "0---");
    assert_owners("0101");
}

static void one_that_fails_has_no_part_unless_all_do(void **state)
{
    (void)state;
    draw(2, "0-");
    picture.able[0] = false;
    assert_owners("11");
    picture.able[1] = false;
    assert_owners("01");
}

static void a_closed_lane_is_nobodys(void **state)
{
    (void)state;
    draw(2, "0011");
    picture.lanes[0].closed = true;
    assert_owners("-011");
    picture.lanes[2].closed = picture.lanes[3].closed = true;
    assert_owners("-0--");
}

static void a_pinned_lane_goes_where_it_belongs(void **state)
{
    (void)state;
    draw(2, "0011");
    picture.lanes[0].pinned = 1;
    /* in exchange for one that it has */
    assert_owners("1010");
    for (int i = 0; i < 4; i++)
        picture.lanes[i].pinned = 1;
    assert_owners("1111");
    picture.able[1] = false;
    assert_owners("0000");
}

static uint32_t dice = 1;

static int roll(int sides)
{
    dice = dice * 1664525 + 1013904223;
    return (int)((dice >> 8) % (uint32_t)sides);
}

/* Whatever the picture: every open lane has an able owner, the parts differ by one at most,
 * and once everybody has what is its own nothing moves any more. */
static void any_picture_comes_to_rest_evenly(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        int count[SHARE_RELAYS] = {0};
        int again[SHARE_LANES];
        int least = SHARE_LANES, most = 0;

        picture = (struct share_picture){.relay_count = 1 + (size_t)roll(6), .lane_count = 1 + (size_t)roll(16)};
        for (size_t i = 0; i < picture.relay_count; i++)
            picture.able[i] = i == 0 || roll(4) > 0;
        for (size_t i = 0; i < picture.lane_count; i++)
            picture.lanes[i] = (struct share_lane){.holder = roll((int)picture.relay_count + 1) - 1,
                                                   .pinned = SHARE_NOBODY, .closed = roll(8) == 0};
        share_lanes(&picture, owner);
        for (size_t i = 0; i < picture.lane_count; i++) {
            assert_int_equal(owner[i] == SHARE_NOBODY, picture.lanes[i].closed);
            if (owner[i] == SHARE_NOBODY)
                continue;
            assert_true(picture.able[owner[i]]);
            count[owner[i]]++;
        }
        for (size_t i = 0; i < picture.relay_count; i++) {
            if (picture.able[i]) {
                least = count[i] < least ? count[i] : least;
                most = count[i] > most ? count[i] : most;
            }
        }
        assert_true(most - least <= 1);
        for (size_t i = 0; i < picture.lane_count; i++)
            picture.lanes[i].holder = owner[i];
        share_lanes(&picture, again);
        for (size_t i = 0; i < picture.lane_count; i++)
            assert_int_equal(again[i], owner[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_lanes_are_dealt_out),
        cmocka_unit_test(what_is_shared_evenly_stays),
        cmocka_unit_test(a_new_relay_gets_its_part),
        cmocka_unit_test(the_lanes_of_a_dead_one_go_to_those_with_the_fewest),
        cmocka_unit_test(one_that_fails_has_no_part_unless_all_do),
        cmocka_unit_test(a_closed_lane_is_nobodys),
        cmocka_unit_test(a_pinned_lane_goes_where_it_belongs),
        cmocka_unit_test(any_picture_comes_to_rest_evenly),
    };

    return cmocka_run_group_tests_name("core/share", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "runtime/log.h"
#include "webhook/slots.h"

#define SECRET "000102030405060708090a0b0c0d0e0f1011121314151617"

static void id_of(int number, char ret[OUTBOX__UUID_TEXT])
{
    snprintf(ret, OUTBOX__UUID_TEXT, "00000000-0000-0000-0000-%012d", number);
}

static struct outbox__uuid uuid_of(int number)
{
    struct outbox__uuid id;
    char text[OUTBOX__UUID_TEXT];

    id_of(number, text);
    assert_true(outbox__uuid_parse(text, &id));
    return id;
}

static void see(struct slots *slots, int number, int concurrency, const char *url)
{
    char id[OUTBOX__UUID_TEXT];
    const struct endpoint_row row = {.id = id,
                                     .url = url,
                                     .policy = "resend",
                                     .secrets = SECRET,
                                     .max_age_us = 1,
                                     .timeout = 1,
                                     .concurrency = concurrency};

    id_of(number, id);
    slots_see(slots, &row);
}

/* Endpoints 1 to count. */
static struct slots *make(int most, int count, int concurrency)
{
    struct slots *slots = slots_new(most);

    assert_non_null(slots);
    slots_begin(slots);
    for (int i = count; i >= 1; i--)
        see(slots, i, concurrency, "https://example.org/");
    slots_end(slots);
    assert_int_equal(slots_count(slots), count);
    return slots;
}

/* What is wanted for the endpoint; 0 if nothing. */
static int wanted(const struct store_want *wants, size_t count, int number)
{
    const struct outbox__uuid id = uuid_of(number);

    for (size_t i = 0; i < count; i++) {
        if (outbox__uuid_equal(wants[i].endpoint, &id))
            return wants[i].slots;
    }
    return 0;
}

static void claim(struct slots *slots, int number, int count)
{
    const struct outbox__uuid id = uuid_of(number);

    for (int i = 0; i < count; i++)
        assert_non_null(slots_claimed(slots, &id));
}

static void give_back(struct slots *slots, int number, int count)
{
    const struct outbox__uuid id = uuid_of(number);

    for (int i = 0; i < count; i++)
        slots_returned(slots, &id);
}

static void test_concurrency_and_half(void **state)
{
    struct slots *slots = make(20, 2, 4);
    struct store_want wants[2];

    (void)state;
    assert_int_equal(slots_wants(slots, wants), 2);
    assert_int_equal(wanted(wants, 2, 1), 4);
    claim(slots, 1, 4);
    claim(slots, 2, 1);
    slots_settle(slots, false);
    assert_int_equal(slots_free_total(slots), 15);
    /* 1 is full, 2 had no more. */
    assert_false(slots_any_hungry(slots));
    give_back(slots, 1, 1);
    assert_true(slots_any_hungry(slots));
    assert_int_equal(slots_wants(slots, wants), 1);
    assert_int_equal(wanted(wants, 1, 1), 1);
    slots_settle(slots, false);
    assert_false(slots_any_hungry(slots));
    slots_make_hungry(slots);
    assert_int_equal(slots_wants(slots, wants), 2);
    assert_int_equal(wanted(wants, 2, 2), 3);
    slots_free(slots);

    /* Never more than half of all, though it be alone. */
    slots = make(20, 1, 1000);
    assert_int_equal(slots_wants(slots, wants), 1);
    assert_int_equal(wants[0].slots, 10);
    slots_free(slots);
    slots = make(1, 1, 1000);
    assert_int_equal(slots_wants(slots, wants), 1);
    assert_int_equal(wants[0].slots, 1);
    slots_free(slots);
}

static void test_turns(void **state)
{
    struct slots *slots = make(10, 3, 5);
    struct store_want wants[3];
    bool first[4] = {false};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(slots_wants(slots, wants), 3);
        for (int number = 1; number <= 3; number++) {
            const struct outbox__uuid id = uuid_of(number);

            first[number] |= outbox__uuid_equal(wants[0].endpoint, &id);
        }
        slots_settle(slots, true); /* full: nobody is sated */
    }
    assert_true(first[1] && first[2] && first[3]);
    slots_free(slots);
}

static void test_endpoints_come_and_go(void **state)
{
    struct slots *slots = make(10, 2, 5);
    const struct outbox__uuid one = uuid_of(1);
    const struct outbox__uuid unknown = uuid_of(9);
    struct store_want wants[4];

    (void)state;
    assert_int_equal(slots_wants(slots, wants), 2);
    claim(slots, 1, 2);
    slots_settle(slots, false);
    assert_null(slots_claimed(slots, &unknown));
    /* 1 is disabled, 3 is new, 4 cannot be used. */
    slots_begin(slots);
    see(slots, 2, 5, "https://example.org/");
    see(slots, 3, 5, "https://example.org/");
    see(slots, 4, 5, "ftp://example.org/");
    slots_end(slots);
    assert_int_equal(slots_count(slots), 4); /* 1 has requests in flight */
    assert_null(slots_claimed(slots, &one));
    assert_int_equal(slots_wants(slots, wants), 1);
    assert_int_equal(wanted(wants, 1, 3), 5);
    slots_settle(slots, false);
    give_back(slots, 1, 2);
    assert_int_equal(slots_free_total(slots), 10);
    slots_begin(slots);
    see(slots, 2, 5, "https://example.org/");
    slots_end(slots);
    assert_int_equal(slots_count(slots), 1);
    /* What comes back is looked at: something may have waited. */
    slots_begin(slots);
    see(slots, 1, 5, "https://example.org/");
    see(slots, 2, 5, "https://example.org/");
    slots_end(slots);
    assert_int_equal(slots_wants(slots, wants), 1);
    assert_int_equal(wanted(wants, 1, 1), 5);
    slots_free(slots);
}

static void test_many(void **state)
{
    enum { COUNT = 1000 };
    struct slots *slots = make(100, COUNT, 1);
    static struct store_want wants[COUNT];

    (void)state;
    assert_int_equal(slots_wants(slots, wants), COUNT);
    for (int i = 1; i <= 100; i++)
        claim(slots, i * 10, 1);
    slots_settle(slots, true);
    assert_int_equal(slots_free_total(slots), 0);
    assert_false(slots_any_hungry(slots));
    give_back(slots, 500, 1);
    assert_true(slots_any_hungry(slots));
    assert_int_equal(slots_wants(slots, wants), COUNT - 99);
    slots_free(slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_concurrency_and_half),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_endpoints_come_and_go),
        cmocka_unit_test(test_many),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}

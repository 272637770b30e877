#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/taint.h"

enum { PRODUCE = 0, METADATA = 3, INIT = 22, ADD_PARTITIONS = 24, ADD_OFFSETS = 25, END = 26, OFFSETS = 28 };
enum { ANSWERED = 0, TIMED_OUT = -185, TRANSPORT = -195 };

/* What goes over the wire in one transaction, in order. */
struct step {
    int16_t key;
    bool sent; /* else: ended, with this result */
    int result;
};

#define SENT(key)                                                                                            \
    {                                                                                                        \
        (key), true, 0                                                                                       \
    }
#define ENDED(key, result)                                                                                   \
    {                                                                                                        \
        (key), false, (result)                                                                               \
    }
#define CHECK(tainted, ...)                                                                                  \
    check((const struct step[]){__VA_ARGS__},                                                                \
          sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step), tainted)

static void check(const struct step *steps, size_t count, bool tainted)
{
    struct taint taint;

    taint_begin(&taint);
    assert_false(taint_is(&taint));
    for (size_t i = 0; i < count; i++) {
        if (steps[i].sent)
            taint_sent(&taint, steps[i].key);
        else
            taint_answered(&taint, steps[i].key, steps[i].result);
    }
    assert_int_equal(taint_is(&taint), tainted);
    taint_begin(&taint);
    assert_false(taint_is(&taint));
}

static void answered_requests_do_not_taint(void **state)
{
    (void)state;
    /* librdkafka reports each answer twice. */
    CHECK(false, SENT(ADD_PARTITIONS), ENDED(ADD_PARTITIONS, ANSWERED), ENDED(ADD_PARTITIONS, ANSWERED),
          SENT(PRODUCE), ENDED(PRODUCE, ANSWERED), SENT(END), ENDED(END, ANSWERED), ENDED(END, ANSWERED));
    /* "Concurrent transactions": an answer, after which it is sent again. */
    CHECK(false, SENT(ADD_PARTITIONS), ENDED(ADD_PARTITIONS, ANSWERED), SENT(ADD_PARTITIONS),
          ENDED(ADD_PARTITIONS, ANSWERED), SENT(END), ENDED(END, ANSWERED));
}

static void lost_transactional_requests_taint(void **state)
{
    static const int16_t keys[] = {INIT, ADD_PARTITIONS, ADD_OFFSETS, END, OFFSETS};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        CHECK(true, SENT(keys[i]), ENDED(keys[i], TIMED_OUT));
        CHECK(true, SENT(keys[i]), ENDED(keys[i], TRANSPORT), ENDED(keys[i], ANSWERED));
    }
}

static void end_sent_twice_taints(void **state)
{
    (void)state;
    CHECK(false, SENT(END));
    CHECK(true, SENT(END), SENT(END));
    CHECK(true, SENT(END), ENDED(END, ANSWERED), SENT(END), ENDED(END, ANSWERED));
}

/* Idempotent sequence numbers make a late produce request harmless. */
static void other_requests_do_not_taint(void **state)
{
    (void)state;
    CHECK(false, SENT(PRODUCE), ENDED(PRODUCE, TIMED_OUT), SENT(PRODUCE), ENDED(PRODUCE, TRANSPORT));
    CHECK(false, ENDED(METADATA, TIMED_OUT), ENDED(-1, TIMED_OUT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answered_requests_do_not_taint),
        cmocka_unit_test(lost_transactional_requests_taint),
        cmocka_unit_test(end_sent_twice_taints),
        cmocka_unit_test(other_requests_do_not_taint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

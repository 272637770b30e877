#include "runtime/metrics.h"

#include <string.h>

#include "core/delivery.h"
#include "core/lane.h"
#include "sink/result.h"
#include "../cmocka_all.h"

static const struct metric_row *row_of(int cell)
{
    for (size_t i = 0; i < metric_row_count; i++) {
        if (metric_rows[i].first == cell)
            return &metric_rows[i];
    }
    fail_msg("no metric begins with cell %d", cell);
    return NULL;
}

/* The labels are copies of names that belong to parts which the table may not include. */
static void labels_are_the_names_of_what_is_counted(void **state)
{
    const struct metric_row *states = row_of(METRIC_LANE_STATE);
    const struct metric_row *results = row_of(METRIC_KAFKA_FAILURES);
    const struct metric_row *deliveries = row_of(METRIC_DELIVERY_RESULTS);

    (void)state;
    for (int i = 0; i <= LANE_HALTED; i++)
        assert_string_equal(states->states[i], lane_state_name((enum lane_state)i));
    assert_null(states->states[LANE_HALTED + 1]);
    for (int i = 0; i <= SINK_REFUSED; i++)
        assert_string_equal(results->values[i], sink_result_name((enum sink_result)i));
    assert_int_equal(results->cells, SINK_REFUSED + 1);
    for (int i = 0; i <= DELIVERY_STATE_DEAD; i++)
        assert_string_equal(deliveries->values[i], delivery_state_name((enum delivery_state)i));
    assert_int_equal(deliveries->cells, DELIVERY_STATE_DEAD + 1);
}

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) > strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static void names_follow_the_conventions(void **state)
{
    (void)state;
    for (size_t i = 0; i < metric_row_count; i++) {
        const struct metric_row *row = &metric_rows[i];

        assert_memory_equal(row->name, "outbox_", 7);
        assert_int_equal(strspn(row->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(row->name));
        assert_int_equal(ends_with(row->name, "_total"), row->type == METRIC_COUNTER);
        assert_int_equal(ends_with(row->name, "_seconds"), row->type == METRIC_DURATION || row->times);
        assert_true(ends_with(row->help, "."));
    }
}

static void no_two_metrics_share_a_cell(void **state)
{
    int next = 0;

    (void)state;
    for (size_t i = 0; i < metric_row_count; i++) {
        assert_int_equal(metric_rows[i].first, next);
        next += (int)metric_rows[i].cells;
    }
    assert_int_equal(next, METRIC_ALL_CELLS);
}

static void a_gauge_is_not_shown_until_it_is_set(void **state)
{
    int64_t value;

    (void)state;
    assert_false(metric_value(METRIC_LAG_EVENTS, &value));
    metric_set(METRIC_LAG_EVENTS, 0);
    assert_true(metric_value(METRIC_LAG_EVENTS, &value));
    assert_int_equal(value, 0);
    metric_set(METRIC_LAG_EVENTS, -5);
    assert_true(metric_value(METRIC_LAG_EVENTS, &value));
    assert_int_equal(value, -5);
    metric_clear(METRIC_LAG_EVENTS);
    assert_false(metric_value(METRIC_LAG_EVENTS, &value));
}

static void an_observation_falls_into_the_bucket_of_its_bound(void **state)
{
    const struct metric_row *row = row_of(METRIC_COMMIT_SECONDS);
    int sum = row->first + (int)row->bound_count + 1;

    (void)state;
    metric_observe_time(METRIC_COMMIT_SECONDS, row->bounds[3], 1);
    metric_observe_time(METRIC_COMMIT_SECONDS, row->bounds[3] + 1, 2);
    metric_observe_time(METRIC_COMMIT_SECONDS, INT64_C(1) << 40, 1);
    metric_observe_time(METRIC_COMMIT_SECONDS, -7, 1); /* a clock that was set back */
    assert_int_equal(metric_count(row->first), 1);
    assert_int_equal(metric_count(row->first + 3), 1);
    assert_int_equal(metric_count(row->first + 4), 2);
    assert_int_equal(metric_count(row->first + (int)row->bound_count), 1);
    assert_int_equal(metric_count(sum), 3 * row->bounds[3] + 2 + (INT64_C(1) << 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_the_names_of_what_is_counted),
        cmocka_unit_test(names_follow_the_conventions),
        cmocka_unit_test(no_two_metrics_share_a_cell),
        cmocka_unit_test(a_gauge_is_not_shown_until_it_is_set),
        cmocka_unit_test(an_observation_falls_into_the_bucket_of_its_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

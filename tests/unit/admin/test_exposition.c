#include "admin/exposition.h"

#include <string.h>

#include "core/lane.h"
#include "runtime/metrics.h"
#include "../cmocka_all.h"

/* The page has this line. */
static void has(const struct outbox__buf *page, const char *line)
{
    const char *at = strstr(outbox__buf_text(page), line);

    if (!at || (at != page->data && at[-1] != '\n') || at[strlen(line)] != '\n')
        fail_msg("no line \"%s\" in\n%s", line, outbox__buf_text(page));
}

static void has_not(const struct outbox__buf *page, const char *text)
{
    if (strstr(outbox__buf_text(page), text))
        fail_msg("\"%s\" is in\n%s", text, outbox__buf_text(page));
}

static void shows_each_type(void **state)
{
    struct outbox__buf page = OUTBOX__BUF_INIT(1 << 20);

    (void)state;
    metric_add(METRIC_TICKS, 3);
    metric_add(METRIC_LOG_LINES + 1, 2);
    metric_set(METRIC_LAG_SECONDS + 2, 1500001);
    metric_set(METRIC_LANE_STATE, LANE_RUNNING);
    metric_observe_size(METRIC_TRANSACTION_EVENTS, 100, 2);
    metric_observe_size(METRIC_TRANSACTION_EVENTS, 200000, 1);
    metric_observe_time(METRIC_COMMIT_SECONDS, 1200, 1);
    exposition_write(&page);
    assert_false(page.failed);
    has(&page, "# TYPE outbox_ticks_total counter");
    has(&page, "outbox_ticks_total 3");
    has(&page, "outbox_log_lines_total{level=\"error\"} 0");
    has(&page, "outbox_log_lines_total{level=\"warning\"} 2");
    has(&page, "# TYPE outbox_lag_seconds gauge");
    has(&page, "outbox_lag_seconds{lane=\"2\"} 1.500001");
    has_not(&page, "outbox_lag_seconds{lane=\"0\"}");
    has(&page, "outbox_lane_state{lane=\"0\",state=\"running\"} 1");
    has(&page, "outbox_lane_state{lane=\"0\",state=\"halted\"} 0");
    has(&page, "# TYPE outbox_transaction_events histogram");
    has(&page, "outbox_transaction_events_bucket{le=\"50\"} 0");
    has(&page, "outbox_transaction_events_bucket{le=\"100\"} 2");
    has(&page, "outbox_transaction_events_bucket{le=\"100000\"} 2");
    has(&page, "outbox_transaction_events_bucket{le=\"+Inf\"} 3");
    has(&page, "outbox_transaction_events_sum 200200");
    has(&page, "outbox_transaction_events_count 3");
    has(&page, "outbox_commit_seconds_bucket{le=\"0.001000\"} 0");
    has(&page, "outbox_commit_seconds_bucket{le=\"0.002500\"} 1");
    has(&page, "outbox_commit_seconds_sum 0.001200");
    outbox__buf_free(&page);
}

static void shows_the_process(void **state)
{
    struct outbox__buf page = OUTBOX__BUF_INIT(1 << 20);
    static const char *const names[] = {"process_cpu_seconds_total",    "process_start_time_seconds",
                                        "process_virtual_memory_bytes", "process_resident_memory_bytes",
                                        "process_open_fds",             "process_max_fds"};

    (void)state;
    exposition_write_process(&page, "1\"2\\3\n");
    has(&page, "outbox_build_info{version=\"1\\\"2\\\\3\\n\"} 1");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strstr(outbox__buf_text(&page), names[i]))
            fail_msg("%s is missing", names[i]);
    }
    outbox__buf_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_each_type),
        cmocka_unit_test(shows_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

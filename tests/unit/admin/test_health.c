#include "admin/health.h"

#include <string.h>

#include "../cmocka_all.h"

#define NOW SECONDS(1000)

static const struct health_facts well = {
    .now = NOW, .patience = SECONDS(30), .ready = true, .state = "running", .partitions_ahead = 2};

/* Judges; the text must begin with this, and be one line. */
static bool judge(const struct health_facts *facts, const char *wanted)
{
    struct outbox__buf out = OUTBOX__BUF_INIT(4096);
    bool good = health_judge(facts, &out);

    assert_false(out.failed);
    if (strncmp(outbox__buf_text(&out), wanted, strlen(wanted)) != 0 ||
        strchr(outbox__buf_text(&out), '\n') != out.data + out.size - 1)
        fail_msg("got \"%s\" instead of \"%s\"", outbox__buf_text(&out), wanted);
    outbox__buf_free(&out);
    return good;
}

static void is_well_when_nothing_is_wrong(void **state)
{
    struct health_facts facts = well;

    (void)state;
    assert_true(judge(&facts, "ok: running\n"));
    facts.state = "standing by";
    facts.partitions_ahead = -1; /* not known yet */
    assert_true(judge(&facts, "ok: standing by\n"));
}

static void names_each_reason(void **state)
{
    struct health_facts facts = well;

    (void)state;
    facts.stopping = true;
    assert_false(judge(&facts, "stopping:"));
    facts = well;
    facts.halt = "marker_missing";
    assert_false(judge(&facts, "halted: marker_missing"));
    facts = well;
    facts.overdue = 2;
    facts.overdue_thread = "lane-kafka 1";
    facts.overdue_for = "Kafka, a commit";
    facts.overdue_since = NOW - SECONDS(7);
    assert_false(judge(&facts, "overdue: lane-kafka 1 waits for Kafka, a commit, 7 s beyond the deadline\n"));
    facts.overdue = 0;
    facts.partitions_ahead = 1;
    assert_false(judge(&facts, "partitions: 1 ahead"));
    facts = well;
    facts.grant = "GRANT a TO b";
    assert_false(judge(&facts, "maintenance: nothing that has expired is removed; GRANT a TO b"));
}

static void waits_for_what_may_pass(void **state)
{
    static const struct {
        size_t offset;
        const char *reason;
    } since[] = {
        {offsetof(struct health_facts, database_failing_since), "postgresql: not reachable for 30 s"},
        {offsetof(struct health_facts, kafka_failing_since), "kafka: nothing has succeeded for 30 s"},
        {offsetof(struct health_facts, idle_since), "lane: running, neither"},
        {offsetof(struct health_facts, stalled_since), "stalled:"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(since) / sizeof(since[0]); i++) {
        struct health_facts facts = well;
        mono_us *moment = (mono_us *)((char *)&facts + since[i].offset);

        *moment = NOW - SECONDS(30) + 1;
        assert_true(judge(&facts, "ok: running"));
        *moment = NOW - SECONDS(30);
        assert_false(judge(&facts, since[i].reason));
    }
}

static void names_all_reasons(void **state)
{
    struct health_facts facts = well;
    struct outbox__buf out = OUTBOX__BUF_INIT(4096);

    (void)state;
    facts.stopping = true;
    facts.partitions_ahead = 0;
    assert_false(health_judge(&facts, &out));
    assert_non_null(strstr(outbox__buf_text(&out), "stopping:"));
    assert_non_null(strstr(outbox__buf_text(&out), "\npartitions: 0 ahead"));
    outbox__buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_well_when_nothing_is_wrong),
        cmocka_unit_test(names_each_reason),
        cmocka_unit_test(waits_for_what_may_pass),
        cmocka_unit_test(names_all_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "admin/health.h"

static bool too_long(const struct health_facts *facts, mono_us since)
{
    return since != 0 && facts->now - since >= facts->patience;
}

static long long seconds(const struct health_facts *facts, mono_us since)
{
    return (facts->now - since) / SECONDS(1);
}

bool health_judge(const struct health_facts *facts, struct outbox__buf *out)
{
    size_t before = out->size;

    if (facts->stopping)
        outbox__buf_puts(out, "stopping: the relay has been told to stop\n");
    if (facts->halt)
        outbox__buf_printf(out, "halted: %s; see outboxctl doctor\n", facts->halt);
    if (too_long(facts, facts->database_failing_since))
        outbox__buf_printf(out, "postgresql: not reachable for %lld s\n",
                           seconds(facts, facts->database_failing_since));
    if (too_long(facts, facts->kafka_failing_since))
        outbox__buf_printf(out, "kafka: nothing has succeeded for %lld s\n",
                           seconds(facts, facts->kafka_failing_since));
    if (too_long(facts, facts->idle_since))
        outbox__buf_printf(out, "lane: %s, neither running nor standing by, for %lld s\n", facts->state,
                           seconds(facts, facts->idle_since));
    if (too_long(facts, facts->stalled_since))
        outbox__buf_printf(out, "stalled: there are events to publish, and no progress for %lld s\n",
                           seconds(facts, facts->stalled_since));
    if (facts->overdue > 0)
        outbox__buf_printf(out, "overdue: %s waits for %s, %lld s beyond the deadline\n", facts->overdue_thread,
                           facts->overdue_for, seconds(facts, facts->overdue_since));
    if (facts->partitions_ahead >= 0 && facts->partitions_ahead < HEALTH_PARTITIONS)
        outbox__buf_printf(out, "partitions: %d ahead of the one in use, there should be %d; "
                                "SELECT outbox.partition_add()\n", facts->partitions_ahead, HEALTH_PARTITIONS);
    if (facts->grant)
        outbox__buf_printf(out, "maintenance: nothing that has expired is removed; %s\n", facts->grant);
    if (out->size != before)
        return false;
    outbox__buf_printf(out, "ok: %s\n", facts->state);
    return true;
}

/* Lane states x faults: what cannot be, and what has been seen. */
#include <stdio.h>

#include "sim/sim.h"

#define STATE(state) (1u << (state))
#define ENDED (STATE(LANE_STOPPED) | STATE(LANE_HALTED))
#define CHANGING STATE(FAULT_CHANGING)
#define EVERYWHERE (STATE(FAULT_STATES) - 1)

/* What each class can strike, and why not the rest. */
static const struct {
    unsigned states;
    const char *otherwise;
} reach[] = {
    [FAULT_AT_ONCE] = {EVERYWHERE & ~ENDED, "the lane has ended"},
    [FAULT_OF_DB] = {STATE(LANE_ACQUIRING) | STATE(LANE_VERIFYING) | STATE(LANE_CATCHING_UP) |
                         STATE(LANE_CHECKING_LEASE) | STATE(LANE_RECORDING) | STATE(LANE_RUNNING) |
                         STATE(LANE_CLOSING) | STATE(LANE_RELEASING) | CHANGING,
                     "the lane asks the database for nothing"},
    [FAULT_OF_RENEWAL] = {STATE(LANE_COMPARING) | STATE(LANE_FENCING) | STATE(LANE_LOCATING) |
                              STATE(LANE_VERIFYING) | STATE(LANE_CATCHING_UP) | STATE(LANE_CHECKING_LEASE) |
                              STATE(LANE_MARKING_START) | STATE(LANE_RUNNING) | STATE(LANE_CLOSING) |
                              STATE(LANE_RECORDING) | STATE(LANE_OPENING) | CHANGING,
                          "there is no lease to renew"},
    [FAULT_OF_TICK] = {STATE(LANE_RUNNING) | CHANGING, "only a running lane's ticker ticks"},
    [FAULT_OF_KAFKA] = {STATE(LANE_COMPARING) | STATE(LANE_FENCING) | STATE(LANE_LOCATING) |
                            STATE(LANE_MARKING_START) | STATE(LANE_OPENING) | STATE(LANE_RUNNING) |
                            STATE(LANE_CLOSING) | CHANGING,
                        "the lane asks Kafka for nothing"},
    [FAULT_OF_HTTP] = {EVERYWHERE & ~ENDED, "the lane has ended"},
    [FAULT_OF_WEBHOOK_DB] = {EVERYWHERE & ~ENDED, "the lane has ended"},
    [FAULT_OF_DATA] = {STATE(LANE_ACQUIRING), "it strikes while no relay runs"},
};

const char *fault_unreachable(enum fault_kind kind, int state)
{
    return reach[fault_class(kind)].states & STATE(state) ? NULL : reach[fault_class(kind)].otherwise;
}

/* A lane that parks an event as the last thing that it does. */
bool fault_seldom(enum fault_kind kind, int state)
{
    return fault_class(kind) == FAULT_OF_DB && state == LANE_CLOSING;
}

static bool unvisited(const struct fault_table *table, int kind, int state)
{
    return table->cell[state][kind] == 0 && !fault_unreachable((enum fault_kind)kind, state) &&
           !fault_seldom((enum fault_kind)kind, state);
}

static void print_reasons(FILE *out)
{
    static const char *const class_names[] = {"a step", "lane's statement", "renewal", "tick", "Kafka request",
                                              "webhook", "dispatcher's statement", "loss of data"};

    fprintf(out, "# -: cannot be\n");
    for (size_t i = 0; i < sizeof(reach) / sizeof(reach[0]); i++)
        fprintf(out, "#   %s: %s\n", class_names[i], reach[i].otherwise);
}

int fault_table_judge(const struct fault_table *table, bool complete, FILE *out)
{
    int wrong = 0;

    fprintf(out, "# %-20s", "");
    for (int state = 0; state < FAULT_STATES; state++)
        fprintf(out, " %.9s%*s", fault_state_name(state), 0, "");
    fprintf(out, "\n");
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        fprintf(out, "# %-20s", fault_name((enum fault_kind)kind));
        for (int state = 0; state < FAULT_STATES; state++) {
            bool reachable = !fault_unreachable((enum fault_kind)kind, state);
            long long visits = table->cell[state][kind];
            bool bad = reachable ? complete && unvisited(table, kind, state) : visits != 0;

            wrong += bad;
            if (reachable || visits != 0)
                fprintf(out, " %s%8lld", bad ? "!" : " ", visits);
            else
                fprintf(out, " %9s", "-");
        }
        fprintf(out, "\n");
    }
    print_reasons(out);
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        for (int state = 0; state < FAULT_STATES; state++) {
            bool reachable = !fault_unreachable((enum fault_kind)kind, state);

            if (complete && unvisited(table, kind, state))
                fprintf(out, "# not visited: %s while %s\n", fault_name((enum fault_kind)kind),
                        fault_state_name(state));
            if (!reachable && table->cell[state][kind] != 0)
                fprintf(out, "# visited, and it cannot be: %s while %s\n", fault_name((enum fault_kind)kind),
                        fault_state_name(state));
        }
    }
    return wrong;
}

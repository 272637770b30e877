/* sim-run: runs seeds, tells what failed and how to see it again. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/run.h"
#include "sim/sim.h"

#define FAILURES 4
#define JOBS_MAX 64
#define COMPLETE 50000 /* so many seeds visit every cell */
#define LEAST_STEPS 50

static const struct {
    const char *name;
    const char *text;
} bugs[] = {
#define BUG_ROW(constant, name, text) {name, text},
    BUG_MAP(BUG_ROW)
#undef BUG_ROW
};

struct options {
    uint64_t first, last;
    int jobs;
    bool expect_failure; /* a bug is planted: the first failing seed will do */
    bool list_bugs;
    struct run run;
};

/* What a process has found, in memory that all share. */
struct share {
    uint64_t seeds, failures;
    uint64_t failed[FAILURES];
    int64_t steps, least_steps, simulated;
    uint64_t faults, without_fault;
    struct fault_table table;
};

static void usage(void)
{
    fprintf(stderr, "usage: sim-run [--seeds FROM-TO | --seed N] [--bug NAME] [--jobs N] [--verbose]\n"
                    "               [--only-faults N,N...] [--only-writers N,N...] [--list-bugs]\n");
    exit(2);
}

static uint64_t parse_number(const char **text)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(*text, &end, 10);
    if (end == *text || errno != 0)
        usage();
    *text = end;
    return value;
}

static uint64_t parse_all_but(const char *text)
{
    uint64_t set = ~UINT64_C(0);

    while (*text) {
        set &= ~(UINT64_C(1) << (parse_number(&text) % 64));
        if (*text == ',')
            text++;
        else if (*text)
            usage();
    }
    return set;
}

static enum bug parse_bug(const char *name)
{
    for (int i = 0; i < BUG_COUNT; i++) {
        if (strcmp(bugs[i].name, name) == 0)
            return (enum bug)i;
    }
    fprintf(stderr, "sim-run: no such bug: %s; see --list-bugs\n", name);
    exit(2);
}

static void parse_range(struct options *options, const char *text)
{
    options->first = parse_number(&text);
    options->last = options->first;
    if (*text == '-') {
        text++;
        options->last = parse_number(&text);
    }
    if (*text || options->last < options->first)
        usage();
}

static void parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"seeds", required_argument, NULL, 's'}, {"seed", required_argument, NULL, 's'},
        {"bug", required_argument, NULL, 'b'}, {"jobs", required_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'}, {"only-faults", required_argument, NULL, 'f'},
        {"only-writers", required_argument, NULL, 'w'}, {"list-bugs", no_argument, NULL, 'l'}, {NULL, 0, NULL, 0}};
    const char *text;
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        text = optarg;
        if (option == 's')
            parse_range(options, text);
        else if (option == 'b')
            options->run.bug = parse_bug(text);
        else if (option == 'j')
            options->jobs = (int)(parse_number(&text) % JOBS_MAX);
        else if (option == 'v')
            options->run.verbose = true;
        else if (option == 'f')
            options->run.faults_left_out = (uint32_t)parse_all_but(text);
        else if (option == 'w')
            options->run.writers_left_out = parse_all_but(text);
        else if (option == 'l')
            options->list_bugs = true;
        else
            usage();
    }
    if (optind != argc)
        usage();
    options->expect_failure = options->run.bug != BUG_NONE;
}

/* --- many seeds --- */

static void add_result(struct share *share, uint64_t seed, const struct run_result *result)
{
    share->seeds++;
    share->steps += result->steps;
    share->simulated += result->simulated;
    if (share->seeds == 1 || result->steps < share->least_steps)
        share->least_steps = result->steps;
    share->faults += (uint64_t)result->faults;
    share->without_fault += result->faults == 0;
    if (!result->failed)
        return;
    if (share->failures < FAILURES)
        share->failed[share->failures] = seed;
    share->failures++;
}

static void work(const struct options *options, struct share *share, int job)
{
    struct sim *sim = sim_new();
    struct run run = options->run;
    struct run_result result;

    if (!sim)
        abort();
    run.table = &share->table;
    for (uint64_t seed = options->first + (uint64_t)job; seed <= options->last; seed += (uint64_t)options->jobs) {
        run.seed = seed;
        run_seed(sim, &run, &result);
        add_result(share, seed, &result);
        if (share->failures >= (options->expect_failure ? 1 : FAILURES))
            break;
    }
    sim_free(sim);
}

/* Each process has its share of the seeds; false if one of them died. */
static bool spread(const struct options *options, struct share *shares)
{
    pid_t children[JOBS_MAX];
    bool good = true;
    int status;

    for (int job = 1; job < options->jobs; job++) {
        children[job] = fork();
        if (children[job] == 0) {
            work(options, &shares[job], job);
            _exit(0);
        }
    }
    work(options, &shares[0], 0);
    for (int job = 1; job < options->jobs; job++)
        good = children[job] > 0 && waitpid(children[job], &status, 0) == children[job] && status == 0 && good;
    return good;
}

static void merge(struct share *sum, const struct share *share)
{
    for (uint64_t i = 0; i < share->failures && i < FAILURES && sum->failures + i < FAILURES; i++)
        sum->failed[sum->failures + i] = share->failed[i];
    if (share->seeds > 0 && (sum->seeds == 0 || share->least_steps < sum->least_steps))
        sum->least_steps = share->least_steps;
    sum->failures += share->failures;
    sum->seeds += share->seeds;
    sum->steps += share->steps;
    sum->simulated += share->simulated;
    sum->faults += share->faults;
    sum->without_fault += share->without_fault;
    for (int state = 0; state < FAULT_STATES; state++) {
        for (int kind = 0; kind < FAULT_COUNT; kind++)
            sum->table.cell[state][kind] += share->table.cell[state][kind];
    }
}

/* --- one failing seed --- */

static void print_list(const char *option, uint64_t left_out, int count)
{
    const char *comma = "";

    printf(" %s ", option);
    for (int i = 0; i < count; i++) {
        if (!(left_out >> i & 1)) {
            printf("%s%d", comma, i);
            comma = ",";
        }
    }
    if (!*comma)
        printf("''");
}

/* The smallest schedule that fails, and the command that shows it. */
static void explain(const struct options *options, struct sim *sim, uint64_t seed)
{
    struct run run = options->run;
    struct run_result result;

    run.seed = seed;
    run.verbose = false;
    run_seed(sim, &run, &result);
    printf("# seed %llu fails: %s\n", (unsigned long long)seed, result.failure);
    run_shrink(sim, &run);
    run_seed(sim, &run, &result);
    printf("# shrunk to %s\n", result.failure);
    for (int i = 0; i < sim->faults.count; i++) {
        if (!(run.faults_left_out >> i & 1))
            faults_print(&sim->faults.list[i], i, stdout);
    }
    printf("# replay: tests/sim/sim-run --seed %llu --verbose", (unsigned long long)seed);
    if (run.bug != BUG_NONE)
        printf(" --bug %s", bugs[run.bug].name);
    print_list("--only-faults", run.faults_left_out, FAULTS_MAX);
    print_list("--only-writers", run.writers_left_out, WRITERS_MAX);
    printf("\n");
}

static int run_one(const struct options *options)
{
    struct sim *sim = sim_new();
    struct run run = options->run;
    struct run_result result;

    if (!sim)
        abort();
    run.seed = options->first;
    run_seed(sim, &run, &result);
    printf("# seed %llu: %s; %lld steps, %d faults, %lld s\n", (unsigned long long)run.seed,
           result.failed ? result.failure : "passed", (long long)result.steps, result.faults,
           (long long)(result.simulated / SEC));
    if (result.failed && !run.verbose)
        explain(options, sim, run.seed);
    sim_free(sim);
    return result.failed;
}

static int judge(const struct options *options, const struct share *sum)
{
    struct sim *sim = sim_new();
    bool complete = sum->failures == 0 && options->run.bug == BUG_NONE && sum->seeds >= COMPLETE;
    int wrong = 0;

    if (!sim)
        abort();
    printf("# %llu seeds, %llu failed; %lld steps, at least %lld; %llu faults struck; %lld hours simulated\n",
           (unsigned long long)sum->seeds, (unsigned long long)sum->failures, (long long)sum->steps,
           (long long)sum->least_steps, (unsigned long long)sum->faults, (long long)(sum->simulated / SEC / 3600));
    if (options->run.bug == BUG_NONE)
        wrong = fault_table_judge(&sum->table, complete, stdout);
    if (sum->least_steps < LEAST_STEPS && !options->expect_failure) {
        printf("# a seed has fewer than %d steps\n", LEAST_STEPS);
        wrong++;
    }
    for (uint64_t i = 0; i < sum->failures && i < FAILURES; i++)
        explain(options, sim, sum->failed[i]);
    sim_free(sim);
    return sum->failures > 0 || wrong > 0;
}

int main(int argc, char **argv)
{
    struct options options = {.first = 1, .last = 100000, .jobs = 2};
    struct share *shares;
    int result;

    parse(&options, argc, argv);
    if (options.list_bugs) {
        for (int i = BUG_NONE + 1; i < BUG_COUNT; i++)
            printf("%s\t%s\n", bugs[i].name, bugs[i].text);
        return 0;
    }
    if (options.first == options.last)
        return run_one(&options);
    if (options.jobs < 1)
        options.jobs = 1;
    shares = mmap(NULL, sizeof(*shares) * JOBS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shares == MAP_FAILED) {
        perror("sim-run: mmap");
        return 2;
    }
    fflush(stdout);
    if (!spread(&options, shares)) {
        fprintf(stderr, "sim-run: a process died\n");
        return 2;
    }
    for (int job = 1; job < options.jobs; job++)
        merge(&shares[0], &shares[job]);
    result = judge(&options, &shares[0]);
    munmap(shares, sizeof(*shares) * JOBS_MAX);
    return result;
}

#include "admin/exposition.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "runtime/metrics.h"

static void put_head(struct outbox__buf *out, const char *name, const char *help, const char *type)
{
    outbox__buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Microseconds as seconds, without rounding. */
static void put_number(struct outbox__buf *out, int64_t value, bool microseconds)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    if (microseconds)
        outbox__buf_printf(out, "%s%" PRIu64 ".%06" PRIu64, value < 0 ? "-" : "", size / 1000000, size % 1000000);
    else
        outbox__buf_printf(out, "%" PRId64, value);
}

void exposition_escape(struct outbox__buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            outbox__buf_puts(out, "\\n");
        else if (*text == '"' || *text == '\\')
            outbox__buf_append(out, (const char[]){'\\', *text}, 2);
        else
            outbox__buf_append(out, text, 1);
    }
}

static void put_label(struct outbox__buf *out, const struct metric_row *row, int index)
{
    if (row->values)
        outbox__buf_printf(out, "%s=\"%s\"", row->label, row->values[index]);
    else if (row->label)
        outbox__buf_printf(out, "%s=\"%d\"", row->label, index);
}

static void put_series(struct outbox__buf *out, const struct metric_row *row, int index)
{
    outbox__buf_puts(out, row->name);
    if (!row->label)
        return;
    outbox__buf_puts(out, "{");
    put_label(out, row, index);
    outbox__buf_puts(out, "}");
}

static void put_counters(struct outbox__buf *out, const struct metric_row *row)
{
    for (int i = 0; i < (int)row->cells; i++) {
        put_series(out, row, i);
        outbox__buf_printf(out, " %" PRId64 "\n", metric_count(row->first + i));
    }
}

static void put_gauges(struct outbox__buf *out, const struct metric_row *row)
{
    for (int i = 0; i < (int)row->cells; i++) {
        int64_t value;

        if (!metric_value(row->first + i, &value))
            continue;
        put_series(out, row, i);
        outbox__buf_puts(out, " ");
        put_number(out, value, row->type == METRIC_DURATION);
        outbox__buf_puts(out, "\n");
    }
}

static void put_states(struct outbox__buf *out, const struct metric_row *row)
{
    for (int i = 0; i < (int)row->cells; i++) {
        int64_t value;

        if (!metric_value(row->first + i, &value))
            continue;
        for (int state = 0; row->states[state]; state++) {
            outbox__buf_printf(out, "%s{", row->name);
            put_label(out, row, i);
            outbox__buf_printf(out, ",state=\"%s\"} %d\n", row->states[state], state == value);
        }
    }
}

/* The count is that of the buckets just read, so that the two agree whatever is counted
 * meanwhile. */
static void put_histogram(struct outbox__buf *out, const struct metric_row *row)
{
    int64_t count = 0;

    for (size_t i = 0; i <= row->bound_count; i++) {
        count += metric_count(row->first + (int)i);
        outbox__buf_printf(out, "%s_bucket{le=\"", row->name);
        if (i < row->bound_count)
            put_number(out, row->bounds[i], row->times);
        else
            outbox__buf_puts(out, "+Inf");
        outbox__buf_printf(out, "\"} %" PRId64 "\n", count);
    }
    outbox__buf_printf(out, "%s_sum ", row->name);
    put_number(out, metric_count(row->first + (int)row->bound_count + 1), row->times);
    outbox__buf_printf(out, "\n%s_count %" PRId64 "\n", row->name, count);
}

void exposition_write(struct outbox__buf *out)
{
    for (size_t i = 0; i < metric_row_count; i++) {
        const struct metric_row *row = &metric_rows[i];

        put_head(out, row->name, row->help,
                 row->type == METRIC_COUNTER     ? "counter"
                 : row->type == METRIC_HISTOGRAM ? "histogram"
                                                 : "gauge");
        switch (row->type) {
        case METRIC_COUNTER:
            put_counters(out, row);
            break;
        case METRIC_STATE:
            put_states(out, row);
            break;
        case METRIC_HISTOGRAM:
            put_histogram(out, row);
            break;
        default:
            put_gauges(out, row);
            break;
        }
    }
}

/* ---- the process ---- */

static void put_double(struct outbox__buf *out, const char *name, const char *help, const char *type, double value)
{
    put_head(out, name, help, type);
    outbox__buf_printf(out, "%s %.6f\n", name, value);
}

static void put_integer(struct outbox__buf *out, const char *name, const char *help, uint64_t value)
{
    put_head(out, name, help, "gauge");
    outbox__buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static int open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = -1; /* but this one */

    if (!directory)
        return -1;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

/* Clock ticks from boot to the start of this process, and its memory; proc(5). */
static bool read_stat(unsigned long long *ret_start, unsigned long *ret_virtual, long *ret_pages)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    const char *rest;

    if (file)
        fclose(file);
    text[size] = '\0';
    rest = strrchr(text, ')'); /* the name may have blanks */
    return rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d"
                                    " %*d %llu %lu %ld", ret_start, ret_virtual, ret_pages) == 3;
}

static double boot_time(void)
{
    struct timespec wall, boot;

    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
}

void exposition_write_process(struct outbox__buf *out, const char *version)
{
    unsigned long long start = 0;
    unsigned long virtual = 0;
    long pages = 0;
    struct rusage usage;
    struct rlimit limit;
    int descriptors = open_descriptors();

    put_head(out, "outbox_build_info", "Always 1; the version is in its label.", "gauge");
    outbox__buf_puts(out, "outbox_build_info{version=\"");
    exposition_escape(out, version);
    outbox__buf_puts(out, "\"} 1\n");
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        put_double(out, "process_cpu_seconds_total", "CPU time used, user and system.", "counter",
                   (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (read_stat(&start, &virtual, &pages)) {
        put_double(out, "process_start_time_seconds", "Start of the process, in seconds since 1970.", "gauge",
                   boot_time() + (double)start / (double)sysconf(_SC_CLK_TCK));
        put_integer(out, "process_virtual_memory_bytes", "Virtual memory.", virtual);
        put_integer(out, "process_resident_memory_bytes", "Resident memory.",
                    (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE));
    }
    if (descriptors >= 0)
        put_integer(out, "process_open_fds", "Open file descriptors.", (uint64_t)descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        put_integer(out, "process_max_fds", "Most file descriptors that may be open.", (uint64_t)limit.rlim_cur);
}

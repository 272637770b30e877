/* To be preloaded: a wall clock that jumps.  MOVED_CLOCK names a file with one int64_t, the
 * microseconds by which CLOCK_REALTIME is off; whoever has it mapped may change it at any
 * time.  CLOCK_MONOTONIC stays as it is.  Waits until a moment of the wall clock end, as
 * those of a kernel whose clock was set do, when the moved clock has come to it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SLICE 20000000L /* nanoseconds between two looks at the clock */
#define WALL 1000000000 /* seconds: no moment of the monotonic clock is as late */

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void)
{
    static const int64_t none;
    const char *path = getenv("MOVED_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd >= 0 ? mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    offset = map == MAP_FAILED ? &none : map;
    if (fd >= 0)
        close(fd);
}

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    return found;
}

static void move(struct timespec *moment, int64_t by)
{
    int64_t nanoseconds = moment->tv_nsec + by % 1000000 * 1000;

    moment->tv_sec += by / 1000000 + nanoseconds / 1000000000;
    moment->tv_nsec = nanoseconds % 1000000000;
    if (moment->tv_nsec < 0) {
        moment->tv_sec--;
        moment->tv_nsec += 1000000000;
    }
}

static void read_wall(struct timespec *ret)
{
    syscall(SYS_clock_gettime, CLOCK_REALTIME, ret);
    if (offset)
        move(ret, *offset);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    static int (*next)(clockid_t, struct timespec *);

    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        read_wall(ret);
        return 0;
    }
    if (!next)
        next = (int (*)(clockid_t, struct timespec *))real("clock_gettime");
    return next(id, ret);
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    read_wall(&now);
    *ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec now;

    read_wall(&now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *ret, int base)
{
    read_wall(ret);
    return base;
}

/* Nanoseconds until then, one slice at most; 0: it has come. */
static long left_until(const struct timespec *until)
{
    struct timespec now;
    int64_t left;

    read_wall(&now);
    left = (int64_t)(until->tv_sec - now.tv_sec) * 1000000000 + until->tv_nsec - now.tv_nsec;
    return left <= 0 ? 0 : left < SLICE ? (long)left : SLICE;
}

/* By the clock of the kernel, which is not moved. */
static struct timespec true_moment(long nanoseconds)
{
    struct timespec moment;

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &moment);
    moment.tv_nsec += nanoseconds;
    moment.tv_sec += moment.tv_nsec / 1000000000;
    moment.tv_nsec %= 1000000000;
    return moment;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until)
{
    static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

    if (!next)
        next = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))real("pthread_cond_timedwait");
    if (until->tv_sec < WALL)
        return next(condition, lock, until);
    for (;;) {
        long left = left_until(until);
        struct timespec slice = true_moment(left);
        int result = next(condition, lock, &slice);

        if (result != ETIMEDOUT || left == 0)
            return result;
    }
}

/* As C11 spells it. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict lock, const struct timespec *restrict until)
{
    switch (pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)lock, until)) {
    case 0:
        return thrd_success;
    case ETIMEDOUT:
        return thrd_timedout;
    default:
        return thrd_error;
    }
}

int pthread_timedjoin_np(pthread_t thread, void **ret, const struct timespec *until)
{
    static int (*next)(pthread_t, void **, const struct timespec *);

    if (!next)
        next = (int (*)(pthread_t, void **, const struct timespec *))real("pthread_timedjoin_np");
    for (;;) {
        long left = left_until(until);
        struct timespec slice = true_moment(left);
        int result = next(thread, ret, &slice);

        if (result != ETIMEDOUT || left == 0)
            return result;
    }
}

#include "failing_alloc.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long countdown; /* 0: none fails */
static bool only_one;
static bool failed;

static bool fails(void)
{
    if (countdown == 0)
        return false;
    if (countdown > 1) {
        countdown--;
        return false;
    }
    if (only_one)
        countdown = 0;
    failed = true;
    return true;
}

void fail_alloc_from(long n)
{
    countdown = n;
    only_one = false;
    failed = false;
}

void fail_alloc_at(long n)
{
    countdown = n;
    only_one = true;
    failed = false;
}

void fail_alloc_never(void)
{
    countdown = 0;
}

bool alloc_has_failed(void)
{
    return failed;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *failing_malloc(size_t size)
{
    return __wrap_malloc(size);
}

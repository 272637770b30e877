/* Preloaded into a program, makes one call of one function fail, once:
 *
 *   OUTBOX_FAIL="curl_easy_init:3"        the third call
 *   OUTBOX_FAIL="malloc@libpq:40"         the fortieth of those that come from libpq
 *   OUTBOX_FAIL="list"                    prints the functions and ends the program
 *
 * "call failed" on standard error tells that it was done.  A call that fails is not made,
 * but for "+name", which is made, and reported as failed: the answer was lost. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#undef curl_easy_setopt /* to check types */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static char wanted[64];  /* the function; "": none */
static char library[32]; /* from which it is called; "": any */
static atomic_long left; /* calls up to the one that fails */

/* Without allocating: it may be within an allocation. */
static void say(const char *name)
{
    char line[128];
    int size = snprintf(line, sizeof(line), "call failed: %s\n", name);

    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        return;
}

static bool comes_from_library(const void *caller)
{
    const char *file;
    Dl_info info;

    if (!library[0])
        return true;
    if (!dladdr(caller, &info) || !info.dli_fname)
        return false;
    file = strrchr(info.dli_fname, '/');
    file = file ? file + 1 : info.dli_fname;
    return strncmp(file, library, strlen(library)) == 0;
}

static bool fails(const char *name, const void *caller)
{
    if (wanted[0] == '\0' || strcmp(wanted, name) != 0 || atomic_load(&left) <= 0 || !comes_from_library(caller))
        return false;
    if (atomic_fetch_sub(&left, 1) != 1)
        return false;
    say(name);
    return true;
}

#define FAILS(name) fails((name), __builtin_return_address(0))

/* ---- memory ---- */

void *malloc(size_t size)
{
    return FAILS("malloc") ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return FAILS("calloc") ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return FAILS("realloc") ? NULL : __libc_realloc(old, size);
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = FAILS("strdup") ? NULL : __libc_malloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- the others ---- */

static const char *const names[] = {
#define MEMORY(name) name "@outbox-relay", name "@libpq", name "@libcurl", name "@libjansson"
    MEMORY("malloc"), MEMORY("calloc"), MEMORY("realloc"), MEMORY("strdup"),
#define CALL(type, name, parameters, arguments, failure) #name,
#define BOTH(type, name, parameters, arguments, failure) #name, "+" #name,
#define VARIADIC(type, name, parameters, failure) #name,
#include "failing_calls.h"
#undef CALL
#undef BOTH
#undef VARIADIC
};

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        _exit(99);
    return function;
}

/* A function's address comes as that of data. */
#define REAL(type, name, parameters) ((type(*) parameters)(uintptr_t)next(#name))

#define CALL(type, name, parameters, arguments, failure)                                                     \
    type name parameters                                                                                     \
    {                                                                                                        \
        if (FAILS(#name))                                                                                    \
            return failure;                                                                                  \
        return REAL(type, name, parameters) arguments;                                                       \
    }
#define BOTH(type, name, parameters, arguments, failure)                                                     \
    type name parameters                                                                                     \
    {                                                                                                        \
        type result;                                                                                         \
                                                                                                             \
        if (FAILS(#name))                                                                                    \
            return failure;                                                                                  \
        result = REAL(type, name, parameters) arguments;                                                     \
        return FAILS("+" #name) ? failure : result;                                                          \
    }

#pragma GCC diagnostic ignored "-Wunused-parameter"
/* GCC alone has this.  The arguments go on as they came: in registers and, up to 256 bytes, on the stack. */
#define VARIADIC(type, name, parameters, failure)                                                            \
    type name parameters                                                                                     \
    {                                                                                                        \
        void *arguments = __builtin_apply_args();                                                            \
                                                                                                             \
        if (FAILS(#name))                                                                                    \
            return failure;                                                                                  \
        __builtin_return(__builtin_apply((void (*)())(uintptr_t)next(#name), arguments, 256));               \
    }

static int with_errno(int number)
{
    errno = number;
    return -1;
}

/* An error that librdkafka calls neither retriable nor fatal, nor one after which to abort. */
static rd_kafka_error_t *kafka_error(void)
{
    return rd_kafka_error_new(RD_KAFKA_RESP_ERR__TIMED_OUT, "made to fail");
}

static rd_kafka_t *no_client(char *text, size_t size)
{
    snprintf(text, size, "made to fail");
    return NULL;
}

/* What libpq makes of a result that it has no memory for. */
static PGresult *no_memory(PGconn *conn)
{
    PGresult *result = REAL(PGresult *, PQgetResult, (PGconn *))(conn);

    PQclear(result);
    return result ? PQmakeEmptyPGresult(conn, PGRES_FATAL_ERROR) : NULL;
}

#include "failing_calls.h"

static void __attribute__((constructor)) set_up(void)
{
    const char *text = getenv("OUTBOX_FAIL");
    const char *colon = text ? strrchr(text, ':') : NULL;
    const char *at;
    size_t size;

    if (text && strcmp(text, "list") == 0) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            puts(names[i]);
        fflush(stdout);
        _exit(0);
    }
    if (!colon)
        return;
    at = memchr(text, '@', (size_t)(colon - text));
    size = (size_t)((at ? at : colon) - text);
    if (size >= sizeof(wanted) || (at && (size_t)(colon - at) > sizeof(library)))
        return;
    if (at)
        memcpy(library, at + 1, (size_t)(colon - at) - 1);
    atomic_store(&left, strtol(colon + 1, NULL, 10));
    memcpy(wanted, text, size);
}

#include "runtime/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cmocka_all.h"

/* A supervisor's socket of that name; "@" for the zero byte of an abstract one. */
static int listen_as(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    memcpy(address.sun_path, name, size);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/'))), 0);
    return fd;
}

static void expect(int fd, const char *text)
{
    char got[256] = "";
    ssize_t size = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

    assert_true(size >= 0);
    assert_string_equal(got, text);
}

static void sends_to(const char *name)
{
    struct notify notify;
    int fd = listen_as(name);

    assert_true(notify_open(&notify, name, NULL, NULL));
    assert_int_equal(notify.watchdog, 0);
    assert_true(notify_send(&notify, "READY=1"));
    expect(fd, "READY=1");
    assert_true(notify_reloading(&notify));
    notify_close(&notify);
    close(fd);
    assert_int_equal(notify.fd, -1);
}

static void sends_to_a_path(void **state)
{
    char directory[] = "/tmp/test_notify.XXXXXX";
    char name[64];

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(name, sizeof(name), "%s/socket", directory);
    sends_to(name);
    unlink(name);
    rmdir(directory);
}

static void sends_to_an_abstract_name(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof(name), "@outbox/test_notify/%d", (int)getpid());
    sends_to(name);
}

static void does_nothing_without_a_supervisor(void **state)
{
    struct notify notify;

    (void)state;
    assert_true(notify_open(&notify, NULL, "1000000", NULL));
    assert_true(notify_send(&notify, "READY=1"));
    assert_int_equal(notify.watchdog, 0);
    assert_true(notify_open(&notify, "", NULL, NULL));
    assert_true(notify_send(&notify, "READY=1"));
}

static void refuses_a_name_that_cannot_be_one(void **state)
{
    struct notify notify;
    char longest[200];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    assert_false(notify_open(&notify, longest, NULL, NULL));
    assert_false(notify_open(&notify, "relative", NULL, NULL));
    assert_false(notify_open(&notify, "@", NULL, NULL));
    assert_true(notify_send(&notify, "READY=1")); /* and then nobody is told */
}

static mono_us watchdog(const char *usec, const char *pid)
{
    struct notify notify;

    assert_true(notify_open(&notify, "/nowhere", usec, pid));
    notify_close(&notify);
    return notify.watchdog;
}

static void the_watchdog_is_for_the_process_that_it_names(void **state)
{
    char mine[32];

    (void)state;
    snprintf(mine, sizeof(mine), "%d", (int)getpid());
    assert_int_equal(watchdog("2000000", NULL), 2000000);
    assert_int_equal(watchdog("2000000", mine), 2000000);
    assert_int_equal(watchdog("2000000", "1"), 0);
    assert_int_equal(watchdog("2000000", "x"), 0);
    assert_int_equal(watchdog("2 s", NULL), 0);
    assert_int_equal(watchdog("-1", NULL), 0);
    assert_int_equal(watchdog("99999999999999999999", NULL), 0);
}

static void a_supervisor_that_is_gone_is_no_reason_to_stop(void **state)
{
    struct notify notify;

    (void)state;
    assert_true(notify_open(&notify, "/nowhere/at/all", NULL, NULL));
    assert_false(notify_send(&notify, "READY=1"));
    notify_close(&notify);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_to_a_path),
        cmocka_unit_test(sends_to_an_abstract_name),
        cmocka_unit_test(does_nothing_without_a_supervisor),
        cmocka_unit_test(refuses_a_name_that_cannot_be_one),
        cmocka_unit_test(the_watchdog_is_for_the_process_that_it_names),
        cmocka_unit_test(a_supervisor_that_is_gone_is_no_reason_to_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

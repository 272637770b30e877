/* A dispatcher and nothing else, for tests:
 *
 *   dispatch-driver --dsn DSN --worker NAME [--allow NETWORKS] [--ca FILE] [--insecure]
 *                   [--max-in-flight N] [--margin-ms N] [--poll-ms N] [--stop-ms N]
 *
 * Prints "ready", wakes the dispatcher on SIGUSR1, ends on SIGTERM or when its standard
 * input ends.  Exit status 0: everything was recorded; 3: something was not. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "runtime/log.h"
#include "webhook/dispatcher.h"

struct options {
    struct dispatcher_settings settings;
    mono_us stop;
};

static const struct option names[] = {
    {"dsn", required_argument, NULL, 'd'},       {"worker", required_argument, NULL, 'w'},
    {"allow", required_argument, NULL, 'a'},     {"ca", required_argument, NULL, 'c'},
    {"insecure", no_argument, NULL, 'i'},        {"max-in-flight", required_argument, NULL, 'm'},
    {"margin-ms", required_argument, NULL, 'l'}, {"poll-ms", required_argument, NULL, 'p'},
    {"stop-ms", required_argument, NULL, 's'},   {"connect-ms", required_argument, NULL, 't'},
    {"debug", no_argument, NULL, 'v'},           {NULL, 0, NULL, 0},
};

static bool parse_time(int option, struct options *options)
{
    mono_us value = MILLISECONDS(strtol(optarg, NULL, 10));

    switch (option) {
    case 'l':
        options->settings.lease_margin = value;
        return true;
    case 'p':
        options->settings.poll_interval = value;
        return true;
    case 's':
        options->stop = value;
        return true;
    case 't':
        options->settings.connect_timeout = value;
        return true;
    default:
        return false;
    }
}

static bool parse_option(int option, struct options *options)
{
    switch (option) {
    case 'd':
        options->settings.dsn = optarg;
        return true;
    case 'w':
        options->settings.worker = optarg;
        return true;
    case 'a':
        options->settings.allowed_addresses = optarg;
        return true;
    case 'c':
        options->settings.ca_file = optarg;
        return true;
    case 'i':
        options->settings.insecure = true;
        return true;
    case 'm':
        options->settings.max_in_flight = (int)strtol(optarg, NULL, 10);
        return true;
    case 'v':
        log_set_level(LOG_LEVEL_DEBUG);
        return true;
    default:
        return parse_time(option, options);
    }
}

static int parse(int argc, char **argv, struct options *options)
{
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == '?' || !parse_option(option, options))
            return -1;
    }
    return options->settings.dsn && options->settings.worker ? 0 : -1;
}

/* Until SIGTERM or SIGINT, or the end of standard input. */
static void wait_for_end(struct dispatcher *dispatcher, int signals)
{
    struct pollfd fds[2] = {{signals, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};

    for (;;) {
        struct signalfd_siginfo info;
        char byte;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[1].revents && read(STDIN_FILENO, &byte, 1) <= 0)
            return;
        if (!(fds[0].revents & POLLIN) || read(signals, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo != SIGUSR1)
            return;
        dispatcher_wake(dispatcher);
    }
}

int main(int argc, char **argv)
{
    struct options options = {
        .settings = {.max_in_flight = 64,
                     .lease_margin = SECONDS(5),
                     .poll_interval = MILLISECONDS(50),
                     .connect_timeout = SECONDS(2)},
        .stop = SECONDS(5),
    };
    struct dispatcher *dispatcher;
    outbox_error *error = NULL;
    sigset_t set;
    int signals;

    if (parse(argc, argv, &options) < 0) {
        fputs("usage: dispatch-driver --dsn DSN --worker NAME [option...]\n", stderr);
        return 2;
    }
    /* Before the threads start, so that they inherit it. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    dispatcher = signals < 0 ? NULL : dispatcher_start(&options.settings, &error);
    if (!dispatcher) {
        fprintf(stderr, "dispatch-driver: %s\n", error ? outbox_error_message(error) : "no signalfd");
        outbox_error_free(error);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    wait_for_end(dispatcher, signals);
    return dispatcher_stop(dispatcher, clock_now() + options.stop) ? 0 : 3;
}

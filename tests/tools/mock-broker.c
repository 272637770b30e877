/* mock-broker: librdkafka's mock cluster, for a demonstration without Java.
 *
 *   mock-broker [--brokers N] [--topic NAME[:PARTITIONS]]...
 *
 * Prints the bootstrap servers on one line, then runs until SIGTERM or SIGINT, or until
 * its standard input ends if that is a pipe.  It speaks the protocol but knows neither
 * isolation nor fencing: nothing about transactions can be proven on it.  A partition
 * keeps its last 5 MB.  It cannot be asked to create a topic, but makes one with four
 * partitions whenever it is asked about one; --topic is for other numbers. */
#include <getopt.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "mock-broker: %s: %s\n", what, why);
    exit(1);
}

static int parse_count(const char *text)
{
    char *end;
    long count = strtol(text, &end, 10);

    if (*end || count < 1 || count > 1000)
        die(text, "not a number from 1 to 1000");
    return (int)count;
}

static void create_topic(rd_kafka_mock_cluster_t *cluster, char *wish, int brokers)
{
    char *colon = strrchr(wish, ':');
    int partitions = colon ? parse_count(colon + 1) : 4;
    rd_kafka_resp_err_t code;

    if (colon)
        *colon = '\0';
    code = rd_kafka_mock_topic_create(cluster, wish, partitions, brokers < 3 ? brokers : 3);
    if (code)
        die(wish, rd_kafka_err2str(code));
}

static bool is_pipe(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

static void wait_for_end(int signal_fd)
{
    struct pollfd fds[2] = {{signal_fd, POLLIN, 0}, {is_pipe(STDIN_FILENO) ? STDIN_FILENO : -1, POLLIN, 0}};
    char discarded[256];

    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents)
            return;
        if (fds[1].revents && read(STDIN_FILENO, discarded, sizeof(discarded)) <= 0)
            return;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"brokers", required_argument, NULL, 'b'},
                                            {"topic", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    rd_kafka_mock_cluster_t *cluster;
    char text[256];
    rd_kafka_t *handle;
    sigset_t signals;
    int brokers = 1, option, signal_fd;

    /* Before there are threads, which inherit it. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return 2;
        if (option == 'b')
            brokers = parse_count(optarg);
    }
    handle = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, text, sizeof(text));
    if (!handle)
        die("librdkafka", text);
    cluster = rd_kafka_mock_cluster_new(handle, brokers);
    if (!cluster)
        die("mock cluster", "cannot be made");
    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 't')
            create_topic(cluster, optarg, brokers);
    }
    printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    wait_for_end(signal_fd);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(handle);
    return 0;
}

#include "sink_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL_TIME SECONDS(20)

static const char *bootstrap;
static const char *build_dir;

bool world_find_servers(void)
{
    bootstrap = getenv("OUTBOX_TEST_KAFKA");
    build_dir = getenv("OUTBOX_BUILD");
    if (!bootstrap || !build_dir)
        fputs("OUTBOX_TEST_KAFKA and OUTBOX_BUILD are not set: run tests/integration/sink_real_broker\n",
              stderr);
    return bootstrap && build_dir;
}

const char *world_bootstrap(void)
{
    return bootstrap;
}

mono_us soon(void)
{
    return clock_now() + CALL_TIME;
}

void expect(enum sink_result got, enum sink_result wanted, outbox_error **reterr)
{
    outbox_error *error = reterr ? *reterr : NULL;

    if (got != wanted) {
        print_message("# %s instead of %s: %s\n", sink_result_name(got), sink_result_name(wanted),
                      error ? outbox_error_message(error) : "no message");
        fail();
    }
    outbox_error_free(error);
    if (reterr)
        *reterr = NULL;
}

struct kafka *make_kafka(const struct world *world, bool create, const char *name, const char *value)
{
    const struct kafka_property properties[] = {{"bootstrap.servers", bootstrap}, {name, value}};
    const struct kafka_settings settings = {
        .properties = properties,
        .property_count = name ? 2 : 1,
        .prefix = world->prefix,
        .create_topics = create,
        .topic_partitions = 4,
        .topic_replication = 1,
        .transaction_timeout = SECONDS(10),
    };
    outbox_error *error = NULL;
    struct kafka *kafka = kafka_new(&settings, &error);

    if (!kafka)
        fail_msg("%s", outbox_error_message(error));
    return kafka;
}

static void ensure_progress(struct kafka *kafka)
{
    outbox_error *error = NULL;
    struct progress *progress = progress_open(kafka, &error);

    assert_non_null(progress);
    expect(progress_ensure(progress, 2, soon(), &error), SINK_OK, &error);
    progress_close(progress);
}

int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    snprintf(world->prefix, sizeof(world->prefix), "sinktest-%016" PRIx64, random_u64());
    snprintf(world->topic, sizeof(world->topic), "%s.orders", world->prefix);
    snprintf(world->id, sizeof(world->id), "%s.0", world->prefix);
    world->kafka = make_kafka(world, true, NULL, NULL);
    ensure_progress(world->kafka);
    *state = world;
    return 0;
}

int tear_down(void **state)
{
    struct world *world = *state;

    kafka_free(world->kafka);
    free(world);
    return 0;
}

struct producer *open_producer_with(struct kafka *kafka, const char *id)
{
    outbox_error *error = NULL;
    struct producer *producer = producer_new(kafka, id, &error);
    enum sink_result result;
    mono_us end = soon();

    if (!producer)
        fail_msg("%s", outbox_error_message(error));
    do
        result = producer_init(producer, clock_now() + SECONDS(1), &error);
    while (result == SINK_AGAIN && clock_now() < end);
    expect(result, SINK_OK, result == SINK_OK ? NULL : &error);
    return producer;
}

struct producer *open_producer(const struct world *world)
{
    return open_producer_with(world->kafka, world->id);
}

void close_producer(struct producer *producer)
{
    assert_true(producer_close(producer, clock_now() + SECONDS(10)));
}

struct marker make_marker(int incarnation, int64_t seq)
{
    struct marker marker = {.system_identifier = 7, .map = 1, .lane = 0, .published = seq};

    memset(marker.incarnation, incarnation, sizeof(marker.incarnation));
    marker.position = (struct position){.from = {1, {1}}, .to = {2, {2}}, .seq = seq};
    return marker;
}

struct sink_record make_record(const struct world *world, const char *key, const char *payload)
{
    return (struct sink_record){.topic = world->topic,
                                .partition = -1,
                                .key = key,
                                .key_size = key ? strlen(key) : 0,
                                .payload = payload,
                                .payload_size = payload ? strlen(payload) : 0};
}

enum sink_result commit(struct producer *producer, outbox_error **reterr)
{
    enum sink_result result;
    mono_us end = soon();

    do
        result = producer_commit(producer, clock_now() + SECONDS(1), reterr);
    while (result == SINK_AGAIN && clock_now() < end);
    return result;
}

enum sink_result try_publish(struct producer *producer, const struct sink_record *records, size_t count,
                             int64_t seq, outbox_error **reterr)
{
    const struct marker marker = make_marker(1, seq);

    return producer_publish(producer, records, count, &marker, soon(), reterr);
}

void publish(struct producer *producer, const struct sink_record *records, size_t count, int64_t seq)
{
    outbox_error *error = NULL;

    expect(try_publish(producer, records, count, seq, &error), SINK_OK, &error);
}

void publish_and_commit(struct producer *producer, const struct sink_record *records, size_t count,
                        int64_t seq)
{
    outbox_error *error = NULL;
    enum sink_result result;

    publish(producer, records, count, seq);
    result = commit(producer, &error);
    expect(result, SINK_OK, result == SINK_OK ? NULL : &error);
}

/* Starts topic-dump with its output in a pipe, which is *ret. */
static pid_t start_dump(const char *isolation, const char *topic, FILE **ret)
{
    char program[512];
    int fds[2];
    pid_t child;

    snprintf(program, sizeof(program), "%s/tests/tools/topic-dump", build_dir);
    assert_int_equal(pipe(fds), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        execl(program, program, "--bootstrap", bootstrap, "--isolation", isolation, "--json", topic, NULL);
        _exit(127);
    }
    close(fds[1]);
    *ret = fdopen(fds[0], "r");
    assert_non_null(*ret);
    return child;
}

json_t *dump(const char *isolation, const char *topic)
{
    json_t *records = json_array();
    char line[65536];
    FILE *output;
    pid_t child = start_dump(isolation, topic, &output);
    int status = -1;

    while (fgets(line, sizeof(line), output))
        assert_int_equal(json_array_append_new(records, json_loads(line, 0, NULL)), 0);
    fclose(output);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return records;
}

size_t count_records(const char *isolation, const char *topic)
{
    json_t *records = dump(isolation, topic);
    size_t count = json_array_size(records);

    json_decref(records);
    return count;
}

static void await_records(const char *isolation, const char *topic, size_t count)
{
    mono_us end = soon();

    while (count_records(isolation, topic) < count)
        assert_true(clock_now() < end);
}

void await_on_broker(const char *topic, size_t count)
{
    await_records("read_uncommitted", topic, count);
}

json_t *await_committed(const char *topic, size_t count)
{
    json_t *records;

    await_records("read_committed", topic, count);
    records = dump("read_committed", topic);
    assert_int_equal(json_array_size(records), count);
    return records;
}

const char *text_of(const json_t *record, const char *member)
{
    return json_string_value(json_object_get(record, member));
}

void settle(const struct world *world)
{
    close_producer(open_producer(world));
}

struct progress_answer read_progress(struct kafka *kafka, int incarnation)
{
    struct progress_answer answer;
    outbox_error *error = NULL;
    struct progress *progress = progress_open(kafka, &error);
    uint8_t bytes[16];

    assert_non_null(progress);
    memset(bytes, incarnation, sizeof(bytes));
    expect(progress_read(progress, bytes, 1, 0, soon(), &answer, &error), SINK_OK, &error);
    progress_close(progress);
    return answer;
}

void make_topic(const struct world *world, const char *name, int partitions, const char *property,
                const char *value)
{
    const struct kafka_property config = {property, value};
    const struct topic_wish wish = {.name = name,
                                    .partitions = partitions,
                                    .replication = 1,
                                    .config = &config,
                                    .config_count = property ? 1 : 0};
    outbox_error *error = NULL;
    struct topics *topics = topics_open(world->kafka, &error);

    assert_non_null(topics);
    expect(topics_create(topics, &wish, soon(), &error), SINK_OK, &error);
    assert_int_equal(topics_partitions(topics, name), partitions);
    topics_close(topics);
}

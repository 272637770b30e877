/* The Kafka side against a real broker: what only a broker can prove.  Every test has
 * topics and ids of its own.  Run by sink_real_broker. */
#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sink/kafka.h"
#include "sink/producer.h"
#include "sink/progress.h"
#include "sink/topics.h"

#define CALL_TIME SECONDS(20)

struct world {
    char prefix[64];
    char topic[80];
    char id[80];
    struct kafka *kafka;
};

static const char *bootstrap;
static const char *build_dir;

/* ---- helpers ---- */

static mono_us soon(void)
{
    return clock_now() + CALL_TIME;
}

/* reterr: NULL if an error of an earlier call may still be in it. */
static void expect(enum sink_result got, enum sink_result wanted, outbox_error **reterr)
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

static struct kafka *make_kafka(const struct world *world, bool create, const char *name, const char *value)
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

static int set_up(void **state)
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

static int tear_down(void **state)
{
    struct world *world = *state;

    kafka_free(world->kafka);
    free(world);
    return 0;
}

static struct producer *open_producer_with(struct kafka *kafka, const char *id)
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

static struct producer *open_producer(const struct world *world)
{
    return open_producer_with(world->kafka, world->id);
}

static void close_producer(struct producer *producer)
{
    assert_true(producer_close(producer, clock_now() + SECONDS(10)));
}

static struct marker make_marker(int incarnation, int64_t seq)
{
    struct marker marker = {.system_identifier = 7, .map = 1, .lane = 0, .published = seq};

    memset(marker.incarnation, incarnation, sizeof(marker.incarnation));
    marker.position = (struct position){.from = {1, {1}}, .to = {2, {2}}, .seq = seq};
    return marker;
}

static struct sink_record make_record(const struct world *world, const char *key, const char *payload)
{
    return (struct sink_record){.topic = world->topic,
                                .partition = -1,
                                .key = key,
                                .key_size = key ? strlen(key) : 0,
                                .payload = payload,
                                .payload_size = payload ? strlen(payload) : 0};
}

static enum sink_result commit(struct producer *producer, outbox_error **reterr)
{
    enum sink_result result;
    mono_us end = soon();

    do
        result = producer_commit(producer, clock_now() + SECONDS(1), reterr);
    while (result == SINK_AGAIN && clock_now() < end);
    return result;
}

static enum sink_result try_publish(struct producer *producer, const struct sink_record *records, size_t count,
                                    int64_t seq, outbox_error **reterr)
{
    const struct marker marker = make_marker(1, seq);

    return producer_publish(producer, records, count, &marker, soon(), reterr);
}

static void publish(struct producer *producer, const struct sink_record *records, size_t count, int64_t seq)
{
    outbox_error *error = NULL;

    expect(try_publish(producer, records, count, seq, &error), SINK_OK, &error);
}

static void publish_and_commit(struct producer *producer, const struct sink_record *records, size_t count,
                               int64_t seq)
{
    outbox_error *error = NULL;
    enum sink_result result;

    publish(producer, records, count, seq);
    result = commit(producer, &error);
    expect(result, SINK_OK, result == SINK_OK ? NULL : &error);
}

/* What topic-dump says, one object per record. */
static json_t *dump(const char *isolation, const char *topic)
{
    json_t *records = json_array();
    char command[1024], line[65536];
    FILE *pipe;

    snprintf(command, sizeof(command), "'%s/tests/tools/topic-dump' --bootstrap '%s' --isolation %s --json '%s'",
             build_dir, bootstrap, isolation, topic);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof(line), pipe))
        assert_int_equal(json_array_append_new(records, json_loads(line, 0, NULL)), 0);
    assert_int_equal(pclose(pipe), 0);
    return records;
}

static size_t count_records(const char *isolation, const char *topic)
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

/* Until as many records are on the broker, committed or not. */
static void await_on_broker(const char *topic, size_t count)
{
    await_records("read_uncommitted", topic, count);
}

/* A commit is answered before the partitions have heard of it. */
static json_t *await_committed(const char *topic, size_t count)
{
    json_t *records;

    await_records("read_committed", topic, count);
    records = dump("read_committed", topic);
    assert_int_equal(json_array_size(records), count);
    return records;
}


static const char *text_of(const json_t *record, const char *member)
{
    return json_string_value(json_object_get(record, member));
}

/* The init of a successor waits for what the last commit still has to tell the
 * partitions: then nothing is on its way. */
static void settle(const struct world *world)
{
    close_producer(open_producer(world));
}

static struct progress_answer read_progress(struct kafka *kafka, int incarnation)
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

/* ---- transactions ---- */

static void committed_is_visible_with_its_marker(void **state)
{
    struct world *world = *state;
    const struct sink_record records[] = {make_record(world, "k1", "one"), make_record(world, "k1", "two"),
                                          make_record(world, "k1", "three")};
    struct producer *producer = open_producer(world);
    struct progress_answer answer;
    json_t *found;

    publish_and_commit(producer, records, 3, 33);
    assert_true(producer_clean(producer));
    close_producer(producer);
    found = await_committed(world->topic, 3);
    assert_string_equal(text_of(json_array_get(found, 0), "payload"), "one");
    assert_string_equal(text_of(json_array_get(found, 2), "payload"), "three");
    json_decref(found);
    answer = read_progress(world->kafka, 1);
    assert_true(answer.found);
    assert_int_equal(answer.marker.position.seq, 33);
}

static void several_transactions_of_one_producer(void **state)
{
    struct world *world = *state;
    const struct sink_record record = make_record(world, "k", "v");
    struct producer *producer = open_producer(world);

    for (int64_t i = 1; i <= 20; i++)
        publish_and_commit(producer, &record, 1, i);
    publish_and_commit(producer, NULL, 0, 21); /* a marker alone */
    assert_false(producer_tainted(producer));
    close_producer(producer);
    settle(world);
    assert_int_equal(count_records("read_committed", world->topic), 20);
    assert_int_equal(read_progress(world->kafka, 1).marker.position.seq, 21);
}

static void uncommitted_is_invisible_and_so_is_its_marker(void **state)
{
    struct world *world = *state;
    const struct sink_record record = make_record(world, "k", "first");
    const struct sink_record second = make_record(world, "k", "second");
    struct producer *producer = open_producer(world);
    char progress_topic[80];

    publish_and_commit(producer, &record, 1, 1);
    json_decref(await_committed(world->topic, 1));
    publish(producer, &second, 1, 2);
    await_on_broker(world->topic, 2);
    snprintf(progress_topic, sizeof(progress_topic), "%s.progress", world->prefix);
    await_on_broker(progress_topic, 2);
    assert_int_equal(count_records("read_committed", world->topic), 1);
    /* The predecessor's open transaction does not hide the last committed marker. */
    assert_int_equal(read_progress(world->kafka, 1).marker.position.seq, 1);
    close_producer(producer);
    /* The successor's init aborts it, and what was aborted stays invisible. */
    producer = open_producer(world);
    assert_int_equal(read_progress(world->kafka, 1).marker.position.seq, 1);
    publish_and_commit(producer, &record, 1, 3);
    close_producer(producer);
    settle(world);
    assert_int_equal(read_progress(world->kafka, 1).marker.position.seq, 3);
    assert_int_equal(count_records("read_committed", world->topic), 2);
}

static void zombie_is_fenced_in_the_open_transaction(void **state)
{
    struct world *world = *state;
    const struct sink_record stale = make_record(world, "k", "zombie");
    const struct sink_record fresh = make_record(world, "k", "successor");
    struct producer *zombie = open_producer(world), *successor;
    outbox_error *error = NULL;
    json_t *found;

    publish(zombie, &stale, 1, 1);
    await_on_broker(world->topic, 1);
    successor = open_producer(world);
    expect(commit(zombie, &error), SINK_FENCED, &error);
    assert_false(producer_clean(zombie));
    publish_and_commit(successor, &fresh, 1, 2);
    close_producer(zombie);
    close_producer(successor);
    settle(world);
    found = dump("read_committed", world->topic);
    assert_int_equal(json_array_size(found), 1);
    assert_string_equal(text_of(json_array_get(found, 0), "payload"), "successor");
    json_decref(found);
    assert_int_equal(read_progress(world->kafka, 1).marker.position.seq, 2);
}

static void zombie_is_fenced_at_its_next_transaction(void **state)
{
    struct world *world = *state;
    const struct sink_record record = make_record(world, "k", "v");
    struct producer *zombie = open_producer(world), *successor;
    outbox_error *error = NULL;
    enum sink_result result;

    publish_and_commit(zombie, &record, 1, 1);
    successor = open_producer(world);
    result = try_publish(zombie, &record, 1, 2, &error);
    if (result == SINK_OK)
        result = commit(zombie, &error);
    expect(result, SINK_FENCED, &error);
    /* And nothing more can be done with it. */
    error = NULL;
    expect(try_publish(zombie, &record, 1, 3, &error), SINK_FAILED, &error);
    close_producer(zombie);
    close_producer(successor);
    assert_int_equal(count_records("read_committed", world->topic), 1);
    assert_int_equal(read_progress(world->kafka, 1).marker.position.seq, 1);
}

static void stalled_transaction_is_lost_as_a_whole(void **state)
{
    struct world *world = *state;
    struct kafka *kafka;
    const struct kafka_property property = {"bootstrap.servers", bootstrap};
    const struct kafka_settings settings = {.properties = &property,
                                            .property_count = 1,
                                            .prefix = world->prefix,
                                            .create_topics = true,
                                            .topic_partitions = 4,
                                            .topic_replication = 1,
                                            .transaction_timeout = SECONDS(1)};
    const struct sink_record record = make_record(world, "k", "late");
    struct producer *producer;
    outbox_error *error = NULL;
    enum sink_result result;
    mono_us end = clock_now() + SECONDS(30);

    kafka = kafka_new(&settings, &error);
    assert_non_null(kafka);
    producer = open_producer_with(kafka, world->id);
    publish(producer, &record, 1, 1);
    await_on_broker(world->topic, 1);
    /* The broker has aborted it once the last stable offset goes past the record: then
     * something committed behind it can be seen. */
    for (bool passed = false; !passed;) {
        struct progress_answer answer;
        const struct marker marker = make_marker(2, 1);
        char other[96];
        struct producer *prober;

        snprintf(other, sizeof(other), "%s.probe", world->id);
        prober = open_producer_with(world->kafka, other);
        expect(producer_publish(prober, NULL, 0, &marker, soon(), &error), SINK_OK, NULL);
        expect(commit(prober, &error), SINK_OK, NULL);
        close_producer(prober);
        answer = read_progress(world->kafka, 2);
        passed = answer.found;
        assert_true(clock_now() < end);
    }
    result = commit(producer, &error);
    assert_true(result == SINK_FENCED || result == SINK_FAILED);
    outbox_error_free(error);
    close_producer(producer);
    kafka_free(kafka);
    assert_int_equal(count_records("read_committed", world->topic), 0);
    assert_false(read_progress(world->kafka, 1).found);
}

/* ---- the progress topic ---- */

static void progress_of_a_new_lane_is_none(void **state)
{
    struct world *world = *state;
    struct progress_answer answer = read_progress(world->kafka, 1);

    assert_false(answer.found);
    assert_false(answer.foreign);
}

static void progress_sees_a_foreign_incarnation(void **state)
{
    struct world *world = *state;
    struct producer *producer = open_producer(world);
    struct progress_answer answer;

    publish_and_commit(producer, NULL, 0, 5); /* of incarnation 1 */
    close_producer(producer);
    settle(world);
    answer = read_progress(world->kafka, 2);
    assert_false(answer.found);
    assert_true(answer.foreign);
    assert_int_equal(answer.foreign_incarnation[0], 1);
    answer = read_progress(world->kafka, 1);
    assert_true(answer.found);
    assert_false(answer.foreign);
}

/* Markers of another key, and control records, push ours out of the first step back. */
static void progress_walks_back(void **state)
{
    struct world *world = *state;
    struct producer *producer = open_producer(world);
    outbox_error *error = NULL;

    publish_and_commit(producer, NULL, 0, 5);
    for (int i = 0; i < 80; i++) {
        const struct marker other = make_marker(2, i);

        expect(producer_publish(producer, NULL, 0, &other, soon(), &error), SINK_OK, NULL);
        expect(commit(producer, &error), SINK_OK, NULL);
    }
    close_producer(producer);
    settle(world);
    assert_int_equal(read_progress(world->kafka, 1).marker.position.seq, 5);
    assert_int_equal(read_progress(world->kafka, 2).marker.position.seq, 79);
}

static void progress_deadline_is_not_none(void **state)
{
    struct world *world = *state;
    struct progress_answer answer = {.found = true};
    outbox_error *error = NULL;
    struct progress *progress = progress_open(world->kafka, &error);
    const uint8_t incarnation[16] = {1};

    expect(progress_read(progress, incarnation, 1, 0, clock_now(), &answer, &error), SINK_TIMEOUT, &error);
    assert_true(answer.found); /* untouched */
    progress_close(progress);
}

static void progress_without_its_topic_is_not_none(void **state)
{
    struct world other = {.prefix = ""};
    struct progress_answer answer;
    const uint8_t incarnation[16] = {1};
    outbox_error *error = NULL;
    struct progress *progress;

    (void)state;
    snprintf(other.prefix, sizeof(other.prefix), "sinktest-%016" PRIx64, random_u64());
    other.kafka = make_kafka(&other, false, NULL, NULL);
    progress = progress_open(other.kafka, &error);
    expect(progress_read(progress, incarnation, 1, 0, soon(), &answer, &error), SINK_TOPIC_MISSING, &error);
    error = NULL;
    expect(progress_ensure(progress, 1, soon(), &error), SINK_TOPIC_MISSING, &error);
    progress_close(progress);
    kafka_free(other.kafka);
}

static void make_topic(const struct world *world, const char *name, int partitions, const char *property,
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

static void check_refused_progress(const struct world *world, const char *suffix, const char *policy,
                                   int lanes, const char *remedy)
{
    struct world other = {.prefix = ""};
    char name[128];
    outbox_error *error = NULL;
    struct progress *progress;

    snprintf(other.prefix, sizeof(other.prefix), "%.40s-%s", world->prefix, suffix);
    snprintf(name, sizeof(name), "%s.progress", other.prefix);
    make_topic(world, name, 2, "cleanup.policy", policy);
    other.kafka = make_kafka(&other, true, NULL, NULL);
    progress = progress_open(other.kafka, &error);
    assert_int_equal(progress_ensure(progress, lanes, soon(), &error), SINK_REFUSED);
    assert_non_null(strstr(outbox_error_message(error), remedy));
    outbox_error_free(error);
    progress_close(progress);
    kafka_free(other.kafka);
}

static void progress_topic_must_be_fit(void **state)
{
    check_refused_progress(*state, "delete", "delete", 1, "set it to compact");
    check_refused_progress(*state, "both", "compact,delete", 1, "set it to compact");
    check_refused_progress(*state, "narrow", "compact", 3, "add partitions");
}

/* ---- records ---- */

/* Source: Kafka's UtilsTest.java; partition = positive murmur2 modulo count. */
static void keys_go_where_java_puts_them(void **state)
{
    static const struct {
        const char *key;
        int32_t hash;
    } vectors[] = {{"21", -973932308},
                   {"foobar", -790332482},
                   {"a-little-bit-long-string", -985981536},
                   {"a-little-bit-longer-string", -1486304829},
                   {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                   {"abc", 479470107}};
    struct world *world = *state;
    struct sink_record records[6];
    struct producer *producer;
    json_t *found, *record;
    size_t i;

    make_topic(world, world->topic, 7, NULL, NULL);
    producer = open_producer(world);
    for (i = 0; i < 6; i++)
        records[i] = make_record(world, vectors[i].key, "v");
    publish_and_commit(producer, records, 6, 1);
    close_producer(producer);
    found = await_committed(world->topic, 6);
    json_array_foreach(found, i, record)
    {
        const char *key = text_of(record, "key");
        size_t v = 0;

        while (strcmp(vectors[v].key, key) != 0)
            assert_true(++v < 6);
        assert_int_equal(json_integer_value(json_object_get(record, "partition")),
                         (vectors[v].hash & 0x7fffffff) % 7);
    }
    json_decref(found);
}

static json_t *only_record(const char *topic)
{
    json_t *found = await_committed(topic, 1), *record;

    record = json_incref(json_array_get(found, 0));
    json_decref(found);
    return record;
}

static void null_and_empty_round_trip(void **state)
{
    struct world *world = *state;
    const struct sink_header headers[] = {
        {"outbox-id", "abc", 3}, {"empty", "", 0}, {"null", NULL, 0}, {"binary", "\xff\x00\x01", 3}};
    struct sink_record tombstone = make_record(world, "k", NULL), keyless = make_record(world, NULL, "");
    struct producer *producer;
    json_t *record, *found;
    char *text;

    make_topic(world, world->topic, 2, NULL, NULL);
    producer = open_producer(world);
    tombstone.headers = headers;
    tombstone.header_count = 4;
    tombstone.partition = 1;
    tombstone.timestamp_ms = 1700000000123;
    publish_and_commit(producer, &tombstone, 1, 1);
    record = only_record(world->topic);
    assert_true(json_is_null(json_object_get(record, "payload")));
    assert_int_equal(json_integer_value(json_object_get(record, "partition")), 1);
    assert_int_equal(json_integer_value(json_object_get(record, "timestamp")), 1700000000123);
    text = json_dumps(json_object_get(record, "headers"), JSON_COMPACT);
    assert_string_equal(text, "[[\"outbox-id\",\"abc\"],[\"empty\",\"\"],[\"null\",null],"
                              "[\"binary\",{\"hex\":\"ff0001\"}]]");
    free(text);
    json_decref(record);

    keyless.partition = 0;
    publish_and_commit(producer, &keyless, 1, 2);
    close_producer(producer);
    found = await_committed(world->topic, 2);
    record = json_array_get(found, 0);
    if (json_integer_value(json_object_get(record, "partition")) != 0)
        record = json_array_get(found, 1);
    assert_true(json_is_null(json_object_get(record, "key")));
    assert_string_equal(text_of(record, "payload"), "");
    json_decref(found);
}

static void missing_topic_without_leave_to_create(void **state)
{
    struct world *world = *state;
    struct kafka *kafka = make_kafka(world, false, NULL, NULL);
    const struct sink_record records[] = {make_record(world, "k", "v"), {.topic = "", .partition = -1}};
    struct producer *producer = open_producer_with(kafka, world->id);
    outbox_error *error = NULL;

    assert_int_equal(try_publish(producer, records, 1, 1, &error), SINK_TOPIC_MISSING);
    assert_non_null(strstr(outbox_error_message(error), world->topic));
    assert_non_null(strstr(outbox_error_message(error), "create_topics=yes"));
    outbox_error_free(error);
    assert_int_equal(producer_refused(producer), 0);
    assert_true(producer_clean(producer));
    /* Once it is there the same producer goes on. */
    make_topic(world, world->topic, 1, NULL, NULL);
    publish_and_commit(producer, records, 1, 1);
    close_producer(producer);
    kafka_free(kafka);
    settle(world);
    assert_int_equal(count_records("read_committed", world->topic), 1);
}

static void names_that_kafka_forbids_are_refused(void **state)
{
    struct world *world = *state;
    const struct sink_record records[] = {make_record(world, "k", "v"),
                                          {.topic = "no spaces, please", .partition = -1}};
    struct producer *producer = open_producer(world);
    outbox_error *error = NULL;

    expect(try_publish(producer, records, 2, 1, &error), SINK_REFUSED, &error);
    assert_int_equal(producer_refused(producer), 1);
    assert_true(producer_clean(producer));
    publish_and_commit(producer, records, 1, 1);
    close_producer(producer);
}

static void partition_beyond_the_count_is_refused(void **state)
{
    struct world *world = *state;
    struct sink_record records[] = {make_record(world, "k", "v"), make_record(world, "k", "w")};
    struct producer *producer = open_producer(world);
    outbox_error *error = NULL;

    records[1].partition = 4; /* of 4 */
    assert_int_equal(try_publish(producer, records, 2, 1, &error), SINK_REFUSED);
    assert_non_null(strstr(outbox_error_message(error), "partition 4 of topic"));
    outbox_error_free(error);
    assert_int_equal(producer_refused(producer), 1);
    assert_true(producer_clean(producer));
    records[1].partition = 3;
    publish_and_commit(producer, records, 2, 1);
    close_producer(producer);
    settle(world);
    assert_int_equal(count_records("read_committed", world->topic), 2);
}

static void oversized_record_is_refused_before_it_is_begun(void **state)
{
    struct world *world = *state;
    struct kafka *kafka = make_kafka(world, true, "message.max.bytes", "2000");
    char payload[2000];
    struct sink_record record = make_record(world, "k", "");
    struct producer *producer = open_producer_with(kafka, world->id);
    outbox_error *error = NULL;

    memset(payload, 'x', sizeof(payload));
    record.payload = payload;
    record.payload_size = sizeof(payload);
    assert_int_equal(try_publish(producer, &record, 1, 1, &error), SINK_REFUSED);
    assert_non_null(strstr(outbox_error_message(error), "kafka.message.max.bytes = 2000"));
    outbox_error_free(error);
    assert_true(producer_clean(producer));
    record.payload_size = 1800;
    publish_and_commit(producer, &record, 1, 1);
    close_producer(producer);
    kafka_free(kafka);
}

static void record_that_the_broker_refuses_ends_the_transaction(void **state)
{
    struct world *world = *state;
    char payload[3000];
    struct sink_record records[] = {make_record(world, "k", "small"), make_record(world, "k", "")};
    struct producer *producer;
    outbox_error *error = NULL;
    enum sink_result result;

    memset(payload, 'x', sizeof(payload));
    records[1].payload = payload;
    records[1].payload_size = sizeof(payload);
    make_topic(world, world->topic, 1, "max.message.bytes", "1000");
    producer = open_producer(world);
    result = try_publish(producer, records, 2, 1, &error);
    if (result == SINK_OK)
        result = commit(producer, &error);
    expect(result, SINK_REFUSED, &error);
    assert_false(producer_clean(producer));
    close_producer(producer);
    producer = open_producer(world);
    assert_false(read_progress(world->kafka, 1).found);
    publish_and_commit(producer, records, 1, 1);
    close_producer(producer);
    settle(world);
    assert_int_equal(count_records("read_committed", world->topic), 1);
}

static void more_records_than_the_queue_holds(void **state)
{
    enum { COUNT = 20000 };
    struct world *world = *state;
    struct kafka *kafka = make_kafka(world, true, "queue.buffering.max.messages", "500");
    struct sink_record *records = calloc(COUNT, sizeof(*records));
    struct producer *producer;

    assert_non_null(records);
    for (int i = 0; i < COUNT; i++)
        records[i] = make_record(world, "key", "some payload");
    producer = open_producer_with(kafka, world->id);
    publish_and_commit(producer, records, COUNT, 1);
    close_producer(producer);
    kafka_free(kafka);
    free(records);
    settle(world);
    assert_int_equal(count_records("read_committed", world->topic), COUNT);
}

/* ---- no broker ---- */

static void closing_without_a_broker_is_prompt(void **state)
{
    struct world *world = *state;
    const struct kafka_property property = {"bootstrap.servers", "127.0.0.1:1"};
    const struct kafka_settings settings = {.properties = &property,
                                            .property_count = 1,
                                            .prefix = world->prefix,
                                            .topic_partitions = -1,
                                            .topic_replication = -1,
                                            .transaction_timeout = SECONDS(10)};
    outbox_error *error = NULL;
    struct kafka *kafka = kafka_new(&settings, &error);
    struct producer *producer = producer_new(kafka, "x", &error);
    mono_us begin;

    assert_non_null(producer);
    assert_int_equal(producer_init(producer, clock_now() + MILLISECONDS(300), &error), SINK_AGAIN);
    assert_non_null(strstr(outbox_error_message(error), "127.0.0.1:1"));
    outbox_error_free(error);
    begin = clock_now();
    assert_true(producer_close(producer, begin + SECONDS(10)));
    print_message("closing took %" PRId64 " ms\n", (clock_now() - begin) / 1000);
    kafka_free(kafka);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(committed_is_visible_with_its_marker),
        TEST(several_transactions_of_one_producer),
        TEST(uncommitted_is_invisible_and_so_is_its_marker),
        TEST(zombie_is_fenced_in_the_open_transaction),
        TEST(zombie_is_fenced_at_its_next_transaction),
        TEST(stalled_transaction_is_lost_as_a_whole),
        TEST(progress_of_a_new_lane_is_none),
        TEST(progress_sees_a_foreign_incarnation),
        TEST(progress_walks_back),
        TEST(progress_deadline_is_not_none),
        TEST(progress_without_its_topic_is_not_none),
        TEST(progress_topic_must_be_fit),
        TEST(keys_go_where_java_puts_them),
        TEST(null_and_empty_round_trip),
        TEST(missing_topic_without_leave_to_create),
        TEST(names_that_kafka_forbids_are_refused),
        TEST(partition_beyond_the_count_is_refused),
        TEST(oversized_record_is_refused_before_it_is_begun),
        TEST(record_that_the_broker_refuses_ends_the_transaction),
        TEST(more_records_than_the_queue_holds),
        TEST(closing_without_a_broker_is_prompt),
    };

    bootstrap = getenv("OUTBOX_TEST_KAFKA");
    build_dir = getenv("OUTBOX_BUILD");
    if (!bootstrap || !build_dir) {
        fputs("OUTBOX_TEST_KAFKA and OUTBOX_BUILD are not set: run tests/integration/sink_real_broker\n",
              stderr);
        return 1;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("sink_real_broker", tests, NULL, NULL);
}

/* The Kafka side against a real broker: what only a broker can prove.  Every test has
 * topics and ids of its own.  Run by sink_real_broker. */
#include "sink_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Something committed behind a record is seen once the record's own transaction has ended. */
static void await_end_of_transaction(const struct world *world)
{
    const struct marker marker = make_marker(2, 1);
    mono_us end = clock_now() + SECONDS(60);
    struct producer *prober;
    char id[96];

    snprintf(id, sizeof(id), "%s.probe", world->id);
    prober = open_producer_with(world->kafka, id);
    expect(producer_publish(prober, NULL, 0, &marker, soon(), NULL), SINK_OK, NULL);
    expect(commit(prober, NULL), SINK_OK, NULL);
    close_producer(prober);
    while (!read_progress(world->kafka, 2).found)
        assert_true(clock_now() < end);
}

static void stalled_transaction_is_lost_as_a_whole(void **state)
{
    struct world *world = *state;
    const struct kafka_property property = {"bootstrap.servers", world_bootstrap()};
    const struct kafka_settings settings = {.properties = &property,
                                            .property_count = 1,
                                            .prefix = world->prefix,
                                            .create_topics = true,
                                            .topic_partitions = 4,
                                            .topic_replication = 1,
                                            .transaction_timeout = SECONDS(3)};
    const struct sink_record record = make_record(world, "k", "late");
    struct kafka *kafka = kafka_new(&settings, NULL);
    struct producer *producer;
    enum sink_result result;

    assert_non_null(kafka);
    producer = open_producer_with(kafka, world->id);
    publish(producer, &record, 1, 1);
    await_on_broker(world->topic, 1);
    await_end_of_transaction(world);
    result = commit(producer, NULL);
    assert_true(result == SINK_FENCED || result == SINK_FAILED);
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

/* A lane of a former map that left a transaction open: what its successor in the partition commits
 * comes to light only after that. */
static void progress_tells_that_something_is_hidden(void **state)
{
    struct world *world = *state;
    const struct sink_record record = make_record(world, "k", "v");
    const struct marker later = make_marker(2, 7);
    struct producer *former = open_producer(world), *producer;
    struct progress_answer answer;
    char id[96];

    publish_and_commit(former, NULL, 0, 5);
    publish(former, &record, 1, 6);
    snprintf(id, sizeof(id), "%s.other", world->id);
    producer = open_producer_with(world->kafka, id);
    expect(producer_publish(producer, NULL, 0, &later, soon(), NULL), SINK_OK, NULL);
    expect(commit(producer, NULL), SINK_OK, NULL);
    answer = read_progress(world->kafka, 2);
    assert_false(answer.found);
    assert_true(answer.hidden);
    answer = read_progress(world->kafka, 1);
    assert_int_equal(answer.marker.position.seq, 5);
    assert_true(answer.hidden);
    close_producer(former);
    close_producer(open_producer(world)); /* its successor ends what it left open */
    settle(world);
    answer = read_progress(world->kafka, 2);
    assert_int_equal(answer.marker.position.seq, 7);
    assert_false(answer.hidden);
    close_producer(producer);
}

/* Nothing was ever committed there. */
static void progress_tells_of_a_first_open_transaction(void **state)
{
    struct world *world = *state;
    const struct sink_record record = make_record(world, "k", "v");
    struct producer *producer = open_producer(world);
    char topic[128];

    assert_false(read_progress(world->kafka, 1).hidden);
    publish(producer, &record, 1, 1);
    snprintf(topic, sizeof(topic), "%s.progress", world->prefix);
    await_on_broker(topic, 1);
    assert_false(read_progress(world->kafka, 1).found);
    assert_true(read_progress(world->kafka, 1).hidden);
    close_producer(producer);
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
        TEST(progress_tells_that_something_is_hidden),
        TEST(progress_tells_of_a_first_open_transaction),
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

    if (!world_find_servers())
        return 1;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("sink_real_broker", tests, NULL, NULL);
}

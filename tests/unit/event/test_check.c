/* Every rule, on both sides of its boundary, and what its message tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <outbox/event.h>

static outbox_event *ev;

static int set_up(void **state)
{
    (void)state;
    ev = outbox_event_new();
    outbox_event_set_type(ev, "order_placed");
    return ev ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    outbox_event_free(ev);
    return 0;
}

static void assert_allowed(void)
{
    outbox_error *err = NULL;
    int r = outbox_event_check(ev, &err);

    if (r != OUTBOX_OK)
        fail_msg("refused: %s", outbox_error_message(err));
    assert_null(err);
}

/* The message begins with the field and has both parts: what is wrong and what to do. */
static void assert_refused(int code, const char *field, const char *part)
{
    outbox_error *err = NULL;
    int r = outbox_event_check(ev, &err);
    const char *message;

    if (r == OUTBOX_OK)
        fail_msg("%s is allowed, though it should be: %s", field, part);
    assert_int_equal(r, code);
    assert_non_null(err);
    assert_int_equal(outbox_error_code(err), code);
    assert_string_equal(outbox_error_field(err), field);
    assert_string_equal(outbox_error_sqlstate(err), "");
    message = outbox_error_message(err);
    assert_int_equal(strncmp(message, field, strlen(field)), 0);
    assert_int_equal(message[strlen(field)], ':');
    assert_non_null(strstr(message, "; "));
    if (!strstr(message, part))
        fail_msg("\"%s\" does not tell: %s", message, part);
    outbox_error_free(err);
    assert_int_equal(outbox_event_check(ev, NULL), code);
}

typedef int setter(outbox_event *, const char *);

/* A text of count times the unit. */
static void set_repeated(setter *set, const char *unit, size_t count)
{
    size_t size = strlen(unit);
    char *text = calloc(count + 1, size + 1);

    assert_non_null(text);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * size, unit, size);
    text[size * count] = '\0';
    set(ev, text);
    free(text);
}

static const struct {
    setter *set;
    const char *name;
    size_t limit;
    const char *unit; /* "characters" or "bytes" */
    bool may_be_empty;
    bool may_have_control;
} texts[] = {
    {outbox_event_set_type, "type", 255, "characters", false, false},
    {outbox_event_set_key, "key", 4096, "bytes", true, true},
    {outbox_event_set_content_type, "content_type", 255, "characters", false, false},
    {outbox_event_set_tenant, "tenant", 255, "characters", false, false},
    {outbox_event_set_tracestate, "tracestate", 512, "characters", true, false},
    {outbox_event_set_schema_ref, "schema_ref", 255, "characters", false, false},
};

static void for_each_text(void (*test)(size_t))
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        outbox_event_reset(ev);
        outbox_event_set_type(ev, "order_placed");
        test(i);
    }
}

static void try_length(size_t i)
{
    char limit[40];

    snprintf(limit, sizeof(limit), "longer than %zu %s", texts[i].limit, texts[i].unit);
    set_repeated(texts[i].set, "a", texts[i].limit);
    assert_allowed();
    set_repeated(texts[i].set, "a", texts[i].limit + 1);
    assert_refused(OUTBOX_ELIMIT, texts[i].name, limit);
    set_repeated(texts[i].set, "\xf0\x9f\x98\x80", texts[i].limit / (texts[i].unit[0] == 'b' ? 4 : 1));
    assert_allowed();
    set_repeated(texts[i].set, "\xf0\x9f\x98\x80", texts[i].limit / (texts[i].unit[0] == 'b' ? 4 : 1) + 1);
    assert_refused(OUTBOX_ELIMIT, texts[i].name, limit);
    /* Too large even to be copied; a value set later heals it. */
    set_repeated(texts[i].set, "abcd", 100000);
    assert_refused(OUTBOX_ELIMIT, texts[i].name, limit);
    texts[i].set(ev, "x");
    assert_allowed();
}

static void test_lengths(void **state)
{
    (void)state;
    for_each_text(try_length);
}

static void try_content(size_t i)
{
    texts[i].set(ev, "");
    if (texts[i].may_be_empty)
        assert_allowed();
    else
        assert_refused(OUTBOX_EINVAL, texts[i].name, "is empty");
    for (int c = 1; c < 0x21; c++) {
        char text[] = {'a', (char)(c == 0x20 ? 0x7f : c), 'b', '\0'};

        texts[i].set(ev, text);
        if (texts[i].may_have_control)
            assert_allowed();
        else
            assert_refused(OUTBOX_EINVAL, texts[i].name, "control character");
    }
    texts[i].set(ev, "a\xff");
    assert_refused(OUTBOX_EINVAL, texts[i].name, "UTF-8");
    texts[i].set(ev, "\xed\xa0\x80");
    assert_refused(OUTBOX_EINVAL, texts[i].name, "UTF-8");
    texts[i].set(ev, " \xc3\xa4~");
    assert_allowed();
}

static void test_contents(void **state)
{
    (void)state;
    for_each_text(try_content);
}

static void test_type_is_needed(void **state)
{
    (void)state;
    outbox_event_set_type(ev, NULL);
    assert_refused(OUTBOX_EINVAL, "type", "is not set");
}

static void test_null_event(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    assert_int_equal(outbox_event_check(NULL, &err), OUTBOX_EINVAL);
    assert_string_equal(outbox_error_message(err), "event: is NULL; make one with outbox_event_new()");
    outbox_error_free(err);
}

static void test_topic(void **state)
{
    static const char *const bad[] = {".", "..", "a b", "a/b", "a:b", "a\xc3\xa4", "a,b", "a*"};

    (void)state;
    outbox_event_set_topic(ev, "AZaz09._-");
    assert_allowed();
    outbox_event_set_topic(ev, "...");
    assert_allowed();
    set_repeated(outbox_event_set_topic, "a", 249);
    assert_allowed();
    set_repeated(outbox_event_set_topic, "a", 250);
    assert_refused(OUTBOX_ELIMIT, "topic", "longer than 249 characters");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        outbox_event_set_topic(ev, bad[i]);
        assert_refused(OUTBOX_EINVAL, "topic", "is not a Kafka topic name");
    }
    outbox_event_set_topic(ev, "");
    assert_refused(OUTBOX_EINVAL, "topic", "is empty");
    outbox_event_set_topic(ev, "a\n");
    assert_refused(OUTBOX_EINVAL, "topic", "control character");
    outbox_event_set_topic(ev, "a\xff");
    assert_refused(OUTBOX_EINVAL, "topic", "UTF-8");
}

static void test_traceparent(void **state)
{
    static const char *const bad[] = {
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-101",
        "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x",
    };

    (void)state;
    outbox_event_set_traceparent(ev, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_allowed();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        outbox_event_set_traceparent(ev, bad[i]);
        assert_refused(OUTBOX_EINVAL, "traceparent", "is not a W3C trace context");
    }
    outbox_event_set_traceparent(ev, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011");
    assert_refused(OUTBOX_ELIMIT, "traceparent", "longer than 55 characters");
}

static void test_id(void **state)
{
    (void)state;
    outbox_event_set_id(ev, "123e4567-e89b-12d3-a456-426614174000");
    assert_allowed();
    outbox_event_set_id(ev, "123e4567e89b12d3a456426614174000");
    assert_refused(OUTBOX_EINVAL, "id", "is not a UUID");
    outbox_event_set_id(ev, "");
    assert_refused(OUTBOX_EINVAL, "id", "is not a UUID");
    set_repeated(outbox_event_set_id, "1", 100000);
    assert_refused(OUTBOX_EINVAL, "id", "is not a UUID");
}

static void test_partition(void **state)
{
    (void)state;
    outbox_event_set_partition(ev, 0);
    assert_allowed();
    outbox_event_set_partition(ev, INT32_MAX);
    assert_allowed();
    outbox_event_set_partition(ev, -1);
    assert_refused(OUTBOX_EINVAL, "partition", "-1 is negative");
    outbox_event_set_partition(ev, INT32_MIN);
    assert_refused(OUTBOX_EINVAL, "partition", "is negative");
}

static void test_occurred_at(void **state)
{
    (void)state;
    outbox_event_set_occurred_at(ev, OUTBOX_OCCURRED_AT_MIN);
    assert_allowed();
    outbox_event_set_occurred_at(ev, OUTBOX_OCCURRED_AT_MAX);
    assert_allowed();
    outbox_event_set_occurred_at(ev, 0);
    assert_allowed();
    outbox_event_set_occurred_at(ev, OUTBOX_OCCURRED_AT_MIN - 1);
    assert_refused(OUTBOX_ELIMIT, "occurred_at", "years 1 to 9999");
    outbox_event_set_occurred_at(ev, OUTBOX_OCCURRED_AT_MAX + 1);
    assert_refused(OUTBOX_ELIMIT, "occurred_at", "microseconds");
}

static void test_header_names(void **state)
{
    static const char *const bad[] = {"", "a b", "a:b", "a\nb", "\xc3\xa4", "a\xff", "a\"b"};
    static const char *const taken[] = {"outbox-id",     "Outbox-X",   "webhook-id",        "WEBHOOK-",
                                        "host",          "Host",       "content-length",    "Content-Type",
                                        "authorization", "connection", "transfer-encoding", "traceparent",
                                        "TRACESTATE"};
    char name[200];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        outbox_event_set_header(ev, bad[i], "x");
        assert_refused(OUTBOX_EINVAL, "headers", "a name is not allowed");
        outbox_event_set_header(ev, bad[i], NULL);
    }
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        outbox_event_set_header(ev, taken[i], "x");
        assert_refused(OUTBOX_EINVAL, "headers", "is reserved");
        outbox_event_set_header(ev, taken[i], NULL);
    }
    outbox_event_set_header(ev, "outbox", "x");
    outbox_event_set_header(ev, "hosts", "x");
    outbox_event_set_header(ev, "x-outbox-id", "x");
    assert_allowed();
    memset(name, 'n', sizeof(name));
    name[128] = '\0';
    outbox_event_set_header(ev, name, "x");
    assert_allowed();
    name[128] = 'n';
    name[129] = '\0';
    outbox_event_set_header(ev, name, "x");
    assert_refused(OUTBOX_EINVAL, "headers", "1 to 128");
}

static int set_header_value(outbox_event *event, const char *value)
{
    return outbox_event_set_header(event, "trace", value);
}

static void test_header_values(void **state)
{
    (void)state;
    set_header_value(ev, "");
    assert_allowed();
    set_repeated(set_header_value, "\xf0\x9f\x98\x80", 4096);
    assert_allowed();
    set_repeated(set_header_value, "a", 4097);
    assert_refused(OUTBOX_ELIMIT, "headers", "longer than 4096 characters");
    set_header_value(ev, "a\r\nb: c");
    assert_refused(OUTBOX_EINVAL, "headers", "the value of \"trace\" has a control character");
    set_header_value(ev, "a\x7f");
    assert_refused(OUTBOX_EINVAL, "headers", "control character");
    set_header_value(ev, "\xc3");
    assert_refused(OUTBOX_EINVAL, "headers", "UTF-8");
    set_header_value(ev, "good");
    assert_allowed();
    set_repeated(set_header_value, "a", 20000);
    assert_refused(OUTBOX_ELIMIT, "headers", "too large");
}

static void test_header_count(void **state)
{
    char name[16];

    (void)state;
    for (int i = 0; i < OUTBOX_HEADER_COUNT_LIMIT; i++) {
        snprintf(name, sizeof(name), "h%d", i);
        assert_int_equal(outbox_event_set_header(ev, name, "x"), OUTBOX_OK);
    }
    assert_allowed();
    assert_int_equal(outbox_event_set_header(ev, "h0", "replaced"), OUTBOX_OK);
    assert_allowed();
    assert_int_equal(outbox_event_set_header(ev, "one-more", "x"), OUTBOX_ELIMIT);
    assert_refused(OUTBOX_ELIMIT, "headers", "more than 100");
}

static void test_payload_limit(void **state)
{
    static char block[OUTBOX_PAYLOAD_LIMIT_DEFAULT + 1];

    (void)state;
    outbox_event_set_payload(ev, block, OUTBOX_PAYLOAD_LIMIT_DEFAULT);
    assert_allowed();
    outbox_event_set_payload(ev, block, OUTBOX_PAYLOAD_LIMIT_DEFAULT + 1);
    assert_refused(OUTBOX_ELIMIT, "payload", "has 1048577 bytes, the limit is 1048576");
    outbox_event_borrow_payload(ev, block, OUTBOX_PAYLOAD_LIMIT_DEFAULT + 1);
    assert_refused(OUTBOX_ELIMIT, "payload", "has 1048577 bytes, the limit is 1048576");
    assert_int_equal(outbox_event_set_payload_limit(ev, OUTBOX_PAYLOAD_LIMIT_DEFAULT + 1), OUTBOX_OK);
    assert_allowed();
    assert_int_equal(outbox_event_set_payload_limit(ev, 10), OUTBOX_OK);
    outbox_event_set_payload(ev, block, 11);
    assert_refused(OUTBOX_ELIMIT, "payload", "has 11 bytes, the limit is 10");
    outbox_event_set_payload_json(ev, "\"123456789\"");
    assert_refused(OUTBOX_ELIMIT, "payload", "has 11 bytes, the limit is 10");
    outbox_event_set_payload_json(ev, "\"12345678\"");
    assert_allowed();
}

static void test_payload_limit_has_limits(void **state)
{
    (void)state;
    assert_int_equal(outbox_event_set_payload_limit(ev, 0), OUTBOX_EINVAL);
    assert_int_equal(outbox_event_set_payload_limit(ev, OUTBOX_PAYLOAD_LIMIT_MAX + 1), OUTBOX_EINVAL);
    assert_int_equal(outbox_event_set_payload_limit(NULL, 1), OUTBOX_EINVAL);
    assert_int_equal(outbox_event_set_payload_limit(ev, OUTBOX_PAYLOAD_LIMIT_MAX), OUTBOX_OK);
    /* Too large to be stored or lent at all: nothing is read. */
    assert_int_equal(outbox_event_set_payload(ev, "x", OUTBOX_PAYLOAD_LIMIT_MAX + 1), OUTBOX_ELIMIT);
    assert_refused(OUTBOX_ELIMIT, "payload", "the limit is 268435456");
    assert_int_equal(outbox_event_borrow_payload(ev, "x", SIZE_MAX), OUTBOX_ELIMIT);
    assert_refused(OUTBOX_ELIMIT, "payload", "the limit is 268435456");
}

static void test_json(void **state)
{
    static const char *const good[] = {"{}",
                                       "[]",
                                       " null ",
                                       "\"text\"",
                                       "-0.5e-3",
                                       "123456789012345678901234567890",
                                       "{\"a\":{\"b\":[1,2,{}]}}",
                                       "\"\\u0000 \\ud83d\\ude00 \xe2\x82\xac\"",
                                       "{\"a\":1,\"a\":2}"};
    static const char *const bad[] = {"",    " ",   "{",     "{'a':1}",        "[1,]",        "{\"a\"}",
                                      "nul", "01",  "1 2",   "\"\n\"",         "\"\\x\"",     "\"\xff\"",
                                      "+1",  "NaN", "[1] x", "\xef\xbb\xbf{}", "\"\\ud800\"", "{\"a\":1}}"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        outbox_event_set_payload_json(ev, good[i]);
        assert_allowed();
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        outbox_event_set_payload_json(ev, bad[i]);
        assert_refused(OUTBOX_EINVAL, "payload", "is not JSON at line ");
    }
    outbox_event_set_payload_json(ev, "1e400");
    assert_refused(OUTBOX_EINVAL, "payload", "range of a double");
    set_repeated(outbox_event_set_payload_json, "[", 5000);
    assert_refused(OUTBOX_EINVAL, "payload", "nested too deeply");
    /* What is not said to be JSON may be anything. */
    outbox_event_set_payload(ev, "{", 1);
    outbox_event_set_content_type(ev, "application/json");
    assert_allowed();
}

/* Logs get the message: it must not carry what the caller stores. */
static void test_messages_quote_no_content(void **state)
{
    outbox_error *err = NULL;

    (void)state;
    outbox_event_set_payload_json(ev, "{\"card\": s3cret}");
    assert_int_equal(outbox_event_check(ev, &err), OUTBOX_EINVAL);
    assert_null(strstr(outbox_error_message(err), "s3cret"));
    assert_non_null(strstr(outbox_error_message(err), "line 1, column "));
    outbox_error_free(err);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_lengths),
        TEST(test_contents),
        TEST(test_type_is_needed),
        TEST(test_null_event),
        TEST(test_topic),
        TEST(test_traceparent),
        TEST(test_id),
        TEST(test_partition),
        TEST(test_occurred_at),
        TEST(test_header_names),
        TEST(test_header_values),
        TEST(test_header_count),
        TEST(test_payload_limit),
        TEST(test_payload_limit_has_limits),
        TEST(test_json),
        TEST(test_messages_quote_no_content),
    };
#undef TEST

    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}

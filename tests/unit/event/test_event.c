/* What setters store, seen through the values that would be sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "event/wire.h"

static outbox_event *new_event(void)
{
    outbox_event *ev = outbox_event_new();

    assert_non_null(ev);
    assert_int_equal(outbox_event_set_type(ev, "order_placed"), OUTBOX_OK);
    return ev;
}

static void assert_value(const outbox_event *ev, enum outbox__field field, const void *data, size_t size)
{
    struct outbox__wire wire;

    assert_int_equal(outbox_event_check(ev, NULL), OUTBOX_OK);
    assert_int_equal(outbox__wire_encode(&wire, ev, NULL), OUTBOX_OK);
    if (!data) {
        assert_null(wire.values[field]);
    } else {
        assert_non_null(wire.values[field]);
        assert_int_equal(wire.sizes[field], size);
        assert_memory_equal(wire.values[field], data, size);
    }
    outbox__wire_free(&wire);
}

static void assert_text(const outbox_event *ev, enum outbox__field field, const char *text)
{
    assert_value(ev, field, text, text ? strlen(text) : 0);
}

static void test_new_event_is_empty(void **state)
{
    outbox_event *ev = new_event();

    (void)state;
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        if (i != OUTBOX__TYPE)
            assert_value(ev, (enum outbox__field)i, NULL, 0);
    }
    outbox_event_free(ev);
    outbox_event_free(NULL);
}

static void test_texts(void **state)
{
    static const struct {
        int (*set)(outbox_event *, const char *);
        enum outbox__field field;
        const char *value;
    } fields[] = {
        {outbox_event_set_type, OUTBOX__TYPE, "user_created"},
        {outbox_event_set_key, OUTBOX__KEY, "k\xc3\xa4\n"},
        {outbox_event_set_content_type, OUTBOX__CONTENT_TYPE, "text/plain"},
        {outbox_event_set_topic, OUTBOX__TOPIC, "a.b_c-D9"},
        {outbox_event_set_tenant, OUTBOX__TENANT, "acme"},
        {outbox_event_set_traceparent, OUTBOX__TRACEPARENT,
         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {outbox_event_set_tracestate, OUTBOX__TRACESTATE, "a=1,b=2"},
        {outbox_event_set_schema_ref, OUTBOX__SCHEMA_REF, "order/3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        outbox_event *ev = new_event();
        char value[100];

        memcpy(value, fields[i].value, strlen(fields[i].value) + 1);
        assert_int_equal(fields[i].set(ev, value), OUTBOX_OK);
        memset(value, '#', sizeof(value) - 1); /* a copy was made */
        assert_text(ev, fields[i].field, fields[i].value);
        if (fields[i].field != OUTBOX__TYPE) {
            assert_int_equal(fields[i].set(ev, NULL), OUTBOX_OK);
            assert_text(ev, fields[i].field, NULL);
        }
        assert_int_equal(fields[i].set(NULL, "x"), OUTBOX_EINVAL);
        outbox_event_free(ev);
    }
}

static void test_last_value_wins(void **state)
{
    outbox_event *ev = new_event();

    (void)state;
    outbox_event_set_key(ev, "a long first value that is longer than the second");
    outbox_event_set_key(ev, "short");
    assert_text(ev, OUTBOX__KEY, "short");
    outbox_event_set_key(ev, "");
    assert_text(ev, OUTBOX__KEY, "");
    outbox_event_free(ev);
}

static void test_payload_is_copied(void **state)
{
    char data[] = {0, 1, (char)0xff, 'x'};
    outbox_event *ev = new_event();

    (void)state;
    assert_int_equal(outbox_event_set_payload(ev, data, sizeof(data)), OUTBOX_OK);
    data[3] = '#';
    assert_value(ev, OUTBOX__PAYLOAD, "\0\1\xffx", 4);
    assert_text(ev, OUTBOX__CONTENT_TYPE, NULL);
    outbox_event_free(ev);
}

static void test_payload_is_borrowed(void **state)
{
    char data[] = {0, 1, (char)0xff, 'x'};
    outbox_event *ev = new_event();

    (void)state;
    assert_int_equal(outbox_event_borrow_payload(ev, data, sizeof(data)), OUTBOX_OK);
    data[3] = '#';
    assert_value(ev, OUTBOX__PAYLOAD, data, 4);
    assert_int_equal(outbox_event_borrow_payload(ev, NULL, 0), OUTBOX_OK);
    assert_value(ev, OUTBOX__PAYLOAD, NULL, 0);
    outbox_event_free(ev);
}

static void test_empty_payload_is_no_tombstone(void **state)
{
    outbox_event *ev = new_event();

    (void)state;
    outbox_event_set_payload(ev, "", 0);
    assert_value(ev, OUTBOX__PAYLOAD, "", 0);
    outbox_event_set_payload(ev, NULL, 0);
    assert_value(ev, OUTBOX__PAYLOAD, NULL, 0);
    outbox_event_borrow_payload(ev, "", 0);
    assert_value(ev, OUTBOX__PAYLOAD, "", 0);
    assert_int_equal(outbox_event_set_payload(ev, NULL, 1), OUTBOX_EINVAL);
    assert_int_equal(outbox_event_borrow_payload(ev, NULL, 1), OUTBOX_EINVAL);
    assert_value(ev, OUTBOX__PAYLOAD, "", 0);
    outbox_event_free(ev);
}

static void test_json_payload_brings_its_content_type(void **state)
{
    outbox_event *ev = new_event();

    (void)state;
    outbox_event_set_payload_json(ev, " {\"a\" : 1} ");
    assert_text(ev, OUTBOX__PAYLOAD, " {\"a\" : 1} ");
    assert_text(ev, OUTBOX__CONTENT_TYPE, "application/json");
    outbox_event_set_content_type(ev, "application/vnd.shop+json");
    assert_text(ev, OUTBOX__CONTENT_TYPE, "application/vnd.shop+json");
    outbox_event_set_content_type(ev, NULL);
    outbox_event_set_payload_json(ev, NULL);
    assert_text(ev, OUTBOX__PAYLOAD, NULL);
    assert_text(ev, OUTBOX__CONTENT_TYPE, NULL);
    outbox_event_set_payload_json(ev, "1");
    outbox_event_set_payload(ev, "{", 1);
    assert_text(ev, OUTBOX__PAYLOAD, "{");
    assert_text(ev, OUTBOX__CONTENT_TYPE, NULL);
    outbox_event_free(ev);
}

static void test_id_in_both_forms(void **state)
{
    static const uint8_t bytes[16] = {0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3,
                                      0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00};
    outbox_event *ev = new_event();

    (void)state;
    outbox_event_set_id(ev, "123E4567-e89b-12d3-a456-426614174000");
    assert_value(ev, OUTBOX__ID, bytes, 16);
    outbox_event_set_id(ev, NULL);
    assert_value(ev, OUTBOX__ID, NULL, 0);
    outbox_event_set_id_bytes(ev, bytes);
    assert_value(ev, OUTBOX__ID, bytes, 16);
    outbox_event_set_id_bytes(ev, NULL);
    assert_value(ev, OUTBOX__ID, NULL, 0);
    outbox_event_free(ev);
}

static void test_numbers_are_in_network_order(void **state)
{
    outbox_event *ev = new_event();

    (void)state;
    outbox_event_set_partition(ev, 0x01020304);
    assert_value(ev, OUTBOX__PARTITION, "\x01\x02\x03\x04", 4);
    outbox_event_set_partition(ev, 0);
    assert_value(ev, OUTBOX__PARTITION, "\0\0\0\0", 4);
    /* 2000-01-01 00:00:00 UTC is PostgreSQL's zero. */
    outbox_event_set_occurred_at(ev, INT64_C(946684800000000));
    assert_value(ev, OUTBOX__OCCURRED_AT, "\0\0\0\0\0\0\0\0", 8);
    outbox_event_set_occurred_at(ev, INT64_C(946684799999999));
    assert_value(ev, OUTBOX__OCCURRED_AT, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    outbox_event_set_occurred_at(ev, INT64_C(946684800000000) + 0x0102030405);
    assert_value(ev, OUTBOX__OCCURRED_AT, "\0\0\0\1\2\3\4\5", 8);
    outbox_event_free(ev);
}

static void test_headers_become_json(void **state)
{
    outbox_event *ev = new_event();

    (void)state;
    outbox_event_set_header(ev, "a", "1");
    assert_text(ev, OUTBOX__HEADERS, "\1{\"a\":\"1\"}");
    outbox_event_set_header(ev, "x-Long_name.1", "a \"quote\" and a \\ and \xe2\x82\xac");
    assert_text(ev, OUTBOX__HEADERS,
                "\1{\"a\":\"1\",\"x-Long_name.1\":\"a \\\"quote\\\" and a \\\\ and \xe2\x82\xac\"}");
    outbox_event_free(ev);
}

static void test_headers_are_replaced_and_removed(void **state)
{
    outbox_event *ev = new_event();

    (void)state;
    outbox_event_set_header(ev, "a", "1");
    outbox_event_set_header(ev, "b", "2");
    outbox_event_set_header(ev, "c", "3");
    outbox_event_set_header(ev, "A", "other");
    outbox_event_set_header(ev, "A", NULL);
    outbox_event_set_header(ev, "b", "");
    assert_text(ev, OUTBOX__HEADERS, "\1{\"a\":\"1\",\"b\":\"\",\"c\":\"3\"}");
    outbox_event_set_header(ev, "a", NULL);
    assert_text(ev, OUTBOX__HEADERS, "\1{\"c\":\"3\",\"b\":\"\"}");
    outbox_event_set_header(ev, "a", NULL);
    outbox_event_set_header(ev, "b", NULL);
    outbox_event_set_header(ev, "c", NULL);
    assert_text(ev, OUTBOX__HEADERS, NULL);
    assert_int_equal(outbox_event_set_header(ev, NULL, "x"), OUTBOX_EINVAL);
    assert_int_equal(outbox_event_set_header(NULL, "a", "x"), OUTBOX_EINVAL);
    outbox_event_free(ev);
}

static void test_reset_forgets_everything(void **state)
{
    outbox_event *ev = new_event();
    char too_long[20000];

    (void)state;
    memset(too_long, 'a', sizeof(too_long));
    too_long[sizeof(too_long) - 1] = '\0';
    outbox_event_set_key(ev, too_long);
    outbox_event_set_header(ev, "a", too_long);
    outbox_event_set_header(ev, "b", "1");
    outbox_event_set_payload_json(ev, "{");
    outbox_event_set_payload_limit(ev, 3);
    outbox_event_set_id(ev, "x");
    outbox_event_set_partition(ev, -1);
    outbox_event_set_occurred_at(ev, INT64_MAX);
    outbox_event_reset(ev);
    assert_int_equal(outbox_event_check(ev, NULL), OUTBOX_EINVAL); /* the type, too */
    outbox_event_set_type(ev, "t");
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        if (i != OUTBOX__TYPE)
            assert_value(ev, (enum outbox__field)i, NULL, 0);
    }
    outbox_event_set_payload(ev, "four", 4);
    assert_value(ev, OUTBOX__PAYLOAD, "four", 4);
    outbox_event_set_header(ev, "c", "1");
    assert_text(ev, OUTBOX__HEADERS, "\1{\"c\":\"1\"}");
    outbox_event_reset(NULL);
    outbox_event_free(ev);
}

static void test_column_types(void **state)
{
    /* oid and typarray of text, bytea, jsonb, uuid, int4, timestamptz in pg_type. */
    static const struct outbox__column wanted[OUTBOX__FIELD_COUNT] = {
        {25, 1009}, {25, 1009}, {17, 1001}, {25, 1009}, {25, 1009},   {3802, 3807}, {2950, 2951},
        {25, 1009}, {23, 1007}, {25, 1009}, {25, 1009}, {1184, 1185}, {25, 1009},
    };

    (void)state;
    for (int i = 0; i < OUTBOX__FIELD_COUNT; i++) {
        assert_int_equal(outbox__columns[i].type, wanted[i].type);
        assert_int_equal(outbox__columns[i].array_type, wanted[i].array_type);
        assert_non_null(outbox__field_names[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_event_is_empty),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_last_value_wins),
        cmocka_unit_test(test_payload_is_copied),
        cmocka_unit_test(test_payload_is_borrowed),
        cmocka_unit_test(test_empty_payload_is_no_tombstone),
        cmocka_unit_test(test_json_payload_brings_its_content_type),
        cmocka_unit_test(test_id_in_both_forms),
        cmocka_unit_test(test_numbers_are_in_network_order),
        cmocka_unit_test(test_headers_become_json),
        cmocka_unit_test(test_headers_are_replaced_and_removed),
        cmocka_unit_test(test_reset_forgets_everything),
        cmocka_unit_test(test_column_types),
    };

    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sink/marker.h"

#define UUID_1 "01010101-0101-0101-0101-010101010101"
#define UUID_2 "02020202-0202-0202-0202-020202020202"
#define UUID_3 "03030303-0303-0303-0303-030303030303"

/* A valid marker in pieces, so that a test can spoil one. */
#define HEAD "{\"version\":1,\"system_identifier\":\"18446744073709551615\",\"incarnation\":\"" UUID_1 "\","
#define PLACE "\"map\":1,\"lane\":3,"
#define FROM "\"from\":{\"tick\":10,\"nonce\":\"" UUID_2 "\"},"
#define TO "\"to\":{\"tick\":12,\"nonce\":\"" UUID_3 "\"},"
#define TAIL "\"seq\":9007199254740993,\"done\":true,\"published\":99}"
#define VALID HEAD PLACE FROM TO TAIL

static struct marker example(void)
{
    struct marker marker = {.system_identifier = -1, .map = 1, .lane = 3, .published = 99};

    memset(marker.incarnation, 1, 16);
    marker.position.from.id = 10;
    memset(marker.position.from.nonce, 2, 16);
    marker.position.to.id = 12;
    memset(marker.position.to.nonce, 3, 16);
    marker.position.seq = 9007199254740993; /* beyond a double */
    marker.position.done = true;
    return marker;
}

static void assert_same(const struct marker *a, const struct marker *b)
{
    assert_int_equal(a->system_identifier, b->system_identifier);
    assert_memory_equal(a->incarnation, b->incarnation, 16);
    assert_int_equal(a->map, b->map);
    assert_int_equal(a->lane, b->lane);
    assert_int_equal(a->published, b->published);
    assert_int_equal(position_compare(&a->position, &b->position), POSITION_SAME);
}

static void key_names_incarnation_map_and_lane(void **state)
{
    const struct marker marker = example();
    char key[MARKER_KEY_SIZE];

    (void)state;
    assert_int_equal(marker_key(&marker, key), strlen(UUID_1 "/1/3"));
    assert_string_equal(key, UUID_1 "/1/3");
}

static void transactional_id_names_the_prefix_too(void **state)
{
    const struct marker marker = example();
    char id[64];

    (void)state;
    assert_true(marker_transactional_id(&marker, "shop", id, sizeof(id)));
    assert_string_equal(id, "shop." UUID_1 ".1.3");
    assert_false(marker_transactional_id(&marker, "shop", id, sizeof("shop." UUID_1 ".1.3") - 1));
}

/* The text is a format on disk: it must not change without a new version. */
static void text_is_the_agreed_one(void **state)
{
    const struct marker marker = example();
    char text[MARKER_TEXT_SIZE];

    (void)state;
    assert_int_equal(marker_encode(&marker, text), strlen(VALID));
    assert_string_equal(text, VALID);
}

static void round_trip(const struct marker *marker)
{
    struct marker decoded;
    char text[MARKER_TEXT_SIZE];
    size_t size = marker_encode(marker, text);

    assert_true(size < sizeof(text));
    assert_int_equal(marker_decode(text, size, &decoded, NULL), OUTBOX_OK);
    assert_same(marker, &decoded);
}

static void extremes_round_trip(void **state)
{
    struct marker marker = example();
    char key[MARKER_KEY_SIZE];

    (void)state;
    round_trip(&marker);
    marker.system_identifier = INT64_MIN;
    marker.map = marker.lane = INT32_MAX;
    marker.published = marker.position.seq = INT64_MAX;
    marker.position.from.id = marker.position.to.id = INT64_MAX;
    round_trip(&marker);
    assert_true(marker_key(&marker, key) < sizeof(key));
    memset(&marker, 0, sizeof(marker));
    round_trip(&marker);
}

static void refuse(const char *text, size_t size, const char *reason)
{
    const struct marker before = example();
    struct marker marker = before;
    outbox_error *error = NULL;

    if (marker_decode(text, size, &marker, &error) != OUTBOX_EINVAL)
        fail_msg("accepted: %s", text);
    if (!strstr(outbox_error_message(error), reason))
        fail_msg("\"%s\" does not say \"%s\"", outbox_error_message(error), reason);
    assert_memory_equal(&marker, &before, sizeof(marker));
    outbox_error_free(error);
}

static void malformed_markers_are_refused(void **state)
{
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"", "not JSON"},
        {"not json", "not JSON"},
        {"[]", "no version"},
        {"{}", "no version"},
        {VALID "x", "not JSON"},
        {"{\"version\":2}", "version 2"},
        {"{\"version\":\"1\"}", "no version"},
        {"{\"version\":1}", "malformed"},
        /* each member missing */
        {"{\"version\":1,\"incarnation\":\"" UUID_1 "\"," PLACE FROM TO TAIL, "malformed"},
        {"{\"version\":1,\"system_identifier\":\"1\"," PLACE FROM TO TAIL, "malformed"},
        {HEAD "\"lane\":3," FROM TO TAIL, "malformed"},
        {HEAD "\"map\":1," FROM TO TAIL, "malformed"},
        {HEAD PLACE TO TAIL, "malformed"},
        {HEAD PLACE FROM TAIL, "malformed"},
        {HEAD PLACE "\"from\":{\"tick\":10}," TO TAIL, "malformed"},
        {HEAD PLACE FROM "\"to\":{\"nonce\":\"" UUID_3 "\"}," TAIL, "malformed"},
        {HEAD PLACE FROM TO "\"done\":true,\"published\":99}", "malformed"},
        {HEAD PLACE FROM TO "\"seq\":1,\"published\":99}", "malformed"},
        {HEAD PLACE FROM TO "\"seq\":1,\"done\":true}", "malformed"},
        /* one too many, one twice */
        {HEAD PLACE FROM TO "\"extra\":1," TAIL, "malformed"},
        {HEAD PLACE PLACE FROM TO TAIL, "not JSON"},
        {HEAD PLACE "\"from\":{\"tick\":10,\"nonce\":\"" UUID_2 "\",\"x\":1}," TO TAIL, "malformed"},
        /* of the wrong type */
        {HEAD "\"map\":\"1\",\"lane\":3," FROM TO TAIL, "malformed"},
        {HEAD "\"map\":1.0,\"lane\":3," FROM TO TAIL, "malformed"},
        {HEAD PLACE FROM TO "\"seq\":null,\"done\":true,\"published\":99}", "malformed"},
        {HEAD PLACE FROM TO "\"seq\":1,\"done\":1,\"published\":99}", "malformed"},
        {HEAD PLACE "\"from\":7," TO TAIL, "malformed"},
        {"{\"version\":1,\"system_identifier\":1,\"incarnation\":\"" UUID_1 "\"," PLACE FROM TO TAIL,
         "malformed"},
        /* out of range */
        {HEAD "\"map\":-1,\"lane\":3," FROM TO TAIL, "map"},
        {HEAD "\"map\":2147483648,\"lane\":3," FROM TO TAIL, "map"},
        {HEAD "\"map\":1,\"lane\":-3," FROM TO TAIL, "lane"},
        {HEAD PLACE "\"from\":{\"tick\":-1,\"nonce\":\"" UUID_2 "\"}," TO TAIL, "from.tick"},
        {HEAD PLACE FROM "\"to\":{\"tick\":9,\"nonce\":\"" UUID_3 "\"}," TAIL, "to.tick"},
        {HEAD PLACE FROM TO "\"seq\":-1,\"done\":true,\"published\":99}", "seq"},
        {HEAD PLACE FROM TO "\"seq\":9223372036854775808,\"done\":true,\"published\":99}", "not JSON"},
        {HEAD PLACE FROM TO "\"seq\":1,\"done\":true,\"published\":-1}", "published"},
        /* not what it should be */
        {"{\"version\":1,\"system_identifier\":\"-1\",\"incarnation\":\"" UUID_1 "\"," PLACE FROM TO TAIL,
         "system_identifier"},
        {"{\"version\":1,\"system_identifier\":\"18446744073709551616\",\"incarnation\":\"" UUID_1
         "\"," PLACE FROM TO TAIL,
         "system_identifier"},
        {"{\"version\":1,\"system_identifier\":\"12x\",\"incarnation\":\"" UUID_1 "\"," PLACE FROM TO TAIL,
         "system_identifier"},
        {"{\"version\":1,\"system_identifier\":\"1\",\"incarnation\":\"no-uuid\"," PLACE FROM TO TAIL,
         "incarnation"},
        {HEAD PLACE "\"from\":{\"tick\":10,\"nonce\":\"x\"}," TO TAIL, "from.nonce"},
        {HEAD PLACE FROM "\"to\":{\"tick\":12,\"nonce\":\"\"}," TAIL, "to.nonce"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        refuse(cases[i].text, strlen(cases[i].text), cases[i].reason);
}

static void cut_markers_are_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < strlen(VALID); size++) {
        struct marker marker;

        assert_int_equal(marker_decode(VALID, size, &marker, NULL), OUTBOX_EINVAL);
    }
    refuse(VALID "\0", strlen(VALID) + 1, "not JSON");
}

static void order_of_members_is_free(void **state)
{
    const char *text = "{" PLACE FROM "\"published\":99,\"done\":true,\"seq\":9007199254740993," TO
                       "\"incarnation\":\"" UUID_1 "\",\"system_identifier\":\"18446744073709551615\","
                       "\"version\":1}";
    const struct marker wanted = example();
    struct marker marker;

    (void)state;
    assert_int_equal(marker_decode(text, strlen(text), &marker, NULL), OUTBOX_OK);
    assert_same(&marker, &wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_names_incarnation_map_and_lane),
        cmocka_unit_test(transactional_id_names_the_prefix_too),
        cmocka_unit_test(text_is_the_agreed_one),
        cmocka_unit_test(extremes_round_trip),
        cmocka_unit_test(malformed_markers_are_refused),
        cmocka_unit_test(cut_markers_are_refused),
        cmocka_unit_test(order_of_members_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

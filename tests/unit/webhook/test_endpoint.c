#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "webhook/endpoint.h"

#define SECRET "000102030405060708090a0b0c0d0e0f1011121314151617"

static struct endpoint_row good_row(void)
{
    return (struct endpoint_row){
        .id = "0123abcd-4567-89ef-fedc-ba9876543210",
        .name = "shop",
        .url = "https://example.org/hook",
        .policy = "park",
        .schedule = "0,5000000,300000000",
        .secrets = SECRET "," SECRET "ff",
        .max_age_us = 1000000,
        .timeout = 2000000,
        .concurrency = 3,
    };
}

static void test_good(void **state)
{
    struct endpoint_row row = good_row();
    struct endpoint *endpoint = endpoint_new(&row, NULL);

    (void)state;
    assert_non_null(endpoint);
    assert_string_equal(endpoint->label, "shop");
    assert_string_equal(endpoint->url, row.url);
    assert_true(endpoint->tls);
    assert_int_equal(endpoint->rules.policy, DELIVERY_PARK);
    assert_int_equal(endpoint->rules.schedule_count, 3);
    assert_int_equal(endpoint->rules.schedule[2], 300000000);
    assert_int_equal(endpoint->secret_count, 2);
    assert_int_equal(endpoint->secrets[0].size, 24);
    assert_int_equal(endpoint->secrets[1].size, 25);
    assert_int_equal(endpoint->secrets[1].bytes[24], 0xff);
    endpoint_unref(endpoint_ref(endpoint));
    endpoint_unref(endpoint);

    row.name = NULL;
    row.schedule = NULL;
    endpoint = endpoint_new(&row, NULL);
    assert_non_null(endpoint);
    assert_string_equal(endpoint->label, row.id);
    assert_int_equal(endpoint->rules.schedule_count, DELIVERY_SCHEDULE_COUNT);
    assert_memory_equal(endpoint->rules.schedule, delivery_schedule, sizeof(delivery_schedule));
    endpoint_unref(endpoint);
}

static void assert_refused(const struct endpoint_row *row, const char *field)
{
    outbox_error *error = NULL;

    assert_null(endpoint_new(row, &error));
    assert_non_null(error);
    assert_string_equal(outbox_error_field(error), field);
    outbox_error_free(error);
}

static void test_bad(void **state)
{
    struct endpoint_row row = good_row();
    char many[17 * sizeof(SECRET)] = "";

    (void)state;
    row.secrets = NULL;
    assert_refused(&row, "secrets");
    row.secrets = "";
    assert_refused(&row, "secrets");
    row.secrets = SECRET "," SECRET SECRET SECRET SECRET; /* 96 bytes */
    assert_refused(&row, "secrets");
    row.secrets = SECRET "0";
    assert_refused(&row, "secrets");
    for (int i = 0; i < 17; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s%s", i ? "," : "", SECRET);
    row.secrets = many;
    assert_refused(&row, "secrets");
    row = good_row();
    row.schedule = "0,-5";
    assert_refused(&row, "schedule");
    row.schedule = "";
    assert_refused(&row, "schedule");
    row = good_row();
    row.url = "https://user:secret@example.org/";
    assert_refused(&row, "url");
    row = good_row();
    row.policy = "hope";
    assert_refused(&row, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}

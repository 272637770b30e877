#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <outbox/webhook.h>

#include "base/signature.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OTHER "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
#define NOW 1614265330

static const char *const secrets[] = {OTHER, SECRET, OTHER};

/* The first vector of Standard Webhooks' reference libraries. */
static outbox_webhook good(void)
{
    return (outbox_webhook){
        .id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
        .timestamp = "1614265330",
        .signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        .body = "{\"test\": 2432232314}",
        .body_size = 20,
    };
}

static void assert_refused(const outbox_webhook *hook, int64_t now, int code, const char *field,
                           const char *part)
{
    outbox_error *error = NULL;

    assert_int_equal(outbox_webhook_verify(hook, secrets, 3, now, 0, &error), code);
    assert_non_null(error);
    assert_int_equal(outbox_error_code(error), code);
    assert_string_equal(outbox_error_field(error), field);
    assert_non_null(strstr(outbox_error_message(error), part));
    outbox_error_free(error);
    assert_int_equal(outbox_webhook_verify(hook, secrets, 3, now, 0, NULL), code);
}

static void test_authentic(void **state)
{
    const outbox_webhook hook = good();
    outbox_error *error = NULL;

    (void)state;
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, NOW, 0, &error), OUTBOX_OK);
    assert_int_equal(outbox_webhook_verify(&hook, secrets + 1, 1, NOW, 0, &error), OUTBOX_OK);
    assert_null(error);
}

static void test_tolerance(void **state)
{
    const outbox_webhook hook = good();

    (void)state;
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, NOW + 300, 0, NULL), OUTBOX_OK);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, NOW - 300, 0, NULL), OUTBOX_OK);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, NOW + 301, 301, NULL), OUTBOX_OK);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, NOW + 2, 1, NULL), OUTBOX_ESIGNATURE);
    assert_refused(&hook, NOW + 301, OUTBOX_ESIGNATURE, "webhook-timestamp", "300 seconds old");
    assert_refused(&hook, NOW - 301, OUTBOX_ESIGNATURE, "webhook-timestamp", "in the future");
    /* By the system's clock the vector is years old. */
    assert_refused(&hook, 0, OUTBOX_ESIGNATURE, "webhook-timestamp", "old");
}

static void test_systems_clock(void **state)
{
    outbox_webhook hook = good();
    struct outbox__secret secret;
    char timestamp[32];
    char signature[OUTBOX__SIGNATURE_TEXT];

    (void)state;
    snprintf(timestamp, sizeof(timestamp), "%lld", (long long)time(NULL));
    hook.timestamp = timestamp;
    assert_true(outbox__secret_parse(SECRET, &secret));
    assert_true(outbox__sign(&(struct outbox__signed){hook.id, timestamp, hook.body, hook.body_size}, &secret,
                             signature));
    hook.signature = signature;
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, 0, 0, NULL), OUTBOX_OK);
}

static void test_which_check_failed(void **state)
{
    outbox_webhook hook = good();

    (void)state;
    hook.id = NULL;
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-id", "no such header");
    hook = good();
    hook.timestamp = NULL;
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-timestamp", "no such header");
    hook.timestamp = "hello";
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-timestamp", "number of seconds");
    hook = good();
    hook.signature = "";
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-signature", "no such header");
    hook.signature = "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-signature", "scheme v1");
    hook.signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=";
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-signature", "none of the signatures");
    hook = good();
    hook.body_size--;
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-signature", "none of the signatures");
    hook.body = NULL;
    hook.body_size = 0;
    assert_refused(&hook, NOW, OUTBOX_ESIGNATURE, "webhook-signature", "none of the signatures");
}

static void test_receivers_own_faults(void **state)
{
    const outbox_webhook hook = good();
    outbox_webhook no_body = good();
    static const char *const bad_secrets[] = {SECRET, "whsec_"};
    static const char *const null_secret[] = {NULL};
    outbox_error *error = NULL;

    (void)state;
    no_body.body = NULL;
    assert_int_equal(outbox_webhook_verify(NULL, secrets, 3, NOW, 0, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&no_body, secrets, 3, NOW, 0, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, NULL, 3, NOW, 0, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 0, NOW, 0, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, SIZE_MAX, NOW, 0, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, -1, 0, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, INT64_MAX, 0, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, NOW, -1, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, secrets, 3, NOW, INT64_MAX, NULL), OUTBOX_EINVAL);
    assert_int_equal(outbox_webhook_verify(&hook, null_secret, 1, NOW, 0, NULL), OUTBOX_EINVAL);
    /* A secret that is malformed is told even if another one would do. */
    assert_int_equal(outbox_webhook_verify(&hook, bad_secrets, 2, NOW, 0, &error), OUTBOX_EINVAL);
    assert_string_equal(outbox_error_field(error), "secrets");
    assert_null(strstr(outbox_error_message(error), "MfKQ9r8G"));
    outbox_error_free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authentic),
        cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_systems_clock),
        cmocka_unit_test(test_which_check_failed),
        cmocka_unit_test(test_receivers_own_faults),
    };

    return cmocka_run_group_tests_name("webhook_verify", tests, NULL, NULL);
}

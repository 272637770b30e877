#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/signature.h"

/* Vectors of the reference libraries of Standard Webhooks (V1: Python, Go, JavaScript,
 * PHP, Ruby, C# and Java; V2: Rust) and of Svix's documentation (V3). */
static const struct vector {
    const char *secret;
    const char *id;
    const char *timestamp;
    const char *body;
    const char *signature;
} vectors[] = {
    {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
     "{\"test\": 2432232314}", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
    {"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553",
     "{\"email\":\"test@example.com\",\"username\":\"test_user\"}",
     "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="},
    {"whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", "1731705121",
     "{\"event_type\":\"ping\",\"data\":{\"success\":true}}",
     "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="},
};

#define NOW 1614265330

static struct outbox__signed message_of(const struct vector *vector)
{
    return (struct outbox__signed){vector->id, vector->timestamp, vector->body, strlen(vector->body)};
}

static struct outbox__secret secret_of(const struct vector *vector)
{
    struct outbox__secret secret;

    assert_true(outbox__secret_parse(vector->secret, &secret));
    return secret;
}

/* Checks the first vector with another list of signatures. */
static enum outbox__verdict check(const char *signatures)
{
    const struct outbox__signed message = message_of(&vectors[0]);
    const struct outbox__secret secret = secret_of(&vectors[0]);

    return outbox__signature_check(&message, signatures, &secret, 1, NOW, OUTBOX__SIGNATURE_TOLERANCE);
}

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct outbox__signed message = message_of(&vectors[i]);
        const struct outbox__secret secret = secret_of(&vectors[i]);
        char made[OUTBOX__SIGNATURE_TEXT];

        assert_true(outbox__sign(&message, &secret, made));
        assert_string_equal(made, vectors[i].signature);
    }
}

static void test_empty_body(void **state)
{
    /* printf 'id.1.' | openssl dgst -sha256 -mac HMAC -macopt hexkey:00...1f -binary | base64 */
    const struct outbox__signed message = {"id", "1", NULL, 0};
    struct outbox__secret secret = {.size = 32};
    char made[OUTBOX__SIGNATURE_TEXT];

    (void)state;
    for (int i = 0; i < 32; i++)
        secret.bytes[i] = (uint8_t)i;
    assert_true(outbox__sign(&message, &secret, made));
    assert_string_equal(made, "v1,lREBoLuPdhRvafYCvRqQLK027fHSeOWciJpBSw5gHMQ=");
}

static void test_lists(void **state)
{
    (void)state;
    assert_int_equal(check(vectors[0].signature), OUTBOX__VERDICT_GOOD);
    /* the reference libraries' test of a list */
    assert_int_equal(check("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= "
                           "v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= "
                           "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= "
                           "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="),
                     OUTBOX__VERDICT_GOOD);
    assert_int_equal(
        check("  v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzC"
                           "InXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
              "  v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=  "),
        OUTBOX__VERDICT_GOOD);
}

static void test_wrong_signatures(void **state)
{
    static const char *const wrong[] = {
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=", /* the last character */
        "v1,h0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", /* the first one */
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",  /* without its padding */
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE==",
        "v1,g0hM",
        "v1,R3PTzyfHASBKHH98a7yexTwaJ4yNIcGhFQc1yuN+BPU=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=,v1,x",
    };
    static const char *const other_scheme[] = {
        "",
        " ",
        "v1,",
        "v1",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(check(wrong[i]), OUTBOX__VERDICT_MISMATCH);
    for (size_t i = 0; i < sizeof(other_scheme) / sizeof(other_scheme[0]); i++)
        assert_int_equal(check(other_scheme[i]), OUTBOX__VERDICT_SCHEME);
}

/* Every byte that is signed counts. */
static void test_alterations(void **state)
{
    const struct outbox__secret secret = secret_of(&vectors[0]);
    struct outbox__signed message = message_of(&vectors[0]);
    char body[64];

    (void)state;
    for (size_t i = 0; i < message.size; i++) {
        memcpy(body, vectors[0].body, message.size);
        body[i] ^= 1;
        message.body = body;
        assert_int_equal(outbox__signature_check(&message, vectors[0].signature, &secret, 1, NOW, 300),
                         OUTBOX__VERDICT_MISMATCH);
    }
    message = message_of(&vectors[0]);
    message.size--;
    assert_int_equal(outbox__signature_check(&message, vectors[0].signature, &secret, 1, NOW, 300),
                     OUTBOX__VERDICT_MISMATCH);
    message = message_of(&vectors[0]);
    message.id = "msg_p5jXN8AQM9LWM0D4loKWxJel";
    assert_int_equal(outbox__signature_check(&message, vectors[0].signature, &secret, 1, NOW, 300),
                     OUTBOX__VERDICT_MISMATCH);
    message = message_of(&vectors[0]);
    message.timestamp = "01614265330"; /* the same number, another text */
    assert_int_equal(outbox__signature_check(&message, vectors[0].signature, &secret, 1, NOW, 300),
                     OUTBOX__VERDICT_MISMATCH);
}

static void test_rotation(void **state)
{
    const struct outbox__signed message = message_of(&vectors[0]);
    const struct outbox__secret secrets[] = {secret_of(&vectors[1]), secret_of(&vectors[0]),
                                             secret_of(&vectors[2])};

    (void)state;
    assert_int_equal(outbox__signature_check(&message, vectors[0].signature, secrets, 3, NOW, 300),
                     OUTBOX__VERDICT_GOOD);
    assert_int_equal(outbox__signature_check(&message, vectors[0].signature, secrets, 1, NOW, 300),
                     OUTBOX__VERDICT_MISMATCH);
}

static enum outbox__verdict check_at(int64_t now, const char *timestamp)
{
    const struct outbox__secret secret = secret_of(&vectors[0]);
    struct outbox__signed message = message_of(&vectors[0]);
    char signature[OUTBOX__SIGNATURE_TEXT];

    message.timestamp = timestamp;
    assert_true(outbox__sign(&message, &secret, signature));
    return outbox__signature_check(&message, signature, &secret, 1, now, 300);
}

static void test_timestamps(void **state)
{
    static const char *const malformed[] = {
        "hello",       "",           "-1614265330",        "+1614265330", "1614265330.5", " 1614265330",
        "1614265330 ", "0x60379632", "9999999999999999999"};

    (void)state;
    assert_int_equal(check_at(NOW + 300, "1614265330"), OUTBOX__VERDICT_GOOD);
    assert_int_equal(check_at(NOW + 301, "1614265330"), OUTBOX__VERDICT_OLD);
    assert_int_equal(check_at(NOW - 300, "1614265330"), OUTBOX__VERDICT_GOOD);
    assert_int_equal(check_at(NOW - 301, "1614265330"), OUTBOX__VERDICT_NEW);
    assert_int_equal(check_at(NOW, "999999999999999999"), OUTBOX__VERDICT_NEW);
    assert_int_equal(check_at(0, "0"), OUTBOX__VERDICT_GOOD);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        assert_int_equal(check_at(NOW, malformed[i]), OUTBOX__VERDICT_TIMESTAMP);
}

static void test_secrets(void **state)
{
    uint8_t bytes[OUTBOX__SECRET_MAX + 1];
    char text[6 + OUTBOX__BASE64_TEXT(sizeof(bytes))] = "whsec_";
    struct outbox__secret secret;
    static const char *const wrong[] = {
        "",
        "whsec_",
        "whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
        "whsec_MfKQ9r8G",
        " MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(255 - i);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        bool allowed = size >= OUTBOX__SECRET_MIN && size <= OUTBOX__SECRET_MAX;

        outbox__base64_encode(bytes, size, text + 6);
        assert_int_equal(outbox__secret_parse(text, &secret), allowed);
        assert_int_equal(outbox__secret_parse(text + 6, &secret), allowed);
        if (allowed) {
            assert_int_equal(secret.size, size);
            assert_memory_equal(secret.bytes, bytes, size);
        }
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(outbox__secret_parse(wrong[i], &secret));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),     cmocka_unit_test(test_empty_body),
        cmocka_unit_test(test_lists),       cmocka_unit_test(test_wrong_signatures),
        cmocka_unit_test(test_alterations), cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_timestamps),  cmocka_unit_test(test_secrets),
    };

    return cmocka_run_group_tests_name("signature", tests, NULL, NULL);
}

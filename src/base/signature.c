#include "base/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"

#define DIGEST_SIZE 32

bool outbox__secret_parse(const char *text, struct outbox__secret *ret)
{
    static const char prefix[] = "whsec_";
    struct outbox__secret secret;
    ssize_t size;

    if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
        text += sizeof(prefix) - 1;
    size = outbox__base64_decode(text, strlen(text), secret.bytes, sizeof(secret.bytes));
    if (size >= OUTBOX__SECRET_MIN) {
        secret.size = (size_t)size;
        *ret = secret;
    }
    outbox__secret_wipe(&secret);
    return size >= OUTBOX__SECRET_MIN;
}

void outbox__secret_wipe(struct outbox__secret *secret)
{
    OPENSSL_cleanse(secret, sizeof(*secret));
}

bool outbox__sign(const struct outbox__signed *message, const struct outbox__secret *secret,
                  char ret_text[OUTBOX__SIGNATURE_TEXT])
{
    /* This form of HMAC takes its input in pieces, so that a large body is not copied,
     * and is deprecated neither in OpenSSL 1.1.1 nor in 3. */
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, secret->bytes, secret->size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t digest[DIGEST_SIZE];
    size_t size = sizeof(digest);
    bool made;

    made = key && context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestSignUpdate(context, message->id, strlen(message->id)) == 1 &&
           EVP_DigestSignUpdate(context, ".", 1) == 1 &&
           EVP_DigestSignUpdate(context, message->timestamp, strlen(message->timestamp)) == 1 &&
           EVP_DigestSignUpdate(context, ".", 1) == 1 &&
           (message->size == 0 || EVP_DigestSignUpdate(context, message->body, message->size) == 1) &&
           EVP_DigestSignFinal(context, digest, &size) == 1 && size == sizeof(digest);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    if (!made)
        return false;
    memcpy(ret_text, "v1,", 3);
    outbox__base64_encode(digest, sizeof(digest), ret_text + 3);
    return true;
}

/* Seconds since 1970: digits only, and few enough not to overflow. */
static bool parse_seconds(const char *text, int64_t *ret)
{
    size_t size = strspn(text, "0123456789");
    int64_t value = 0;

    if (size == 0 || size > 18 || text[size] != '\0')
        return false;
    for (; *text; text++)
        value = value * 10 + (*text - '0');
    *ret = value;
    return true;
}

static enum outbox__verdict check_time(const char *timestamp, int64_t now, int64_t tolerance)
{
    int64_t at;

    if (!parse_seconds(timestamp, &at))
        return OUTBOX__VERDICT_TIMESTAMP;
    if (at < now - tolerance)
        return OUTBOX__VERDICT_OLD;
    return at > now + tolerance ? OUTBOX__VERDICT_NEW : OUTBOX__VERDICT_GOOD;
}

/* Looks at every signature of the list, also when one was found. */
static enum outbox__verdict check_list(const char *list, const char expected[OUTBOX__SIGNATURE_TEXT])
{
    enum outbox__verdict verdict = OUTBOX__VERDICT_SCHEME;

    while (*list) {
        size_t size = strcspn(list, " ");

        if (size > 3 && memcmp(list, "v1,", 3) == 0 && verdict == OUTBOX__VERDICT_SCHEME)
            verdict = OUTBOX__VERDICT_MISMATCH;
        if (size == OUTBOX__SIGNATURE_TEXT - 1 && CRYPTO_memcmp(list, expected, size) == 0)
            verdict = OUTBOX__VERDICT_GOOD;
        list += size;
        list += strspn(list, " ");
    }
    return verdict;
}

enum outbox__verdict outbox__signature_check(const struct outbox__signed *message, const char *signatures,
                                             const struct outbox__secret *secrets, size_t count, int64_t now,
                                             int64_t tolerance)
{
    enum outbox__verdict verdict = check_time(message->timestamp, now, tolerance);
    enum outbox__verdict found = OUTBOX__VERDICT_SCHEME;
    char expected[OUTBOX__SIGNATURE_TEXT];

    if (verdict != OUTBOX__VERDICT_GOOD)
        return verdict;
    for (size_t i = 0; i < count && found != OUTBOX__VERDICT_GOOD; i++) {
        if (!outbox__sign(message, &secrets[i], expected))
            return OUTBOX__VERDICT_FAULT;
        found = check_list(signatures, expected);
    }
    OPENSSL_cleanse(expected, sizeof(expected));
    return found;
}

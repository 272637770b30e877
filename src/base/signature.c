#include "base/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

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

/* "id.timestamp.body" in one piece.  NULL without memory. */
static char *join(const struct outbox__signed *message, size_t *ret_size)
{
    size_t id_size = strlen(message->id);
    size_t timestamp_size = strlen(message->timestamp);
    size_t body_at = id_size + timestamp_size + 2;
    char *joined;

    if (message->size > SIZE_MAX - body_at)
        return NULL;
    *ret_size = body_at + message->size;
    joined = malloc(*ret_size);
    if (!joined)
        return NULL;
    memcpy(joined, message->id, id_size);
    joined[id_size] = '.';
    memcpy(joined + id_size + 1, message->timestamp, timestamp_size);
    joined[body_at - 1] = '.';
    if (message->size > 0)
        memcpy(joined + body_at, message->body, message->size);
    return joined;
}

/* HMAC() wants its input in one piece, but it is the only form of HMAC that is deprecated
 * neither in OpenSSL 1.1.1 nor in 3 and takes a microsecond; by an EVP_PKEY it takes five. */
bool outbox__sign(const struct outbox__signed *message, const struct outbox__secret *secret,
                  char ret_text[OUTBOX__SIGNATURE_TEXT])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int digest_size = 0;
    size_t size = 0;
    char *joined = join(message, &size);
    bool made = joined && HMAC(EVP_sha256(), secret->bytes, (int)secret->size, (const unsigned char *)joined,
                               size, digest, &digest_size);

    free(joined);
    if (!made || digest_size != DIGEST_SIZE)
        return false;
    memcpy(ret_text, "v1,", 3);
    outbox__base64_encode(digest, DIGEST_SIZE, ret_text + 3);
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

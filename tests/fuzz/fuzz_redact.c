/* Connection strings as they are shown: whatever libpq takes for a secret in them is hidden.
 * The input is the string. */
#include "fuzz.h"

#include <libpq-fe.h>
#include <string.h>

#include "config/options.h"
#include "config/redact.h"

#define SHORTEST 6

/* What could be in it by chance is not looked for: short, like a keyword, or with what separates. */
static bool is_distinct(const char *secret)
{
    return strlen(secret) >= SHORTEST && !strpbrk(secret, " \t\n\r\f\v=&?:/@*'") &&
           strspn(secret, "abcdefghijklmnopqrstuvwxyz_") < strlen(secret);
}

static bool is_secret(const PQconninfoOption *option)
{
    return strcmp(option->keyword, "password") == 0 || strcmp(option->keyword, "sslpassword") == 0;
}

static bool is_twice_in(const char *text, const char *part)
{
    const char *first = strstr(text, part);

    return first && strstr(first + 1, part);
}

/* May it be in another value, that may be shown?  Then it is no secret, or not kept as one.  Of a keyword that
 * comes twice only the last value is told. */
static bool elsewhere(const PQconninfoOption *parsed, const char *dsn, const char *secret)
{
    for (; parsed->keyword; parsed++) {
        if (parsed->val && !is_secret(parsed) && (strstr(parsed->val, secret) || is_twice_in(dsn, parsed->keyword)))
            return true;
    }
    return false;
}

static void check_secrets(const PQconninfoOption *parsed, const char *dsn, const char *shown)
{
    for (const PQconninfoOption *option = parsed; option->keyword; option++) {
        const char *secret = option->val;

        if (!secret || !is_secret(option) || !is_distinct(secret) || elsewhere(parsed, dsn, secret))
            continue;
        FUZZ_CHECK(!strstr(shown, secret));
        FUZZ_CHECK(option_holds_secret("dsn", dsn));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    const char *dsn = fuzz_text(&input);
    PQconninfoOption *parsed = PQconninfoParse(dsn, NULL);
    char shown[8300];
    char cut[40];

    redact_dsn(dsn, shown, sizeof(shown));
    FUZZ_CHECK(strlen(shown) < sizeof(shown));
    redact_dsn(dsn, cut, sizeof(cut));
    FUZZ_CHECK(strlen(cut) < sizeof(cut));
    if (parsed)
        check_secrets(parsed, dsn, shown);
    PQconninfoFree(parsed);
    fuzz_end(&input);
    return 0;
}

/* UTF-8, UUIDs and base64.  First line: which; the rest: the bytes. */
#include "fuzz.h"

#include <string.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "base/uuid.h"

/* Valid text stays valid when it is cut between characters, and counts as many of them. */
static void try_utf8(const char *text, size_t size)
{
    size_t length = 0;

    if (!outbox__utf8_valid(text, size))
        return;
    FUZZ_CHECK(!memchr(text, 0, size));
    for (size_t at = 0; at < size; length++) {
        size_t step = 1;

        while (step <= 4 && at + step <= size && !outbox__utf8_valid(text + at, step))
            step++;
        FUZZ_CHECK(step <= 4 && at + step <= size);
        FUZZ_CHECK(outbox__utf8_valid(text, at) && outbox__utf8_valid(text + at, size - at));
        at += step;
    }
    FUZZ_CHECK(outbox__utf8_length(text, size) == length);
    outbox__has_control(text, size);
}

static void try_uuid(const char *text)
{
    char again[OUTBOX__UUID_TEXT];
    struct outbox__uuid uuid, same;

    if (!outbox__uuid_parse(text, &uuid))
        return;
    outbox__uuid_format(&uuid, again);
    FUZZ_CHECK(strcasecmp(text, again) == 0);
    FUZZ_CHECK(outbox__uuid_parse(again, &same) && outbox__uuid_equal(&uuid, &same));
}

/* No two texts mean the same bytes, but for the padding that may be left out. */
static void try_base64(const char *text, size_t size)
{
    char bytes[256];
    char again[OUTBOX__BASE64_TEXT(sizeof(bytes))];
    ssize_t count = outbox__base64_decode(text, size, bytes, sizeof(bytes));
    size_t plain = size;

    if (count < 0)
        return;
    FUZZ_CHECK((size_t)count <= sizeof(bytes));
    outbox__base64_encode(bytes, (size_t)count, again);
    while (plain > 0 && text[plain - 1] == '=')
        plain--;
    FUZZ_CHECK(strcspn(again, "=") == plain && (plain == 0 || memcmp(again, text, plain) == 0));
    if (count > 0)
        FUZZ_CHECK(outbox__base64_decode(text, size, bytes, (size_t)count - 1) == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    const char *which = fuzz_line(&input);

    if (strcmp(which, "uuid") == 0) {
        try_uuid(fuzz_text(&input));
    } else {
        size_t count;
        const char *bytes = fuzz_bytes(&input, &count);

        if (strcmp(which, "base64") == 0)
            try_base64(bytes, count);
        else
            try_utf8(bytes, count < 2000 ? count : 2000);
    }
    fuzz_end(&input);
    return 0;
}

/* What librdkafka says, before it is logged.  Lines: two secrets, and the room there is; the
 * rest is the text. */
#include "fuzz.h"

#include <string.h>

#include "sink/secrets.h"

/* Stars for each place where the secret stands, and for its beginning at the end of the text. */
static void check_hidden(const char *text, const char *shown, const char *secret)
{
    size_t size = strlen(secret), length = strlen(text), room = strlen(shown);

    for (size_t at = 0; size > 0 && at < length; at++) {
        size_t left = length - at;
        size_t stands = strncmp(text + at, secret, size) == 0 ? size : 0;

        if (left < size && left >= 3 && strncmp(text + at, secret, left) == 0)
            stands = left;
        for (size_t i = at; i < at + stands && i < room; i++)
            FUZZ_CHECK(shown[i] == '*');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    struct kafka_property properties[] = {
        {"sasl.password", fuzz_line(&input)}, {"client.id", "shown"}, {"ssl.key.password", fuzz_line(&input)}};
    size_t room = 1 + (size_t)fuzz_number(&input) % 200;
    const char *text = fuzz_text(&input);
    size_t length = strlen(text);
    char shown[201];

    secrets_hide(properties, 3, text, shown, room);
    FUZZ_CHECK(strlen(shown) == (length < room ? length : room - 1));
    for (size_t i = 0; shown[i]; i++)
        FUZZ_CHECK(shown[i] == text[i] || shown[i] == '*');
    check_hidden(text, shown, properties[0].value);
    check_hidden(text, shown, properties[2].value);
    fuzz_end(&input);
    return 0;
}

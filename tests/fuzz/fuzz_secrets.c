/* What librdkafka says, before it is logged.  Lines: two secrets, and the room there is; the
 * rest is the text. */
#include "fuzz.h"

#include <string.h>

#include "sink/secrets.h"

static void check_hidden(const char *shown, const char *secret)
{
    /* One that has stars may come about by hiding. */
    if (*secret && !strchr(secret, '*'))
        FUZZ_CHECK(!strstr(shown, secret));
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
    check_hidden(shown, properties[0].value);
    check_hidden(shown, properties[2].value);
    fuzz_end(&input);
    return 0;
}

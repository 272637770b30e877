/* Values of options, one on each line. */
#include "fuzz.h"

#include <string.h>

#include "config/nearest.h"
#include "config/value.h"
#include "runtime/sockaddr.h"

/* What is printed means the same again. */
static void try_units(const char *text)
{
    char again[VALUE_TEXT];
    int64_t value, same;

    if (value_duration(text, &value)) {
        FUZZ_CHECK(value >= 0);
        value_duration_text(value, again);
        FUZZ_CHECK(value_duration(again, &same) && same == value);
    }
    if (value_size(text, &value)) {
        FUZZ_CHECK(value >= 0);
        value_size_text(value, again);
        FUZZ_CHECK(value_size(again, &same) && same == value);
    }
}

static void try_address(const char *text)
{
    struct sockaddr_storage address, same;
    socklen_t size, same_size;
    char again[80];

    if (!sockaddr_parse(text, &address, &size))
        return;
    sockaddr_text(&address, again, sizeof(again));
    FUZZ_CHECK(sockaddr_parse(again, &same, &same_size) && same_size == size && memcmp(&address, &same, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    const char *last = "";

    while (input.size > 0) {
        const char *text = fuzz_line(&input);
        struct nearest nearest = NEAREST_INIT(text);
        int64_t number;
        bool flag;

        value_integer(text, &number);
        value_boolean(text, &flag);
        try_units(text);
        try_address(text);
        FUZZ_CHECK(name_distance(text, last) == name_distance(last, text));
        FUZZ_CHECK(strlen(text) > 63 || name_distance(text, text) == 0);
        nearest_try(&nearest, last);
        last = text;
    }
    fuzz_end(&input);
    return 0;
}

/* The record that tells how far a lane is.  The input is its value. */
#include "fuzz.h"

#include <string.h>

#include "sink/marker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    struct marker marker, same, untouched;
    char text[MARKER_TEXT_SIZE];
    char key[MARKER_KEY_SIZE];
    outbox_error *err = NULL;
    size_t count;
    const char *bytes = fuzz_bytes(&input, &count);

    memset(&marker, 0x5a, sizeof(marker));
    untouched = marker;
    if (marker_decode(bytes, count, &marker, &err) == OUTBOX_OK) {
        FUZZ_CHECK(!err && marker.position.to.id >= marker.position.from.id && marker.position.seq >= 0);
        FUZZ_CHECK(marker_key(&marker, key) < sizeof(key));
        count = marker_encode(&marker, text);
        FUZZ_CHECK(count < sizeof(text) && count == strlen(text));
        FUZZ_CHECK(marker_decode(text, count, &same, NULL) == OUTBOX_OK);
        FUZZ_CHECK(memcmp(&marker, &same, sizeof(marker)) == 0);
    } else {
        FUZZ_CHECK(err && memcmp(&marker, &untouched, sizeof(marker)) == 0);
    }
    outbox_error_free(err);
    fuzz_end(&input);
    return 0;
}

/* The header Retry-After of any receiver.  First line: now, in microseconds; then the value. */
#include "fuzz.h"

#include "webhook/retry_after.h"

#define YEAR (INT64_C(366) * 86400 * 1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    /* A clock of this side of the year 10000. */
    int64_t now = (int64_t)((uint64_t)fuzz_number(&input) % UINT64_C(253402300800000000));
    int64_t wait = retry_after_parse(fuzz_line(&input), now);

    FUZZ_CHECK(wait >= -1 && wait <= 10 * YEAR);
    fuzz_end(&input);
    return 0;
}

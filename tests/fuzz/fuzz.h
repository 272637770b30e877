/* Targets for libFuzzer: each gives any bytes to one parser and checks what must hold for
 * all of them.  Under `make check` replay.c runs them on the seeds instead. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Always 0.  Ends the process if a property does not hold. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *condition, const char *file, int line);

/* Takes an input apart.  What it hands out is copied to memory of just that size, so that a
 * sanitizer sees one byte too many, and lives until fuzz_end(). */
struct fuzz_input {
    const uint8_t *data;
    size_t size;
    struct fuzz_piece *pieces;
};

#define FUZZ_INPUT(bytes, count) {(bytes), (count), NULL}

/* The next line, without its end and cut at a zero byte; "" when there is no more. */
char *fuzz_line(struct fuzz_input *input);
/* The same; NULL if it is "-". */
char *fuzz_optional(struct fuzz_input *input);
/* All that is left, cut at a zero byte. */
char *fuzz_text(struct fuzz_input *input);
/* All that is left, as it is and without a zero byte behind. */
char *fuzz_bytes(struct fuzz_input *input, size_t *ret_size);
/* The next line as a number; anything is one. */
int64_t fuzz_number(struct fuzz_input *input);
void fuzz_end(struct fuzz_input *input);

#endif

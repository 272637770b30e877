#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_piece {
    struct fuzz_piece *next;
    char *memory;
};

void fuzz_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

static char *keep(struct fuzz_input *input, const void *data, size_t size, bool text)
{
    struct fuzz_piece *piece = malloc(sizeof(*piece));
    char *memory = malloc(size + text > 0 ? size + text : 1);

    if (!piece || !memory)
        abort();
    if (size > 0)
        memcpy(memory, data, size);
    if (text)
        memory[size] = '\0';
    *piece = (struct fuzz_piece){input->pieces, memory};
    input->pieces = piece;
    return memory;
}

static size_t until_zero(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;

    return zero ? (size_t)(zero - data) : size;
}

char *fuzz_line(struct fuzz_input *input)
{
    const uint8_t *line = input->data;
    const uint8_t *end = input->size > 0 ? memchr(line, '\n', input->size) : NULL;
    size_t size = end ? (size_t)(end - line) : input->size;
    size_t taken = size + (end != NULL);

    input->data += taken;
    input->size -= taken;
    return keep(input, line, until_zero(line, size), true);
}

char *fuzz_optional(struct fuzz_input *input)
{
    char *line = fuzz_line(input);

    return strcmp(line, "-") == 0 ? NULL : line;
}

char *fuzz_text(struct fuzz_input *input)
{
    size_t size = until_zero(input->data, input->size);
    char *text = keep(input, input->data, size, true);

    input->size = 0;
    return text;
}

char *fuzz_bytes(struct fuzz_input *input, size_t *ret_size)
{
    *ret_size = input->size;
    input->size = 0;
    return keep(input, input->data, *ret_size, false);
}

int64_t fuzz_number(struct fuzz_input *input)
{
    return strtoll(fuzz_line(input), NULL, 10);
}

void fuzz_end(struct fuzz_input *input)
{
    while (input->pieces) {
        struct fuzz_piece *piece = input->pieces;

        input->pieces = piece->next;
        free(piece->memory);
        free(piece);
    }
}

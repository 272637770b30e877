/* Results that a service hands to outbox_emit_result(): it may be that of any statement.  Lines:
 * status, types and formats of two columns; then the rest, cut into values, the first byte of
 * each its size ("z" is null). */
#include "fuzz.h"

#include <libpq-fe.h>
#include <string.h>

#include <outbox/outbox.h>

static PGresult *make_result(struct fuzz_input *input)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, (ExecStatusType)((uint64_t)fuzz_number(input) % 12));
    char name[] = "column";
    PGresAttDesc columns[2] = {{.name = name}, {.name = name}};

    for (int i = 0; i < 2; i++) {
        columns[i].typid = (Oid)fuzz_number(input);
        columns[i].format = fuzz_number(input) != 0;
    }
    FUZZ_CHECK(result && PQsetResultAttrs(result, 2, columns));
    for (int at = 0; input->size > 0 && at < 8; at++) {
        bool null = input->data[0] == 'z';
        size_t size = null ? 0 : input->data[0] % 32;
        char value[32] = {0};

        input->data++;
        input->size--;
        size = size < input->size ? size : input->size;
        memcpy(value, input->data, size);
        FUZZ_CHECK(PQsetvalue(result, at / 2, at % 2, null ? NULL : value, null ? -1 : (int)size));
        input->data += size;
        input->size -= size;
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    PGresult *result = make_result(&input);
    char id[OUTBOX_ID_SIZE] = "untouched";
    outbox_error *err = NULL;
    int r = outbox_emit_result(result, id, &err);

    FUZZ_CHECK((r >= 0) == (err == NULL));
    if (r >= 0)
        FUZZ_CHECK((r == OUTBOX_OK || r == OUTBOX_ALREADY_EMITTED) && strlen(id) == 36 && PQntuples(result) == 1);
    else
        FUZZ_CHECK(strcmp(id, "untouched") == 0);
    outbox_error_free(err);
    PQclear(result);
    fuzz_end(&input);
    return 0;
}

/* What outboxctl is given: lists and secrets, and words after a command.  First line: a list;
 * second: a secret; then words, one on a line. */
#include "fuzz.h"

#include <string.h>

#include "cli/flags.h"
#include "cli/input.h"
#include "webhook/array.h"

#define WORDS_MAX 32

static const struct flag_spec own[] = {{"type", "TYPE", ""}, {"json", NULL, ""}, {NULL, NULL, NULL}};
static const struct flag_spec common[] = {{"dsn", "DSN", ""}, {"help", NULL, ""}, {NULL, NULL, NULL}};

/* One element opens and closes: whatever stands in it cannot end the array. */
static void check_array(const struct outbox__buf *array)
{
    bool quoted = false;

    FUZZ_CHECK(array->size >= 2 && array->data[0] == '{' && array->data[array->size - 1] == '}');
    for (size_t i = 1; i < array->size - 1; i++) {
        if (quoted && array->data[i] == '\\')
            i++;
        else if (array->data[i] == '"')
            quoted = !quoted;
        else
            FUZZ_CHECK(quoted || strchr("0123456789 us,", array->data[i]));
    }
    FUZZ_CHECK(!quoted);
}

static void try_lists(const char *list)
{
    struct outbox__buf buf = OUTBOX__BUF_INIT(100000);

    if (array_literal(list, &buf, NULL) == OUTBOX_OK)
        check_array(&buf);
    outbox__buf_clear(&buf);
    if (schedule_literal(list, &buf, NULL) == OUTBOX_OK)
        check_array(&buf);
    array_begin(&buf);
    array_text(&buf, list, strlen(list));
    array_end(&buf);
    check_array(&buf);
    outbox__buf_free(&buf);
}

static void try_secret(const char *text)
{
    unsigned char bytes[SECRET_MAX];
    outbox_error *err = NULL;
    size_t size = 0;

    if (secret_parse(text, bytes, &size, &err) == OUTBOX_OK)
        FUZZ_CHECK(size >= 24 && size <= SECRET_MAX);
    else
        FUZZ_CHECK(strlen(text) < 8 || !strstr(outbox_error_message(err), text));
    outbox_error_free(err);
}

static void try_words(char **words, int count, bool stop)
{
    struct arguments arguments = {NULL, 0};
    outbox_error *err = NULL;
    int taken = flags_parse(&arguments, count, words, own, common, stop, &err);
    int64_t number;

    FUZZ_CHECK((taken < 0) == (err != NULL) && taken <= count);
    FUZZ_CHECK(stop || taken < 0 || taken == count);
    FUZZ_CHECK(operand_count(&arguments) <= (size_t)count);
    if (flag_integer(&arguments, "type", 1, 9, 5, &number, NULL) == OUTBOX_OK)
        FUZZ_CHECK(number >= 1 && number <= 9);
    if (flag_duration(&arguments, "type", 1, 9, 5, &number, NULL) == OUTBOX_OK)
        FUZZ_CHECK(number >= 1 && number <= 9);
    outbox_error_free(err);
    flags_free(&arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    char *words[WORDS_MAX];
    int count = 0;

    try_lists(fuzz_line(&input));
    try_secret(fuzz_line(&input));
    while (input.size > 0 && count < WORDS_MAX)
        words[count++] = fuzz_line(&input);
    try_words(words, count, false);
    try_words(words, count, true);
    fuzz_end(&input);
    return 0;
}

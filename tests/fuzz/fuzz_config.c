/* The file of --config.  The input is its text. */
#include "fuzz.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/options.h"

#define SHORTEST 6 /* a shorter secret could be in it by chance */

static int file = -1;
static char flag[64];

static void write_file(const char *bytes, size_t size)
{
    if (file < 0) {
        file = memfd_create("config", MFD_CLOEXEC);
        FUZZ_CHECK(file >= 0 && fchmod(file, 0600) == 0);
        snprintf(flag, sizeof(flag), "--config=/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, bytes, size, 0) == (ssize_t)size);
}

static void check_dsn(const char *dsn, const char *shown, const char *file_text)
{
    PQconninfoOption *parsed = PQconninfoParse(dsn, NULL);

    for (const PQconninfoOption *option = parsed; option && option->keyword; option++) {
        /* In the file more than once it may be something else, too. */
        const char *found = option->val && strcmp(option->keyword, "password") == 0 &&
                                    strlen(option->val) >= SHORTEST
                                ? strstr(file_text, option->val)
                                : NULL;

        if (found && !strstr(found + 1, option->val))
            FUZZ_CHECK(!strstr(shown, option->val));
    }
    PQconninfoFree(parsed);
}

/* What --check prints has no secret. */
static void check_printed(const struct config *config, const char *file_text)
{
    const struct relay_config *relay = config_relay(config);
    char *shown = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&shown, &size);

    FUZZ_CHECK(out != NULL);
    config_print(config, out);
    fclose(out);
    check_dsn(relay->dsn, shown, file_text);
    for (size_t i = 0; i < relay->kafka_count; i++) {
        const char *value = relay->kafka[i].value;
        const char *found = strstr(file_text, value);

        if (kafka_secret(relay->kafka[i].name) && strlen(value) >= SHORTEST && found && !strstr(found + 1, value))
            FUZZ_CHECK(!strstr(shown, value));
    }
    free(shown);
}

static void check_options(const struct relay_config *relay)
{
    for (size_t i = 0; i < option_count; i++) {
        const void *field = (const char *)relay + options[i].offset;

        if (options[i].type == OPTION_INTEGER)
            FUZZ_CHECK(*(const int *)field >= options[i].low || *(const int *)field == -1);
        else if (options[i].type == OPTION_DURATION || options[i].type == OPTION_SIZE)
            FUZZ_CHECK(*(const int64_t *)field >= options[i].low && *(const int64_t *)field <= options[i].high);
    }
    FUZZ_CHECK(relay->lease_renew <= relay->lease / 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = FUZZ_INPUT(data, size);
    char program[] = "outbox-relay";
    char *arguments[] = {program, flag, NULL};
    char *environment[] = {NULL};
    outbox_error *err = NULL;
    struct config *config;

    write_file((const char *)data, size);
    config = config_load(2, arguments, environment, &err);
    FUZZ_CHECK((config != NULL) == (err == NULL));
    if (config) {
        struct config_changes changes = CONFIG_CHANGES_INIT;
        struct config *again = config_reload(config, 2, arguments, environment, &changes, &err);

        check_options(config_relay(config));
        check_printed(config, fuzz_text(&input));
        FUZZ_CHECK(again && changes.applied.size == 0 && changes.restart.size == 0);
        config_changes_clear(&changes);
        config_free(again);
    }
    config_free(config);
    outbox_error_free(err);
    fuzz_end(&input);
    return 0;
}

/* Runs a target on its seeds, tests/fuzz/seeds/TARGET, without libFuzzer: what was once a
 * crash stays mended.  Each seed is also cut off after each of its bytes.  Given files, it
 * runs those instead. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_MAX 65536
#define BEGINNINGS_MAX 2000

static int points;

static bool run_file(const char *path)
{
    static uint8_t seed[SEED_MAX];
    FILE *file = fopen(path, "rb");
    size_t size;
    bool failed;

    if (!file) {
        printf("not ok %d - %s cannot be read: %s\n", ++points, path, strerror(errno));
        return false;
    }
    size = fread(seed, 1, sizeof(seed), file);
    failed = ferror(file) != 0;
    fclose(file);
    /* What is told before a crash tells which seed it was. */
    printf("# %s\n", path);
    fflush(stdout);
    for (size_t part = 0; part < size && part < BEGINNINGS_MAX; part++)
        LLVMFuzzerTestOneInput(seed, part);
    LLVMFuzzerTestOneInput(seed, size);
    printf("%sok %d - %s\n", failed ? "not " : "", ++points, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    return !failed;
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool run_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_seed, alphasort);
    bool good = count > 0;

    for (int i = 0; i < count; i++) {
        char path[4096 + 256];

        snprintf(path, sizeof(path), "%.4000s/%.250s", folder, entries[i]->d_name);
        good = run_file(path) && good;
        free(entries[i]);
    }
    free(entries);
    if (count <= 0)
        printf("not ok %d - there are no seeds in %s\n", ++points, folder);
    return good;
}

int main(int argc, char **argv)
{
    const char *source = getenv("OUTBOX_SRC");
    const char *name = strstr(program_invocation_short_name, "fuzz_");
    char folder[4096];
    bool good = true;

    for (int i = 1; i < argc; i++)
        good = run_file(argv[i]) && good;
    if (argc <= 1) {
        if (!source || !name) {
            fprintf(stderr, "OUTBOX_SRC must be set, and the program be named fuzz_TARGET\n");
            return 2;
        }
        snprintf(folder, sizeof(folder), "%s/tests/fuzz/seeds/%s", source, name + strlen("fuzz_"));
        good = run_folder(folder);
    }
    printf("1..%d\n", points);
    return good ? 0 : 1;
}

/* emit_test DSN...: the library's emitting calls on real servers, in databases that were just
 * migrated; the DSNs are superusers'.  Started by emit_c.sh.
 * emit_test --pooled POOLED DIRECT: the same through a pooler in transaction mode, DIRECT beside
 * it.  Started by emit_pgbouncer.sh.
 * Prints TAP. */
#include "emit_support.h"

#include <stdio.h>
#include <string.h>

static void test_server(const char *dsn)
{
    choose_server(dsn);
    test_fields();
    test_limits();
    test_array();
    test_traffic();
    test_states();
    test_pipeline();
    test_rights();
    test_once();
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--pooled") == 0) {
        choose_server(argv[2]);
        test_pooled(argv[3]);
        return finish_tests();
    }
    if (argc < 2 || argv[1][0] == '-') {
        fputs("usage: emit_test DSN... | --pooled POOLED DIRECT\n", stderr);
        return 2;
    }
    for (int i = 1; i < argc; i++)
        test_server(argv[i]);
    return finish_tests();
}

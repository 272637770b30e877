/* emit_test DSN...: the library's emitting calls on real servers, in databases that were just
 * migrated; the DSNs are superusers'.  Prints TAP.  Started by emit_c.sh. */
#include "emit_support.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: emit_test DSN...\n", stderr);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        choose_server(argv[i]);
        test_fields();
        test_limits();
        test_array();
        test_traffic();
        test_states();
        test_pipeline();
        test_rights();
        test_once();
    }
    return finish_tests();
}

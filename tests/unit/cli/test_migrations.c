#include "cli/migrations.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "../cmocka_all.h"

/* The text that is run is the file whose checksum is recorded, byte for byte. */
static void the_embedded_text_has_the_checksum(void **state)
{
    (void)state;
    for (int i = 0; i < migration_count; i++) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        char text[65];
        unsigned int size = 0;

        assert_int_equal(
            EVP_Digest(migrations[i].sql, strlen(migrations[i].sql), digest, &size, EVP_sha256(), NULL), 1);
        assert_int_equal(size, 32);
        for (unsigned int byte = 0; byte < size; byte++)
            snprintf(text + byte * 2, 3, "%02x", digest[byte]);
        assert_string_equal(text, migrations[i].checksum);
    }
}

static void versions_have_no_gap(void **state)
{
    (void)state;
    assert_true(migration_count >= 7);
    for (int i = 0; i < migration_count; i++) {
        assert_int_equal(migrations[i].version, i + 1);
        assert_true(strlen(migrations[i].name) > 0);
    }
}

/* Each is one transaction, which only the runner ends. */
static void none_ends_its_transaction(void **state)
{
    static const char *const statements[] = {"\nBEGIN;", "\nCOMMIT", "\nROLLBACK", "\nSTART TRANSACTION",
                                             "\n\\"};

    (void)state;
    for (int i = 0; i < migration_count; i++) {
        for (size_t s = 0; s < sizeof(statements) / sizeof(statements[0]); s++)
            assert_null(strstr(migrations[i].sql, statements[s]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_embedded_text_has_the_checksum),
        cmocka_unit_test(versions_have_no_gap),
        cmocka_unit_test(none_ends_its_transaction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

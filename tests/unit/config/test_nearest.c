#include "config/nearest.h"

#include "../cmocka_all.h"

static void distances(void **state)
{
    char long_name[65];

    (void)state;
    assert_int_equal(name_distance("", ""), 0);
    assert_int_equal(name_distance("lease", "lease"), 0);
    assert_int_equal(name_distance("lease", ""), 5);
    assert_int_equal(name_distance("leese", "lease"), 1);
    assert_int_equal(name_distance("leas", "lease"), 1);
    assert_int_equal(name_distance("leasee", "lease"), 1);
    assert_int_equal(name_distance("laese", "lease"), 1); /* neighbours swapped */
    assert_int_equal(name_distance("kitten", "sitting"), 3);
    for (size_t i = 0; i < 64; i++)
        long_name[i] = 'x';
    long_name[64] = '\0';
    assert_true(name_distance(long_name, long_name) == SIZE_MAX);
}

static const char *nearest_of(const char *wanted)
{
    struct nearest nearest = NEAREST_INIT(wanted);

    nearest_try(&nearest, "lease_renew");
    nearest_try(&nearest, "lease");
    nearest_try(&nearest, "name");
    nearest_try(&nearest, "webhooks");
    return nearest.name;
}

static void the_nearest_is_found(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("leese"), "lease");
    assert_string_equal(nearest_of("lease_renw"), "lease_renew");
    assert_string_equal(nearest_of("webhook"), "webhooks");
    assert_string_equal(nearest_of("nam"), "name");
}

static void another_word_has_no_nearest(void **state)
{
    (void)state;
    assert_null(nearest_of("build"));
    assert_null(nearest_of("na"));
    assert_null(nearest_of("x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(the_nearest_is_found),
        cmocka_unit_test(another_word_has_no_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

cli_test_cflags = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(JANSSON_CFLAGS)
cli_test_libs = libcli.la libconfig.la libruntime.la libbase.la \
    $(LIBPQ_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += \
    %D%/test_flags %D%/test_input %D%/test_migrations %D%/test_output
TESTS += \
    %D%/test_flags %D%/test_input %D%/test_migrations %D%/test_output

%C%_test_flags_LDADD = $(cli_test_libs)
%C%_test_input_LDADD = $(cli_test_libs)
%C%_test_migrations_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
%C%_test_migrations_LDADD = $(cli_test_libs)
%C%_test_output_CFLAGS = $(cli_test_cflags)
%C%_test_output_LDADD = $(cli_test_libs)

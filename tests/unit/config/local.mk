config_test_libs = libconfig.la libruntime.la libbase.la $(INIH_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += \
    %D%/test_config %D%/test_nearest %D%/test_redact %D%/test_reload %D%/test_value
TESTS += \
    %D%/test_config %D%/test_nearest %D%/test_redact %D%/test_reload %D%/test_value

%C%_test_config_LDADD = $(config_test_libs)
%C%_test_nearest_LDADD = $(config_test_libs)
%C%_test_redact_LDADD = $(config_test_libs)
%C%_test_reload_LDADD = $(config_test_libs)
%C%_test_value_LDADD = $(config_test_libs)

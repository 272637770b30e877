admin_tests = %D%/test_exposition %D%/test_health
check_PROGRAMS += $(admin_tests)
TESTS += $(admin_tests)
admin_test_libs = libadmin.la libsink.la libcore.la libruntime.la libbase.la $(MICROHTTPD_LIBS) $(RDKAFKA_LIBS) \
    $(CRYPTO_LIBS) $(CMOCKA_LIBS) -lpthread
%C%_test_exposition_LDADD = $(admin_test_libs)
%C%_test_health_LDADD = $(admin_test_libs)

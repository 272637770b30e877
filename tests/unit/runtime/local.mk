runtime_tests = %D%/test_metrics %D%/test_notify %D%/test_repeat %D%/test_sockaddr
check_PROGRAMS += $(runtime_tests)
TESTS += $(runtime_tests)
runtime_test_libs = libsink.la libcore.la libruntime.la libbase.la $(RDKAFKA_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS) -lpthread
%C%_test_metrics_LDADD = $(runtime_test_libs)
%C%_test_notify_LDADD = $(runtime_test_libs)
%C%_test_sockaddr_LDADD = $(runtime_test_libs)
%C%_test_repeat_LDADD = $(runtime_test_libs)

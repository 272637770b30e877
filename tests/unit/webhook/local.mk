webhook_tests = \
    %D%/test_address \
    %D%/test_array \
    %D%/test_endpoint \
    %D%/test_headers \
    %D%/test_retry_after \
    %D%/test_slots \
    %D%/test_task \
    %D%/test_url
check_PROGRAMS += $(webhook_tests)
TESTS += $(webhook_tests)
webhook_test_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(CURL_CFLAGS) $(LIBPQ_CFLAGS)
webhook_test_libs = libwebhook.la libcore.la libpgconn.la libruntime.la libbase.la \
    $(CMOCKA_LIBS) $(CURL_LIBS) $(LIBPQ_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lpthread
%C%_test_address_CFLAGS = $(webhook_test_cflags)
%C%_test_address_LDADD = $(webhook_test_libs)
%C%_test_array_CFLAGS = $(webhook_test_cflags)
%C%_test_array_LDADD = $(webhook_test_libs)
%C%_test_endpoint_CFLAGS = $(webhook_test_cflags)
%C%_test_endpoint_LDADD = $(webhook_test_libs)
%C%_test_headers_CFLAGS = $(webhook_test_cflags)
%C%_test_headers_LDADD = $(webhook_test_libs)
%C%_test_retry_after_CFLAGS = $(webhook_test_cflags)
%C%_test_retry_after_LDADD = $(webhook_test_libs)
%C%_test_slots_CFLAGS = $(webhook_test_cflags)
%C%_test_slots_LDADD = $(webhook_test_libs)
%C%_test_task_CFLAGS = $(webhook_test_cflags)
%C%_test_task_LDADD = $(webhook_test_libs)
%C%_test_url_CFLAGS = $(webhook_test_cflags)
%C%_test_url_LDADD = $(webhook_test_libs)

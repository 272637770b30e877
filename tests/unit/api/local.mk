api_test_libs = libapi.la libevent.la libbase.la $(CMOCKA_LIBS) $(LIBPQ_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)
fake_libpq_sources = %D%/fake_libpq.c %D%/fake_libpq.h
fake_libpq_ldflags = -Wl,--wrap=PQstatus,--wrap=PQtransactionStatus,--wrap=PQpipelineStatus \
    -Wl,--wrap=PQparameterStatus,--wrap=PQerrorMessage,--wrap=PQexecParams,--wrap=PQsendQueryParams \
    -Wl,--wrap=PQprepare,--wrap=PQexecPrepared,--wrap=PQsendQueryPrepared \
    -Wl,--wrap=PQinstanceData,--wrap=PQsetInstanceData,--wrap=PQregisterEventProc

check_PROGRAMS += %D%/test_emit_checks %D%/test_failing_calls %D%/test_inbox
TESTS += %D%/test_emit_checks %D%/test_failing_calls %D%/test_inbox

%C%_test_emit_checks_SOURCES = %D%/test_emit_checks.c $(fake_libpq_sources)
%C%_test_emit_checks_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_test_emit_checks_LDFLAGS = $(AM_LDFLAGS) $(fake_libpq_ldflags)
%C%_test_emit_checks_LDADD = $(api_test_libs)
%C%_test_inbox_SOURCES = %D%/test_inbox.c $(fake_libpq_sources)
%C%_test_inbox_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_test_inbox_LDFLAGS = $(AM_LDFLAGS) $(fake_libpq_ldflags)
%C%_test_inbox_LDADD = $(api_test_libs)
%C%_test_failing_calls_SOURCES = %D%/test_failing_calls.c $(fake_libpq_sources) $(failing_alloc_sources)
%C%_test_failing_calls_CPPFLAGS = $(AM_CPPFLAGS) $(failing_alloc_cppflags)
%C%_test_failing_calls_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_test_failing_calls_LDFLAGS = $(AM_LDFLAGS) $(fake_libpq_ldflags) $(failing_alloc_ldflags)
%C%_test_failing_calls_LDADD = $(api_test_libs)


check_PROGRAMS += %D%/test_webhook_verify
TESTS += %D%/test_webhook_verify
%C%_test_webhook_verify_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_webhook_verify_LDADD = libapi.la libevent.la libbase.la \
    $(CMOCKA_LIBS) $(LIBPQ_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)

# tests of this folder's namesake

check_PROGRAMS += %D%/test_webhook_verify
TESTS += %D%/test_webhook_verify
%C%_test_webhook_verify_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_webhook_verify_LDADD = libapi.la libevent.la libbase.la \
    $(CMOCKA_LIBS) $(LIBPQ_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)

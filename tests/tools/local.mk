# tests of this folder's namesake

# A dispatcher alone, for tests/integration/webhook_dispatch.
noinst_PROGRAMS += %D%/dispatch-driver
tests_tools_dispatch_driver_SOURCES = %D%/dispatch-driver.c
tests_tools_dispatch_driver_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(CURL_CFLAGS) -pthread
tests_tools_dispatch_driver_LDADD = libwebhook.la libcore.la libpgconn.la libruntime.la libbase.la \
    $(CURL_LIBS) $(LIBPQ_LIBS) $(CRYPTO_LIBS) -lpthread

noinst_LTLIBRARIES += libwebhook.la
libwebhook_la_SOURCES = \
    %D%/address.c %D%/address.h \
    %D%/array.c %D%/array.h \
    %D%/dispatcher.c %D%/dispatcher.h \
    %D%/endpoint.c %D%/endpoint.h \
    %D%/headers.c %D%/headers.h \
    %D%/http.c %D%/http.h \
    %D%/link.c %D%/link.h \
    %D%/probe.c %D%/probe.h \
    %D%/recorder.c %D%/recorder.h \
    %D%/retry_after.c %D%/retry_after.h \
    %D%/sender.c %D%/sender.h \
    %D%/slots.c %D%/slots.h \
    %D%/store.c %D%/store.h \
    %D%/task.c %D%/task.h \
    %D%/trouble.c %D%/trouble.h \
    %D%/url.c %D%/url.h
libwebhook_la_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS) $(LIBPQ_CFLAGS) -pthread

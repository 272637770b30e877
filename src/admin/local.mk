noinst_LTLIBRARIES += libadmin.la
libadmin_la_SOURCES = \
    %D%/exposition.c %D%/exposition.h \
    %D%/health.c %D%/health.h \
    %D%/listen.c %D%/listen.h \
    %D%/server.c %D%/server.h
libadmin_la_CFLAGS = $(AM_CFLAGS) $(MICROHTTPD_CFLAGS)

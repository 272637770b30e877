noinst_LTLIBRARIES += libpgconn.la
libpgconn_la_SOURCES = \
    %D%/args.c %D%/args.h \
    %D%/conn.c %D%/conn.h \
    %D%/secure.c %D%/secure.h
libpgconn_la_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(SSL_CFLAGS)

noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
    %D%/base64.c %D%/base64.h \
    %D%/buf.c %D%/buf.h \
    %D%/error.c %D%/error.h \
    %D%/signature.c %D%/signature.h \
    %D%/utf8.c %D%/utf8.h \
    %D%/uuid.c %D%/uuid.h
libbase_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)

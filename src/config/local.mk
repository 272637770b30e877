noinst_LTLIBRARIES += libconfig.la
libconfig_la_SOURCES = \
    %D%/config.c %D%/config.h \
    %D%/file.c %D%/file.h \
    %D%/nearest.c %D%/nearest.h \
    %D%/options.c %D%/options.h \
    %D%/print.c \
    %D%/redact.c %D%/redact.h \
    %D%/reload.c \
    %D%/state.h \
    %D%/value.c %D%/value.h
libconfig_la_CFLAGS = $(AM_CFLAGS) $(INIH_CFLAGS)

noinst_LTLIBRARIES += libevent.la
libevent_la_SOURCES = \
    %D%/check.c \
    %D%/event.c %D%/event.h \
    %D%/wire.c %D%/wire.h
libevent_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)

noinst_LTLIBRARIES += libruntime.la
libruntime_la_SOURCES = \
    %D%/clock.c %D%/clock.h \
    %D%/die.c %D%/die.h \
    %D%/fault.c %D%/fault.h \
    %D%/log.c %D%/log.h \
    %D%/loopback.c %D%/loopback.h \
    %D%/mailbox.c %D%/mailbox.h \
    %D%/metrics.c %D%/metrics.h \
    %D%/notify.c %D%/notify.h \
    %D%/repeat.c %D%/repeat.h \
    %D%/sockaddr.c %D%/sockaddr.h \
    %D%/wakeup.c %D%/wakeup.h \
    %D%/watchdog.c %D%/watchdog.h
libruntime_la_CFLAGS = $(AM_CFLAGS) -pthread

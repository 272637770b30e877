noinst_LTLIBRARIES += libsource.la
libsource_la_SOURCES = \
    %D%/acknowledge.c %D%/acknowledge.h \
    %D%/check_in.c %D%/check_in.h \
    %D%/lease.c %D%/lease.h \
    %D%/maintain.c %D%/maintain.h \
    %D%/outlook.c %D%/outlook.h \
    %D%/page.c %D%/page.h \
    %D%/parking.c %D%/parking.h \
    %D%/reader.c %D%/reader.h \
    %D%/routes.c %D%/routes.h \
    %D%/tick.c %D%/tick.h \
    %D%/tick_memory.c %D%/tick_memory.h
libsource_la_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)

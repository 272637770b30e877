# The inbox on a real server, by what a service links: the shared library.
check_PROGRAMS += %D%/inbox_test
%C%_inbox_test_SOURCES = \
    %D%/emit_support.c %D%/emit_support.h \
    %D%/inbox_storm.c %D%/inbox_storm.h \
    %D%/inbox_test.c
%C%_inbox_test_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_inbox_test_LDADD = liboutbox.la $(LIBPQ_LIBS) -lpthread
dist_noinst_SCRIPTS += %D%/inbox.sh

# The tests of emitting on a real server link what a service links: the shared library.
check_PROGRAMS += %D%/emit_test
%C%_emit_test_SOURCES = \
    %D%/emit_calls.c \
    %D%/emit_fields.c \
    %D%/emit_once.c \
    %D%/emit_pooled.c \
    %D%/emit_support.c %D%/emit_support.h \
    %D%/emit_test.c
%C%_emit_test_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_emit_test_LDADD = liboutbox.la $(LIBPQ_LIBS)
dist_noinst_SCRIPTS += %D%/emit_c.sh %D%/emit_pgbouncer.sh %D%/publisher.sh

noinst_PROGRAMS += %D%/consumer
%C%_consumer_SOURCES = %D%/consumer.c
# The public headers only, none of src/.
%C%_consumer_CPPFLAGS = -I$(top_srcdir)/include -I$(top_builddir)/include
%C%_consumer_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) -pthread
%C%_consumer_LDADD = liboutbox-consumer.la liboutbox.la $(LIBPQ_LIBS) -lpthread
dist_noinst_DATA += %D%/README.md

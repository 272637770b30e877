noinst_PROGRAMS += %D%/receiver
%C%_receiver_SOURCES = %D%/inbox.c %D%/inbox.h %D%/receiver.c
# The public headers only, none of src/.
%C%_receiver_CPPFLAGS = -I$(top_srcdir)/include -I$(top_builddir)/include
%C%_receiver_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(MICROHTTPD_CFLAGS)
%C%_receiver_LDADD = liboutbox.la $(LIBPQ_LIBS) $(MICROHTTPD_LIBS)
dist_noinst_DATA += %D%/README.md

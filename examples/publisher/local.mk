noinst_PROGRAMS += %D%/publisher
%C%_publisher_SOURCES = %D%/load.c %D%/publisher.c %D%/shop.c %D%/shop.h
# The public headers only, none of src/.
%C%_publisher_CPPFLAGS = -I$(top_srcdir)/include -I$(top_builddir)/include
%C%_publisher_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_publisher_LDADD = liboutbox.la $(LIBPQ_LIBS)
dist_noinst_DATA += %D%/README.md

noinst_PROGRAMS += %D%/enrichment
%C%_enrichment_SOURCES = %D%/catalog.c %D%/catalog.h %D%/enrich.c %D%/enrich.h %D%/enrichment.c
# The public headers only, none of src/.
%C%_enrichment_CPPFLAGS = -I$(top_srcdir)/include -I$(top_builddir)/include
%C%_enrichment_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) -pthread
%C%_enrichment_LDADD = liboutbox-consumer.la liboutbox.la $(LIBPQ_LIBS) -lpthread
dist_noinst_DATA += %D%/README.md

noinst_PROGRAMS += %D%/analytics
%C%_analytics_SOURCES = %D%/analytics.c %D%/count.c %D%/count.h %D%/judge.c %D%/judge.h %D%/robust.c %D%/robust.h
# The public headers only, none of src/.
%C%_analytics_CPPFLAGS = -I$(top_srcdir)/include -I$(top_builddir)/include
%C%_analytics_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) -pthread
%C%_analytics_LDADD = liboutbox-consumer.la liboutbox.la $(LIBPQ_LIBS) -lpthread -lm
dist_noinst_DATA += %D%/README.md %D%/train.py

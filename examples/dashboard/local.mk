noinst_PROGRAMS += %D%/dashboard
%C%_dashboard_SOURCES = %D%/feed.c %D%/feed.h %D%/main.c %D%/page.c %D%/page.h %D%/stream.c %D%/stream.h
# The public headers only, none of src/.
%C%_dashboard_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(MICROHTTPD_CFLAGS) $(CRYPTO_CFLAGS) -pthread
%C%_dashboard_LDADD = $(LIBPQ_LIBS) $(MICROHTTPD_LIBS) $(CRYPTO_LIBS) -lpthread
dist_noinst_DATA += %D%/README.md %D%/dashboard.html

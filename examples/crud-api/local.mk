noinst_PROGRAMS += %D%/crud-api
%C%_crud_api_SOURCES = %D%/answer.c %D%/answer.h %D%/http.c %D%/http.h %D%/main.c %D%/pool.c %D%/pool.h \
    %D%/user.c %D%/user.h %D%/users.c %D%/users.h
# The public headers only, none of src/.
%C%_crud_api_CPPFLAGS = -I$(top_srcdir)/include -I$(top_builddir)/include
%C%_crud_api_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(MICROHTTPD_CFLAGS) $(JANSSON_CFLAGS) -pthread
%C%_crud_api_LDADD = liboutbox.la $(LIBPQ_LIBS) $(MICROHTTPD_LIBS) $(JANSSON_LIBS) -lpthread
dist_noinst_DATA += %D%/README.md

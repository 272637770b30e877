noinst_LTLIBRARIES += libapi.la
libapi_la_SOURCES = \
    %D%/connection.c %D%/connection.h \
    %D%/emit.c \
    %D%/emit_array.c \
    %D%/inbox.c \
    %D%/prepared.c %D%/prepared.h \
    %D%/statement.c %D%/statement.h \
    %D%/version.c \
    %D%/webhook_verify.c
libapi_la_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(CRYPTO_CFLAGS)

# What a service links: the library and nothing of the relay.
lib_LTLIBRARIES += liboutbox.la
liboutbox_la_SOURCES =
liboutbox_la_LIBADD = libapi.la libevent.la libbase.la $(LIBPQ_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)
liboutbox_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info $(OUTBOX_LT_VERSION)
EXTRA_DIST += %D%/liboutbox.map
if HAVE_VERSION_SCRIPT
liboutbox_la_LDFLAGS += -Wl,--version-script,$(srcdir)/%D%/liboutbox.map
EXTRA_liboutbox_la_DEPENDENCIES = %D%/liboutbox.map
else
liboutbox_la_LDFLAGS += -export-symbols-regex '^outbox_[a-z]'
endif

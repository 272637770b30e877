# The consumer library: beside liboutbox, since it needs librdkafka.  Shared, if shared libraries are built at
# all, as the names inside are not all its own; of other parts it takes the files that it needs, and none that logs.
noinst_LTLIBRARIES += libconsumer.la
libconsumer_la_SOURCES = \
    %D%/consumer.c \
    %D%/dead_letter.c %D%/dead_letter.h \
    %D%/group.c \
    %D%/handle.c \
    %D%/keyset.c %D%/keyset.h \
    %D%/options.c %D%/options.h \
    %D%/partition.c \
    %D%/plan.c %D%/plan.h \
    %D%/position.c %D%/position.h \
    %D%/record.c %D%/record.h \
    %D%/start.c %D%/start.h \
    %D%/state.h \
    %D%/work.c \
    %D%/worker.c \
    src/runtime/clock.c \
    src/runtime/loopback.c \
    src/sink/client.c \
    src/sink/plain.c \
    src/sink/secrets.c
libconsumer_la_CFLAGS = $(AM_CFLAGS) -pthread $(LIBPQ_CFLAGS) $(RDKAFKA_CFLAGS) $(JANSSON_CFLAGS)

consumer_libs = $(RDKAFKA_LIBS) $(LIBPQ_LIBS) $(JANSSON_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lpthread
lib_LTLIBRARIES += liboutbox-consumer.la
liboutbox_consumer_la_SOURCES =
liboutbox_consumer_la_LIBADD = libconsumer.la libpgconn.la libbase.la $(consumer_libs)
liboutbox_consumer_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info $(OUTBOX_LT_VERSION)
if BUILD_SHARED
liboutbox_consumer_la_LDFLAGS += -shared
endif
if HAVE_VERSION_SCRIPT
liboutbox_consumer_la_LDFLAGS += -Wl,--version-script,$(srcdir)/%D%/liboutbox-consumer.map
EXTRA_liboutbox_consumer_la_DEPENDENCIES = %D%/liboutbox-consumer.map
else
liboutbox_consumer_la_LDFLAGS += -export-symbols-regex '^outbox_(consumer|record)_[a-z]'
endif
outboxinclude_HEADERS += include/outbox/consumer.h
pkgconfig_DATA += outbox-consumer.pc

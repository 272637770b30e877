bin_PROGRAMS += outbox-relay
outbox_relay_SOURCES = \
    %D%/admin.c %D%/admin.h \
    %D%/executor.c %D%/executor.h \
    %D%/follower.c %D%/follower.h \
    %D%/lane_db.c %D%/lane_db.h \
    %D%/lane_kafka.c %D%/lane_kafka.h \
    %D%/lane_runner.c %D%/lane_runner.h \
    %D%/lanes.c %D%/lanes.h \
    %D%/main.c \
    %D%/maintenance.c %D%/maintenance.h \
    %D%/message.h \
    %D%/parking.c %D%/parking.h \
    %D%/precheck.c %D%/precheck.h \
    %D%/records.c %D%/records.h \
    %D%/relay.c %D%/relay.h \
    %D%/reload.c %D%/reload.h \
    %D%/roster.c %D%/roster.h \
    %D%/settings.c %D%/settings.h \
    %D%/signals.c %D%/signals.h \
    %D%/supervisor.c %D%/supervisor.h \
    %D%/tick_thread.c %D%/tick_thread.h \
    %D%/upkeep.c %D%/upkeep.h \
    %D%/vitals.c %D%/vitals.h \
    %D%/watch.c %D%/watch.h
outbox_relay_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(RDKAFKA_CFLAGS) $(CURL_CFLAGS) $(JANSSON_CFLAGS) -pthread
outbox_relay_LDADD = libadmin.la libwebhook.la libsink.la libsource.la libcore.la libconfig.la libpgconn.la libruntime.la \
    libbase.la $(RDKAFKA_LIBS) $(CURL_LIBS) $(LIBPQ_LIBS) $(JANSSON_LIBS) $(INIH_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) \
    $(MICROHTTPD_LIBS) -lpthread

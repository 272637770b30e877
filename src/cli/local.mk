bin_PROGRAMS += outboxctl
noinst_LTLIBRARIES += libcli.la
libcli_la_SOURCES = \
    %D%/flags.c %D%/flags.h \
    %D%/input.c %D%/input.h \
    %D%/migrations.h \
    %D%/output.c %D%/output.h
nodist_libcli_la_SOURCES = %D%/migrations.c
libcli_la_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(JANSSON_CFLAGS)

outboxctl_SOURCES = \
    %D%/cli.h \
    %D%/cmd_delivery.c \
    %D%/cmd_delivery_change.c \
    %D%/cmd_doctor.c \
    %D%/cmd_emit.c \
    %D%/cmd_endpoint.c \
    %D%/cmd_endpoint_switch.c \
    %D%/cmd_endpoint_test.c \
    %D%/cmd_lane.c \
    %D%/cmd_lane_change.c \
    %D%/cmd_migrate.c \
    %D%/cmd_parked.c \
    %D%/cmd_place.c \
    %D%/cmd_rebase.c \
    %D%/cmd_route.c \
    %D%/cmd_status.c \
    %D%/cmd_tail.c \
    %D%/doctor.c %D%/doctor.h \
    %D%/doctor_database.c \
    %D%/doctor_kafka.c \
    %D%/doctor_schema.c \
    %D%/find.c %D%/find.h \
    %D%/help.c %D%/help.h \
    %D%/lanes.c %D%/lanes.h \
    %D%/main.c \
    %D%/markers.c %D%/markers.h \
    %D%/place.c %D%/place.h \
    %D%/relay_config.c %D%/relay_config.h
outboxctl_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(JANSSON_CFLAGS)
outboxctl_LDADD = libcli.la libwebhook.la libsink.la libcore.la libconfig.la libpgconn.la libruntime.la \
    libbase.la $(RDKAFKA_LIBS) $(CURL_LIBS) $(LIBPQ_LIBS) $(JANSSON_LIBS) $(INIH_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lpthread

CLEANFILES += %D%/migrations.c
%D%/migrations.c: $(outbox_sql_first) $(outbox_migrations) sql/embed.sh
	$(AM_V_GEN)$(MKDIR_P) %D% && rm -f $@ && \
	($(outbox_embed) c $(outbox_sql_first) $(outbox_migrations)) >$@.tmp && mv $@.tmp $@

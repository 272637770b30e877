# What tests and ./quickstart look at Kafka with.
noinst_PROGRAMS += %D%/topic-dump %D%/mock-broker
tests_tools_topic_dump_SOURCES = %D%/topic-dump.c
tests_tools_topic_dump_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS) $(JANSSON_CFLAGS)
tests_tools_topic_dump_LDADD = libruntime.la $(RDKAFKA_LIBS) $(JANSSON_LIBS)
tests_tools_mock_broker_SOURCES = %D%/mock-broker.c
tests_tools_mock_broker_CFLAGS = $(AM_CFLAGS) -pthread $(RDKAFKA_CFLAGS)
tests_tools_mock_broker_LDADD = $(RDKAFKA_LIBS)

if HAVE_CMOCKA
noinst_PROGRAMS += tests/integration/sink-broker
tests_integration_sink_broker_SOURCES = tests/integration/sink_broker.c \
    tests/integration/sink_world.c tests/integration/sink_world.h
tests_integration_sink_broker_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
tests_integration_sink_broker_LDADD = libsink.la libcore.la libruntime.la libbase.la \
    $(RDKAFKA_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)
endif

noinst_PROGRAMS += tests/integration/sink-late-end
tests_integration_sink_late_end_SOURCES = tests/integration/sink_late_end.c
tests_integration_sink_late_end_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
tests_integration_sink_late_end_LDADD = libsink.la libcore.la libruntime.la libbase.la \
    $(RDKAFKA_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)


# A dispatcher alone, for tests/integration/webhook_dispatch.
noinst_PROGRAMS += %D%/dispatch-driver
tests_tools_dispatch_driver_SOURCES = %D%/dispatch-driver.c
tests_tools_dispatch_driver_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(CURL_CFLAGS) -pthread
tests_tools_dispatch_driver_LDADD = libwebhook.la libcore.la libpgconn.la libruntime.la libbase.la \
    $(CURL_LIBS) $(LIBPQ_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lpthread
EXTRA_DIST += %D%/failing_calls.c %D%/failing_calls.h %D%/slow-resolver.c %D%/scripted_receiver.py %D%/phase_receiver.py
dist_noinst_SCRIPTS += tests/integration/webhook_dispatch tests/integration/webhook_policies tests/integration/webhook_receiver

# A program on <outbox/consumer.h>, and what fills topics for it.
noinst_PROGRAMS += %D%/topic-fill
tests_tools_topic_fill_SOURCES = %D%/topic-fill.c
tests_tools_topic_fill_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS) $(JANSSON_CFLAGS)
tests_tools_topic_fill_LDADD = $(RDKAFKA_LIBS) $(JANSSON_LIBS)
noinst_PROGRAMS += %D%/consumer-driver
tests_tools_consumer_driver_SOURCES = %D%/consumer-driver.c
tests_tools_consumer_driver_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) -pthread
tests_tools_consumer_driver_LDADD = liboutbox-consumer.la liboutbox.la $(LIBPQ_LIBS) -lpthread

# Those with the mock cluster wait most of their time: in several programs they do it side by side.
sink_tests = %D%/test_kafka %D%/test_marker %D%/test_pipeline %D%/test_pipeline_failures %D%/test_producer \
    %D%/test_producer_life %D%/test_progress %D%/test_settle %D%/test_taint %D%/test_timestamp
check_PROGRAMS += $(sink_tests)
TESTS += $(sink_tests)
sink_test_cflags = $(AM_CFLAGS) $(RDKAFKA_CFLAGS) $(JANSSON_CFLAGS) $(CMOCKA_CFLAGS)
sink_test_libs = libsink.la libcore.la libruntime.la libbase.la \
    $(RDKAFKA_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(CMOCKA_LIBS)
tests_unit_sink_test_kafka_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_kafka_LDADD = $(sink_test_libs)
tests_unit_sink_test_marker_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_marker_LDADD = $(sink_test_libs)
# the mock cluster
tests_unit_sink_test_pipeline_SOURCES = %D%/test_pipeline.c %D%/mock_pipeline.h %D%/mock_cluster.h
tests_unit_sink_test_pipeline_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_pipeline_LDADD = $(sink_test_libs)
tests_unit_sink_test_pipeline_failures_SOURCES = %D%/test_pipeline_failures.c %D%/mock_pipeline.h %D%/mock_cluster.h
tests_unit_sink_test_pipeline_failures_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_pipeline_failures_LDADD = $(sink_test_libs)
tests_unit_sink_test_producer_SOURCES = %D%/test_producer.c %D%/mock_producer.h %D%/mock_cluster.h
tests_unit_sink_test_producer_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_producer_LDADD = $(sink_test_libs)
tests_unit_sink_test_producer_life_SOURCES = %D%/test_producer_life.c %D%/mock_producer.h %D%/mock_cluster.h
tests_unit_sink_test_producer_life_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_producer_life_LDADD = $(sink_test_libs)
tests_unit_sink_test_progress_SOURCES = %D%/test_progress.c %D%/mock_producer.h %D%/mock_cluster.h
tests_unit_sink_test_progress_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_progress_LDADD = $(sink_test_libs)
tests_unit_sink_test_taint_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_taint_LDADD = $(sink_test_libs)
tests_unit_sink_test_settle_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_settle_LDADD = $(sink_test_libs)
tests_unit_sink_test_timestamp_CFLAGS = $(sink_test_cflags)
tests_unit_sink_test_timestamp_LDADD = $(sink_test_libs)

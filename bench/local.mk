# Programs of bench/run: built by `make bench-programs`, never installed.  Each adds itself to
# EXTRA_PROGRAMS and to bench_binaries, with $(EXEEXT).
bench_binaries =

EXTRA_PROGRAMS += %D%/writers-load
bench_binaries += %D%/writers-load$(EXEEXT)
bench_writers_load_SOURCES = %D%/writers_load.c
bench_writers_load_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) -pthread
bench_writers_load_LDADD = liboutbox.la $(LIBPQ_LIBS)

if BUILD_RELAY
EXTRA_PROGRAMS += %D%/kafka-alone %D%/latency-load
bench_binaries += %D%/kafka-alone$(EXEEXT) %D%/latency-load$(EXEEXT)
bench_kafka_alone_SOURCES = %D%/kafka_alone.c
bench_kafka_alone_CFLAGS = $(AM_CFLAGS) $(RDKAFKA_CFLAGS)
bench_kafka_alone_LDADD = libsink.la libcore.la libruntime.la libbase.la $(RDKAFKA_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)
bench_latency_load_SOURCES = %D%/latency_load.c
bench_latency_load_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(RDKAFKA_CFLAGS) -pthread
bench_latency_load_LDADD = libruntime.la liboutbox.la $(LIBPQ_LIBS) $(RDKAFKA_LIBS)

EXTRA_PROGRAMS += %D%/receiver %D%/dispatch-raw
bench_binaries += %D%/receiver$(EXEEXT) %D%/dispatch-raw$(EXEEXT)
bench_receiver_SOURCES = %D%/receiver.c
bench_dispatch_raw_SOURCES = %D%/dispatch_raw.c
bench_dispatch_raw_CFLAGS = $(AM_CFLAGS) $(CURL_CFLAGS)
bench_dispatch_raw_LDADD = libruntime.la libbase.la $(CURL_LIBS) $(CRYPTO_LIBS) -lpthread
endif

if BUILD_RELAY
EXTRA_PROGRAMS += %D%/consume-raw %D%/consume-library
bench_binaries += %D%/consume-raw$(EXEEXT) %D%/consume-library$(EXEEXT)
bench_consume_raw_SOURCES = %D%/consume_raw.c %D%/consume_rows.c %D%/consume_rows.h
bench_consume_raw_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(RDKAFKA_CFLAGS)
bench_consume_raw_LDADD = libruntime.la $(LIBPQ_LIBS) $(RDKAFKA_LIBS) -lpthread
bench_consume_library_SOURCES = %D%/consume_library.c %D%/consume_rows.c %D%/consume_rows.h
bench_consume_library_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
bench_consume_library_LDADD = liboutbox-consumer.la liboutbox.la libruntime.la $(LIBPQ_LIBS) -lpthread
endif

.PHONY: bench-programs
bench-programs: $(bench_binaries)

EXTRA_DIST += %D%/run %D%/lib/consume.py %D%/lib/dispatch.py %D%/lib/drain.py %D%/lib/lanes.py %D%/lib/latency.py %D%/lib/report.py %D%/lib/retention.py %D%/lib/rounds.py %D%/lib/servers.py %D%/lib/writers.py
CLEANFILES += $(EXTRA_PROGRAMS)

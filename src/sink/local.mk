noinst_LTLIBRARIES += libsink.la
libsink_la_SOURCES = \
    %D%/client.c %D%/client.h \
    %D%/configured.c %D%/configured.h \
    %D%/errors.c %D%/errors.h %D%/result.h \
    %D%/inspect.c %D%/inspect.h \
    %D%/kafka.c %D%/kafka.h \
    %D%/marker.c %D%/marker.h \
    %D%/pipeline.c %D%/pipeline.h \
    %D%/plain.c %D%/plain.h \
    %D%/producer.c %D%/producer.h \
    %D%/progress.c %D%/progress.h \
    %D%/record.c %D%/record.h \
    %D%/secrets.c %D%/secrets.h \
    %D%/security.c %D%/security.h \
    %D%/settle.c %D%/settle.h \
    %D%/taint.c %D%/taint.h \
    %D%/timestamp.c %D%/timestamp.h \
    %D%/topics.c %D%/topics.h \
    %D%/trial.c %D%/trial.h
libsink_la_CFLAGS = $(AM_CFLAGS) -pthread $(RDKAFKA_CFLAGS) $(JANSSON_CFLAGS)

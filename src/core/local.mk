noinst_LTLIBRARIES += libcore.la
libcore_la_SOURCES = \
    %D%/delivery.c %D%/delivery.h \
    %D%/lane.c %D%/lane.h \
    %D%/match.c %D%/match.h \
    %D%/position.c %D%/position.h \
    %D%/ticker.c %D%/ticker.h

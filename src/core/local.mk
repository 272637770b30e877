noinst_LTLIBRARIES += libcore.la
libcore_la_SOURCES = \
    %D%/delivery.c %D%/delivery.h \
    %D%/flight.c %D%/flight.h \
    %D%/lane.c %D%/lane.h %D%/lane_internal.h %D%/lane_names.c %D%/lane_parking.c %D%/lane_takeover.c \
    %D%/match.c %D%/match.h \
    %D%/position.c %D%/position.h \
    %D%/share.c %D%/share.h \
    %D%/ticker.c %D%/ticker.h

noinst_LTLIBRARIES += libcore.la
libcore_la_SOURCES = \
    %D%/delivery.c %D%/delivery.h \
    %D%/position.c %D%/position.h

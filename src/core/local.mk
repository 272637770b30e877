noinst_LTLIBRARIES += libcore.la
libcore_la_SOURCES = \
    %D%/position.c %D%/position.h

check_PROGRAMS += \
    %D%/test_delivery \
    %D%/test_flight \
    %D%/test_lane \
    %D%/test_lane_at_least_once \
    %D%/test_lane_model \
    %D%/test_match \
    %D%/test_position \
    %D%/test_share \
    %D%/test_ticker
TESTS += \
    %D%/test_delivery \
    %D%/test_flight \
    %D%/test_lane \
    %D%/test_lane_at_least_once \
    %D%/test_lane_model \
    %D%/test_match \
    %D%/test_position \
    %D%/test_share \
    %D%/test_ticker
%C%_test_delivery_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_delivery_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_flight_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_flight_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_lane_SOURCES = %D%/test_lane.c %D%/lane_driver.h
%C%_test_lane_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_lane_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_lane_at_least_once_SOURCES = %D%/test_lane_at_least_once.c %D%/lane_driver.h
%C%_test_lane_at_least_once_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_lane_at_least_once_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_lane_model_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_lane_model_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_match_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_match_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_position_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_position_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_share_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_share_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_ticker_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_ticker_LDADD = libcore.la $(CMOCKA_LIBS)

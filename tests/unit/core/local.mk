check_PROGRAMS += \
    %D%/test_delivery \
    %D%/test_lane \
    %D%/test_match \
    %D%/test_position \
    %D%/test_ticker
TESTS += \
    %D%/test_delivery \
    %D%/test_lane \
    %D%/test_match \
    %D%/test_position \
    %D%/test_ticker
%C%_test_delivery_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_delivery_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_lane_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_lane_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_match_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_match_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_position_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_position_LDADD = libcore.la $(CMOCKA_LIBS)
%C%_test_ticker_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_ticker_LDADD = libcore.la $(CMOCKA_LIBS)

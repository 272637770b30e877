event_test_libs = libevent.la libbase.la $(CMOCKA_LIBS) $(JANSSON_LIBS)

check_PROGRAMS += %D%/test_check %D%/test_event %D%/test_no_memory
TESTS += %D%/test_check %D%/test_event %D%/test_no_memory

%C%_test_check_LDADD = $(event_test_libs)
%C%_test_event_LDADD = $(event_test_libs)
%C%_test_no_memory_SOURCES = %D%/test_no_memory.c $(failing_alloc_sources)
%C%_test_no_memory_CPPFLAGS = $(AM_CPPFLAGS) $(failing_alloc_cppflags)
%C%_test_no_memory_LDFLAGS = $(AM_LDFLAGS) $(failing_alloc_ldflags)
%C%_test_no_memory_LDADD = $(event_test_libs)

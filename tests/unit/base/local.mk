# Allocations of ours can be made to fail: see failing_alloc.h.
failing_alloc_sources = %D%/failing_alloc.c %D%/failing_alloc.h
failing_alloc_ldflags = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
failing_alloc_cppflags = -I$(top_srcdir)/%D%
base_test_libs = libbase.la $(CMOCKA_LIBS)

check_PROGRAMS += \
    %D%/test_base64 %D%/test_buf %D%/test_error %D%/test_signature %D%/test_utf8 %D%/test_uuid
TESTS += \
    %D%/test_base64 %D%/test_buf %D%/test_error %D%/test_signature %D%/test_utf8 %D%/test_uuid

%C%_test_base64_LDADD = $(base_test_libs)
%C%_test_buf_SOURCES = %D%/test_buf.c $(failing_alloc_sources)
%C%_test_buf_CPPFLAGS = $(AM_CPPFLAGS) $(failing_alloc_cppflags)
%C%_test_buf_LDFLAGS = $(AM_LDFLAGS) $(failing_alloc_ldflags)
%C%_test_buf_LDADD = $(base_test_libs)
%C%_test_error_SOURCES = %D%/test_error.c $(failing_alloc_sources)
%C%_test_error_CPPFLAGS = $(AM_CPPFLAGS) $(failing_alloc_cppflags)
%C%_test_error_LDFLAGS = $(AM_LDFLAGS) $(failing_alloc_ldflags)
%C%_test_error_LDADD = $(base_test_libs)
%C%_test_utf8_LDADD = $(base_test_libs)
%C%_test_uuid_LDADD = $(base_test_libs)
%C%_test_signature_LDADD = $(base_test_libs) $(CRYPTO_LIBS)

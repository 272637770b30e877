# Targets for libFuzzer.  Here they only replay their seeds; tests/all/fuzz.sh builds them with
# clang and --enable-fuzzing, which brings libFuzzer's own main().
fuzz_sources = %D%/fuzz.h %D%/input.c
if FUZZING
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_ldflags = $(AM_LDFLAGS)
fuzz_sources += %D%/replay.c
endif
fuzz_targets = %D%/fuzz_base %D%/fuzz_event %D%/fuzz_result %D%/fuzz_signature
if BUILD_RELAY
fuzz_targets += \
    %D%/fuzz_address \
    %D%/fuzz_cli \
    %D%/fuzz_config \
    %D%/fuzz_endpoint \
    %D%/fuzz_headers \
    %D%/fuzz_marker \
    %D%/fuzz_page \
    %D%/fuzz_redact \
    %D%/fuzz_retry_after \
    %D%/fuzz_secrets \
    %D%/fuzz_url \
    %D%/fuzz_value
endif
check_PROGRAMS += $(fuzz_targets)
TESTS += $(fuzz_targets)

# What tests/all/fuzz.sh needs of a build.
.PHONY: fuzz-targets
fuzz-targets: $(fuzz_targets)
	@echo $(fuzz_targets)

%C%_fuzz_base_SOURCES = %D%/fuzz_base.c $(fuzz_sources)
%C%_fuzz_base_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_base_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_base_LDADD = libbase.la $(CRYPTO_LIBS)
%C%_fuzz_event_SOURCES = %D%/fuzz_event.c $(fuzz_sources)
%C%_fuzz_event_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
%C%_fuzz_event_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_event_LDADD = libevent.la libbase.la $(JANSSON_LIBS) $(CRYPTO_LIBS)
%C%_fuzz_result_SOURCES = %D%/fuzz_result.c $(fuzz_sources)
%C%_fuzz_result_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_fuzz_result_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_result_LDADD = libapi.la libevent.la libbase.la $(LIBPQ_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)
%C%_fuzz_signature_SOURCES = %D%/fuzz_signature.c $(fuzz_sources)
%C%_fuzz_signature_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_signature_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_signature_LDADD = libapi.la libevent.la libbase.la $(LIBPQ_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)

fuzz_config_libs = libconfig.la libruntime.la libbase.la $(INIH_LIBS) $(LIBPQ_LIBS) $(CRYPTO_LIBS)
fuzz_sink_cflags = $(AM_CFLAGS) $(RDKAFKA_CFLAGS) $(JANSSON_CFLAGS)
fuzz_sink_libs = libsink.la libcore.la libruntime.la libbase.la $(RDKAFKA_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS)
fuzz_webhook_cflags = $(AM_CFLAGS) $(CURL_CFLAGS) $(LIBPQ_CFLAGS)
fuzz_webhook_libs = libwebhook.la libcore.la libpgconn.la libruntime.la libbase.la \
    $(CURL_LIBS) $(LIBPQ_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lpthread

%C%_fuzz_address_SOURCES = %D%/fuzz_address.c $(fuzz_sources)
%C%_fuzz_address_CFLAGS = $(fuzz_webhook_cflags)
%C%_fuzz_address_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_address_LDADD = $(fuzz_webhook_libs)
%C%_fuzz_endpoint_SOURCES = %D%/fuzz_endpoint.c $(fuzz_sources)
%C%_fuzz_endpoint_CFLAGS = $(fuzz_webhook_cflags)
%C%_fuzz_endpoint_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_endpoint_LDADD = $(fuzz_webhook_libs)
%C%_fuzz_headers_SOURCES = %D%/fuzz_headers.c $(fuzz_sources)
%C%_fuzz_headers_CFLAGS = $(fuzz_webhook_cflags)
%C%_fuzz_headers_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_headers_LDADD = $(fuzz_webhook_libs)
%C%_fuzz_retry_after_SOURCES = %D%/fuzz_retry_after.c $(fuzz_sources)
%C%_fuzz_retry_after_CFLAGS = $(fuzz_webhook_cflags)
%C%_fuzz_retry_after_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_retry_after_LDADD = $(fuzz_webhook_libs)
%C%_fuzz_url_SOURCES = %D%/fuzz_url.c $(fuzz_sources)
%C%_fuzz_url_CFLAGS = $(fuzz_webhook_cflags)
%C%_fuzz_url_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_url_LDADD = $(fuzz_webhook_libs)
%C%_fuzz_cli_SOURCES = %D%/fuzz_cli.c $(fuzz_sources)
%C%_fuzz_cli_CFLAGS = $(fuzz_webhook_cflags)
%C%_fuzz_cli_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_cli_LDADD = libcli.la libwebhook.la libcore.la libconfig.la libpgconn.la libruntime.la libbase.la \
    $(CURL_LIBS) $(LIBPQ_LIBS) $(JANSSON_LIBS) $(INIH_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lpthread
%C%_fuzz_config_SOURCES = %D%/fuzz_config.c $(fuzz_sources)
%C%_fuzz_config_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_fuzz_config_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_config_LDADD = $(fuzz_config_libs)
%C%_fuzz_redact_SOURCES = %D%/fuzz_redact.c $(fuzz_sources)
%C%_fuzz_redact_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS)
%C%_fuzz_redact_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_redact_LDADD = $(fuzz_config_libs)
%C%_fuzz_value_SOURCES = %D%/fuzz_value.c $(fuzz_sources)
%C%_fuzz_value_CFLAGS = $(AM_CFLAGS)
%C%_fuzz_value_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_value_LDADD = $(fuzz_config_libs)
%C%_fuzz_marker_SOURCES = %D%/fuzz_marker.c $(fuzz_sources)
%C%_fuzz_marker_CFLAGS = $(fuzz_sink_cflags)
%C%_fuzz_marker_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_marker_LDADD = $(fuzz_sink_libs)
%C%_fuzz_secrets_SOURCES = %D%/fuzz_secrets.c $(fuzz_sources)
%C%_fuzz_secrets_CFLAGS = $(fuzz_sink_cflags)
%C%_fuzz_secrets_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_secrets_LDADD = $(fuzz_sink_libs)
%C%_fuzz_page_SOURCES = %D%/fuzz_page.c $(fuzz_sources) src/relay/records.c
%C%_fuzz_page_CFLAGS = $(AM_CFLAGS) $(LIBPQ_CFLAGS) $(JANSSON_CFLAGS)
%C%_fuzz_page_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_page_LDADD = libsink.la libsource.la libcore.la libpgconn.la libruntime.la libbase.la \
    $(LIBPQ_LIBS) $(JANSSON_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) -lpthread

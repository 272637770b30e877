#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "webhook/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "runtime/fault.h"
#include "runtime/watchdog.h"
#include "webhook/retry_after.h"
#include "webhook/trouble.h"

/* A handle of libcurl, used for one exchange after the other. */
struct call {
    struct call *next;         /* while idle */
    struct call *left, *right; /* while in flight */
    struct http *http;
    struct http_exchange *exchange;
    CURL *easy;
    mono_us started;
    mono_us handshake_us; /* from then until TLS began; -1: it did not */
    size_t response_read;
    char denied[ADDRESS_TEXT]; /* an address that may not be dialled */
    bool denied_plain;         /* it may, but not without TLS */
    const char *held;          /* why not a byte was to be sent any more; NULL: go on */
    char retry_after[64];
    char error[CURL_ERROR_SIZE];
};

struct http {
    CURLM *multi;
    struct address_rules *rules;
    struct mailbox *done;
    char *ca_file;
    bool insecure;
    long connect_timeout_ms;
    mono_us changed_at; /* the rules; 0: never */
    struct call *idle;
    struct call flying; /* head of a ring */
    int in_flight;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static bool curl_ready;

static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

/* ---- What libcurl asks of us ---- */

static const char too_late[] = "held back: too much time has passed since it was claimed";
static const char after_end[] = "held back: its time was over before a byte was sent";

/* The moment of truth: libcurl is about to dial this address. */
static curl_socket_t open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct call *call = argument;
    enum address_verdict verdict = address_judge(call->http->rules, &address->addr, address->addrlen);

    (void)purpose;
    call->denied_plain = verdict == ADDRESS_PUBLIC && !call->exchange->tls && !call->http->insecure;
    if (verdict == ADDRESS_DENIED || call->denied_plain) {
        address_format(&address->addr, address->addrlen, call->denied);
        if (!call->denied[0])
            snprintf(call->denied, sizeof(call->denied), "(not IP)");
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Connected, and the TLS handshake comes next. */
static CURLcode before_handshake(CURL *easy, void *context, void *argument)
{
    struct call *call = argument;

    (void)easy;
    (void)context;
    call->handshake_us = clock_now() - call->started;
    return CURLE_OK;
}

/* Connected, and the first byte comes next. */
static int before_request(void *argument, char *address, char *local_address, int port, int local_port)
{
    struct call *call = argument;

    (void)local_address;
    (void)port;
    (void)local_port;
    snprintf(call->exchange->evidence.address, sizeof(call->exchange->evidence.address), "%s", address);
    FAULT("webhook_before_send");
    /* libcurl saw to that, unless the process stood still for a while. */
    if (clock_now() > call->started + call->exchange->timeout)
        call->held = after_end;
    return call->held ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* False once the response is longer than anybody needs. */
static bool count_response(struct call *call, size_t size)
{
    call->response_read += size;
    return call->response_read <= HTTP_RESPONSE_READ;
}

static size_t take_header(char *data, size_t one, size_t size, void *argument)
{
    static const char name[] = "retry-after:";
    struct call *call = argument;

    (void)one;
    if (!count_response(call, size))
        return 0;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        call->retry_after[0] = '\0'; /* what came before belonged to an interim answer */
    } else if (size >= sizeof(name) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
        const char *value = data + sizeof(name) - 1;
        const char *end = data + size;

        while (value < end && (*value == ' ' || *value == '\t'))
            value++;
        while (end > value && strchr(" \t\r\n", end[-1]))
            end--;
        snprintf(call->retry_after, sizeof(call->retry_after), "%.*s", (int)(end - value), value);
    }
    return size;
}

static size_t take_body(char *data, size_t one, size_t size, void *argument)
{
    struct call *call = argument;
    struct http_evidence *evidence = &call->exchange->evidence;
    size_t room = sizeof(evidence->response) - evidence->response_size;

    (void)one;
    if (!count_response(call, size))
        return 0;
    if (room > size)
        room = size;
    memcpy(evidence->response + evidence->response_size, data, room);
    evidence->response_size += room;
    return size;
}

/* ---- Handles ---- */

static bool set_fixed_options(struct call *call)
{
    CURL *easy = call->easy;
    int failures = 0;

#define SET(option, value) failures += curl_easy_setopt(easy, (option), (value)) != CURLE_OK
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_USERAGENT, "outbox/" PACKAGE_VERSION);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_BUFFERSIZE, 16384L);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, call);
    SET(CURLOPT_SSL_CTX_FUNCTION, before_handshake);
    SET(CURLOPT_SSL_CTX_DATA, call);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, call);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, call);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A name look-up that hangs must not hold up everybody else when its request times
     * out: libcurl would join the thread that waits for it. */
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    if (call->http->ca_file) {
        SET(CURLOPT_CAINFO, call->http->ca_file);
        SET(CURLOPT_CAPATH, NULL); /* else the system's directory would count as well */
    }
    return failures == 0;
}

static struct call *new_call(struct http *http)
{
    struct call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->http = http;
    call->easy = curl_easy_init();
    if (!call->easy || !set_fixed_options(call)) {
        curl_easy_cleanup(call->easy);
        free(call);
        return NULL;
    }
    return call;
}

static void free_call(struct call *call)
{
    curl_easy_cleanup(call->easy);
    free(call);
}

/* A connection that is older than this many seconds is not used again: one from before the
 * rules changed may go where no new one would be let.  0: no limit.  libcurl cuts off
 * fractions of a second, hence one less; in the first two seconds each gets a new one. */
static long oldest_connection(const struct http *http)
{
    return http->changed_at == 0 ? 0 : (long)((clock_now() - http->changed_at) / SECONDS(1)) - 1;
}

static bool set_request_options(struct call *call)
{
    const struct http_exchange *exchange = call->exchange;
    long oldest = oldest_connection(call->http);
    bool fresh = exchange->fresh || (call->http->changed_at != 0 && oldest < 1);
    CURL *easy = call->easy;
    int failures = 0;

    SET(CURLOPT_CONNECTTIMEOUT_MS, call->http->connect_timeout_ms);
    SET(CURLOPT_MAXLIFETIME_CONN, oldest > 0 ? oldest : 0L);
    SET(CURLOPT_URL, exchange->url);
    SET(CURLOPT_HTTPHEADER, exchange->headers);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body_size);
    SET(CURLOPT_POSTFIELDS, exchange->body ? exchange->body : "");
    SET(CURLOPT_TIMEOUT_MS, (long)(exchange->timeout / 1000));
    SET(CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
    SET(CURLOPT_FORBID_REUSE, exchange->fresh ? 1L : 0L);
#undef SET
    return failures == 0;
}

/* ---- An exchange from its start to its end ---- */

static void link_call(struct http *http, struct call *call)
{
    call->right = &http->flying;
    call->left = http->flying.left;
    call->left->right = call;
    http->flying.left = call;
    http->in_flight++;
}

static void unlink_call(struct http *http, struct call *call)
{
    call->left->right = call->right;
    call->right->left = call->left;
    http->in_flight--;
}

void http_evidence_clear(struct http_evidence *evidence)
{
    evidence->reached = (struct delivery_evidence){DELIVERY_PHASE_NONE, 0};
    evidence->held_back = false;
    evidence->started_at = clock_wall();
    evidence->resolved_us = evidence->connected_us = evidence->tls_us = -1;
    evidence->first_byte_us = evidence->total_us = evidence->retry_after_us = -1;
    evidence->sent_bytes = 0;
    evidence->address[0] = evidence->error[0] = '\0';
    evidence->response_size = 0;
}

/* It never began: no memory, or too late. */
static void return_unsent(struct http *http, struct http_exchange *exchange, const char *why)
{
    exchange->evidence.held_back = true;
    exchange->evidence.retry_after_us = SECONDS(1);
    snprintf(exchange->evidence.error, sizeof(exchange->evidence.error), "%s", why);
    mailbox_put(http->done, &exchange->message);
}

void http_begin(struct http *http, struct http_exchange *exchange)
{
    struct call *call = http->idle;

    http_evidence_clear(&exchange->evidence);
    if (clock_now() > exchange->begin_before) {
        return_unsent(http, exchange, too_late);
        return;
    }
    if (call)
        http->idle = call->next;
    else
        call = new_call(http);
    if (!call) {
        return_unsent(http, exchange, "held back: out of memory");
        return;
    }
    call->exchange = exchange;
    call->started = clock_now();
    call->handshake_us = -1;
    call->response_read = 0;
    call->denied[0] = call->retry_after[0] = call->error[0] = '\0';
    call->denied_plain = false;
    call->held = NULL;
    if (!set_request_options(call) || curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
        free_call(call);
        return_unsent(http, exchange, "held back: libcurl took no request");
        return;
    }
    link_call(http, call);
}

static int64_t time_of(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;

    curl_easy_getinfo(easy, info, &us);
    return us > 0 ? us : -1;
}

static void read_times(struct call *call, struct http_evidence *evidence)
{
    long made = 0;

    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &made);
    /* On a reused connection none of this happened anew. */
    if (made > 0 || !evidence->address[0]) {
        evidence->resolved_us = time_of(call->easy, CURLINFO_NAMELOOKUP_TIME_T);
        evidence->connected_us = time_of(call->easy, CURLINFO_CONNECT_TIME_T);
        /* libcurl tells of no connection that did not come through its handshake. */
        if (evidence->connected_us < 0)
            evidence->connected_us = call->handshake_us;
        evidence->tls_us = time_of(call->easy, CURLINFO_APPCONNECT_TIME_T);
    }
    /* Its clock also stops for the end of a connection, and when a body is sent. */
    if (call->response_read > 0)
        evidence->first_byte_us = time_of(call->easy, CURLINFO_STARTTRANSFER_TIME_T);
    evidence->total_us = clock_now() - call->started;
}

/* How many bytes the socket took at least: libcurl counts those of a small body with
 * the headers and those of a large one apart. */
static int64_t sent_bytes(CURL *easy)
{
    curl_off_t uploaded = 0;
    long requested = 0;

    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &requested);
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    return uploaded > requested ? uploaded : requested;
}

static enum delivery_phase phase_of(const struct http_evidence *evidence)
{
    if (evidence->reached.status >= 200)
        return DELIVERY_PHASE_ANSWERED;
    if (evidence->sent_bytes > 0)
        return DELIVERY_PHASE_WRITING;
    if (evidence->tls_us >= 0)
        return DELIVERY_PHASE_SECURED;
    if (evidence->connected_us >= 0 || evidence->address[0])
        return DELIVERY_PHASE_CONNECTED;
    return evidence->resolved_us >= 0 ? DELIVERY_PHASE_RESOLVED : DELIVERY_PHASE_NONE;
}

static void explain(struct call *call, CURLcode code, struct http_evidence *evidence)
{
    char *error = evidence->error;
    size_t room = sizeof(evidence->error);
    const char *text = call->error[0] ? call->error : curl_easy_strerror(code);
    const char *advice;
    long verdict = 0;

    if (call->held) {
        snprintf(error, room, "%s", call->held);
        return;
    }
    if (call->denied[0] && evidence->reached.phase < DELIVERY_PHASE_CONNECTED) {
        snprintf(evidence->address, sizeof(evidence->address), "%s", call->denied);
        if (call->denied_plain)
            snprintf(error, room,
                     "address %s is not listed in webhook_allow, which http without TLS needs; use https",
                     call->denied);
        else
            snprintf(error, room, "address %s is not public; list it in webhook_allow to permit it",
                     call->denied);
        return;
    }
    if (evidence->reached.phase == DELIVERY_PHASE_ANSWERED)
        return;
    curl_easy_getinfo(call->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
    advice = trouble_advice((int)code, verdict, text, call->exchange->tls);
    if (advice[0])
        snprintf(error, room, "%.120s; %s", text, advice);
    else
        snprintf(error, room, "%s", text);
}

/* Gives the exchange back with what is known of it. */
static void finish(struct http *http, struct call *call, CURLcode code)
{
    struct http_exchange *exchange = call->exchange;
    struct http_evidence *evidence = &exchange->evidence;
    long status = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    evidence->reached.status = status >= 200 ? (int)status : 0;
    evidence->sent_bytes = sent_bytes(call->easy);
    read_times(call, evidence);
    evidence->reached.phase = phase_of(evidence);
    if (call->retry_after[0])
        evidence->retry_after_us = retry_after_parse(call->retry_after, clock_wall());
    if (code != CURLE_OK)
        explain(call, code, evidence);
    evidence->held_back = call->held && evidence->reached.phase < DELIVERY_PHASE_WRITING;
    curl_multi_remove_handle(http->multi, call->easy);
    unlink_call(http, call);
    call->exchange = NULL;
    call->next = http->idle;
    http->idle = call;
    FAULT("webhook_after_send");
    mailbox_put(http->done, &exchange->message);
}

static void finish_all_done(struct http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct call *call = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        finish(http, call, message->data.result);
    }
}

void http_change(struct http *http, struct address_rules *rules, mono_us connect_timeout)
{
    address_rules_free(http->rules);
    http->rules = rules;
    http->connect_timeout_ms = (long)(connect_timeout / 1000);
    http->changed_at = clock_now();
}

void http_work(struct http *http, mono_us deadline)
{
    int running = 0;
    int ready = 0;

    watchdog_expect("webhooks, a turn", deadline);
    curl_multi_perform(http->multi, &running);
    finish_all_done(http);
    /* Should it be unable to wait, for want of memory or descriptors, the loop must not spin. */
    if (curl_multi_poll(http->multi, NULL, 0, clock_until_ms(deadline), &ready) != CURLM_OK)
        poll(NULL, 0, 10);
    watchdog_met();
}

void http_wake(struct http *http)
{
    curl_multi_wakeup(http->multi);
}

void http_abandon(struct http *http)
{
    finish_all_done(http);
    while (http->flying.right != &http->flying) {
        struct call *call = http->flying.right;

        call->held = "broken off: the relay stops";
        finish(http, call, CURLE_ABORTED_BY_CALLBACK);
    }
}

int http_in_flight(const struct http *http)
{
    return http->in_flight;
}

/* ---- Life ---- */

static bool copy_settings(struct http *http, const struct http_settings *settings)
{
    http->insecure = settings->insecure;
    http->connect_timeout_ms = (long)(settings->connect_timeout / 1000);
    if (settings->ca_file) {
        http->ca_file = strdup(settings->ca_file);
        if (!http->ca_file)
            return false;
    }
    http->multi = curl_multi_init();
    return http->multi &&
           curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)settings->max_connections) == CURLM_OK;
}

struct http *http_new(const struct http_settings *settings, struct mailbox *done, outbox_error **reterr)
{
    struct http *http;

    assert(settings->connect_timeout > 0 && settings->max_connections > 0);
    pthread_once(&curl_once, init_curl);
    if (!curl_ready) {
        outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "libcurl cannot be initialised");
        return NULL;
    }
    if (settings->ca_file && access(settings->ca_file, R_OK) != 0) {
        outbox__fail(reterr, OUTBOX_EINVAL, "ca_file", "ca_file: cannot read \"%s\": %s", settings->ca_file,
                     strerror(errno));
        return NULL;
    }
    http = calloc(1, sizeof(*http));
    if (!http) {
        outbox__fail_memory(reterr);
        return NULL;
    }
    http->flying.left = http->flying.right = &http->flying;
    http->done = done;
    http->rules = address_rules_new(settings->allowed_addresses, reterr);
    if (!http->rules)
        goto fail;
    if (!copy_settings(http, settings)) {
        outbox__fail_memory(reterr);
        goto fail;
    }
    return http;

fail:
    http_free(http);
    return NULL;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    while (http->flying.right != &http->flying) {
        struct call *call = http->flying.right;

        curl_multi_remove_handle(http->multi, call->easy);
        unlink_call(http, call);
        free_call(call);
    }
    while (http->idle) {
        struct call *call = http->idle;

        http->idle = call->next;
        free_call(call);
    }
    if (http->multi)
        curl_multi_cleanup(http->multi);
    address_rules_free(http->rules);
    free(http->ca_file);
    free(http);
}

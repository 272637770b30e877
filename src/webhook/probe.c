#include "webhook/probe.h"

#include <curl/curl.h>
#include <string.h>

#include "base/buf.h"
#include "webhook/url.h"

static bool add(struct curl_slist **list, const char *name, const char *value)
{
    struct outbox__buf line = OUTBOX__BUF_INIT(16384);
    struct curl_slist *longer = NULL;

    outbox__buf_printf(&line, "%s:%s%s", name, value[0] ? " " : "", value);
    if (!line.failed)
        longer = curl_slist_append(*list, outbox__buf_text(&line));
    outbox__buf_free(&line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

/* As those of a delivery (webhook/headers.c), but signed elsewhere. */
static struct curl_slist *headers(const struct probe *probe)
{
    struct curl_slist *list = NULL;

    if (add(&list, "webhook-id", probe->id) && add(&list, "webhook-timestamp", probe->timestamp) &&
        add(&list, "webhook-signature", probe->signature) && add(&list, "content-type", probe->content_type) &&
        add(&list, "outbox-type", probe->type) && add(&list, "Expect", ""))
        return list;
    curl_slist_free_all(list);
    return NULL;
}

int probe_send(const struct http_settings *settings, const struct probe *probe, struct http_evidence *ret,
               outbox_error **reterr)
{
    struct http_exchange exchange = {.url = probe->url,
                                     .body = probe->payload,
                                     .body_size = strlen(probe->payload),
                                     .timeout = probe->timeout,
                                     .begin_before = clock_now() + SECONDS(60),
                                     .fresh = true};
    mono_us deadline = clock_now() + probe->timeout + SECONDS(5);
    struct mailbox *done = NULL;
    struct curl_slist *list = NULL;
    struct http *http = NULL;
    int status = url_check(probe->url, &exchange.tls, reterr);

    if (status < 0)
        return status;
    list = headers(probe);
    exchange.headers = list;
    done = mailbox_new();
    if (!list || !done) {
        status = outbox__fail_memory(reterr);
        goto out;
    }
    http = http_new(settings, done, reterr);
    if (!http) {
        status = OUTBOX_EINVAL;
        goto out;
    }
    http_begin(http, &exchange);
    /* In short steps: nobody wakes it when the exchange has come back. */
    while (http_in_flight(http) > 0 && clock_now() < deadline)
        http_work(http, clock_now() + MILLISECONDS(10));
    http_abandon(http);
    if (mailbox_take(done, 0))
        *ret = exchange.evidence;
    else
        status = outbox__fail(reterr, OUTBOX_EINTERNAL, NULL, "the request was lost");
out:
    http_free(http);
    mailbox_free(done);
    curl_slist_free_all(list);
    return status;
}

#include "sink/plain.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "runtime/loopback.h"

const char *plain_setting(const struct kafka_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->property_count; i++) {
        if (strcmp(settings->properties[i].name, name) == 0)
            return settings->properties[i].value;
    }
    return "";
}

bool plain_is_tls(const char *protocol)
{
    return strcasecmp(protocol, "ssl") == 0 || strcasecmp(protocol, "sasl_ssl") == 0;
}

bool plain_uses_tls(const struct kafka_settings *settings)
{
    return plain_is_tls(plain_setting(settings, "security.protocol"));
}

/* The host of "[protocol://]host[:port]", which may be an IPv6 address in brackets. */
static const char *host_of(const char *entry, size_t size, size_t *ret_size)
{
    const char *end = entry + size;
    const char *scheme = memmem(entry, size, "://", 3);
    const char *colon;

    if (scheme)
        entry = scheme + 3;
    while (entry < end && *entry == ' ')
        entry++;
    if (entry < end && *entry == '[') {
        colon = memchr(entry, ']', (size_t)(end - entry));
        entry++;
    } else {
        colon = memchr(entry, ':', (size_t)(end - entry));
    }
    *ret_size = (size_t)((colon ? colon : end) - entry);
    return entry;
}

static int check_servers(const char *servers, const char *protocol, outbox_error **reterr)
{
    while (*servers) {
        size_t size = strcspn(servers, ",");
        size_t host_size;
        const char *host = host_of(servers, size, &host_size);

        if (host_size > 0 && !loopback_name(host, host_size))
            return outbox__fail(reterr, OUTBOX_EINVAL, "security.protocol",
                                "kafka.security.protocol=%s: \"%.*s\" of kafka.bootstrap.servers is not this machine,"
                                " and would be spoken to without encryption: set kafka.security.protocol=SASL_SSL or"
                                " SSL (or insecure=yes)",
                                protocol[0] ? protocol : "plaintext", (int)host_size, host);
        servers += size + (servers[size] == ',');
    }
    return OUTBOX_OK;
}

bool security_only_loopback(const struct kafka_settings *settings)
{
    return !settings->insecure && !plain_uses_tls(settings);
}

int security_check(const struct kafka_settings *settings, outbox_error **reterr)
{
    const char *protocol = plain_setting(settings, "security.protocol");

    if (!security_only_loopback(settings))
        return OUTBOX_OK;
    if (check_servers(plain_setting(settings, "bootstrap.servers"), protocol, reterr) < 0 ||
        check_servers(plain_setting(settings, "metadata.broker.list"), protocol, reterr) < 0)
        return OUTBOX_EINVAL;
    return OUTBOX_OK;
}

/* Brokers tell clients to come to other addresses, so the names in the settings are not
 * all: this is what is really dialled.  A broker's thread. */
int plain_connect(int socket, const struct sockaddr *address, int size, const char *id, void *opaque)
{
    struct kafka_client *client = opaque;

    (void)id;
    if (!loopback_address(address)) {
        atomic_store(&client->plain_refused, true);
        return EPERM;
    }
    return connect(socket, address, (socklen_t)size) == 0 || errno == EINPROGRESS ? 0 : errno;
}

#include "sink/security.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "runtime/loopback.h"

/* The first release whose SCRAM works with brokers that check the nonce. */
#define SCRAM_FIXED 0x02060100

/* ---- what may be spoken to without TLS ---- */

static const char *setting(const struct kafka_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->property_count; i++) {
        if (strcmp(settings->properties[i].name, name) == 0)
            return settings->properties[i].value;
    }
    return "";
}

static bool is_tls(const char *protocol)
{
    return strcasecmp(protocol, "ssl") == 0 || strcasecmp(protocol, "sasl_ssl") == 0;
}

static bool uses_tls(const struct kafka_settings *settings)
{
    return is_tls(setting(settings, "security.protocol"));
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
    return !settings->insecure && !uses_tls(settings);
}

int security_check(const struct kafka_settings *settings, outbox_error **reterr)
{
    const char *protocol = setting(settings, "security.protocol");

    if (!security_only_loopback(settings))
        return OUTBOX_OK;
    if (check_servers(setting(settings, "bootstrap.servers"), protocol, reterr) < 0 ||
        check_servers(setting(settings, "metadata.broker.list"), protocol, reterr) < 0)
        return OUTBOX_EINVAL;
    return OUTBOX_OK;
}

const char *security_weakness(const struct kafka_settings *settings)
{
    if (!uses_tls(settings))
        return NULL;
    if (strcasecmp(setting(settings, "enable.ssl.certificate.verification"), "false") == 0)
        return "kafka.enable.ssl.certificate.verification=false: whoever answers in place of a broker is believed;"
               " remove it and set kafka.ssl.ca.location";
    if (strcasecmp(setting(settings, "ssl.endpoint.identification.algorithm"), "none") == 0)
        return "kafka.ssl.endpoint.identification.algorithm=none: any certificate of the CA is believed;"
               " remove it";
    return NULL;
}

/* Brokers tell clients to come to other addresses, so the names in the settings are not
 * all: this is what is really dialled.  A broker's thread. */
static int connect_loopback(int socket, const struct sockaddr *address, int size, const char *id, void *opaque)
{
    struct kafka_client *client = opaque;

    (void)id;
    if (!loopback_address(address)) {
        atomic_store(&client->plain_refused, true);
        return EPERM;
    }
    return connect(socket, address, (socklen_t)size) == 0 || errno == EINPROGRESS ? 0 : errno;
}

/* OpenSSL's X509_V_ERR_...; librdkafka may have one of its own, but these never change. */
enum { NOT_YET_VALID = 9, HAS_EXPIRED = 10, HOSTNAME_MISMATCH = 62, ADDRESS_MISMATCH = 64 };

static enum kafka_trouble certificate_trouble(int error)
{
    switch (error) {
    case 0:
        return KAFKA_TROUBLE_NONE;
    case NOT_YET_VALID:
    case HAS_EXPIRED:
        return KAFKA_TROUBLE_EXPIRED;
    case HOSTNAME_MISMATCH:
    case ADDRESS_MISMATCH:
        return KAFKA_TROUBLE_HOST_NAME;
    default:
        return KAFKA_TROUBLE_UNTRUSTED;
    }
}

static const char *certificate_text(int error)
{
    switch (certificate_trouble(error)) {
    case KAFKA_TROUBLE_EXPIRED:
        return "it has expired or is not valid yet";
    case KAFKA_TROUBLE_HOST_NAME:
        return "it is for another host name";
    default:
        return "it is not signed by a CA that is trusted";
    }
}

/* OpenSSL's verdict stands; it is only noted, as librdkafka does not tell it.  A broker's
 * thread. */
static int note_certificate(rd_kafka_t *handle, const char *name, int32_t broker, int *error, int depth,
                            const char *certificate, size_t size, char *text, size_t room, void *opaque)
{
    struct kafka_client *client = opaque;

    (void)handle, (void)name, (void)broker, (void)depth, (void)certificate, (void)size;
    if (*error == 0)
        return 1;
    atomic_store(&client->certificate, *error);
    snprintf(text, room, "%s", certificate_text(*error));
    return 0;
}

void security_watch(struct rd_kafka_conf_s *conf, bool plain_only_loopback)
{
    if (plain_only_loopback)
        rd_kafka_conf_set_connect_cb(conf, connect_loopback);
    else /* fails in a librdkafka without TLS, which then refuses the protocol as well */
        rd_kafka_conf_set_ssl_cert_verify_cb(conf, note_certificate);
}

/* ---- why a connection failed ---- */

static enum kafka_trouble tls_trouble(struct kafka_client *client, const char *text)
{
    enum kafka_trouble trouble = certificate_trouble(atomic_load(&client->certificate));

    if (strstr(text, "certificate verify failed") && trouble != KAFKA_TROUBLE_NONE)
        return trouble;
    if (strstr(text, "certificate verify failed"))
        return KAFKA_TROUBLE_UNTRUSTED;
    if (strstr(text, "wrong version number") || strstr(text, "unexpected eof") ||
        strstr(text, "packet length too long") || strstr(text, "PLAINTEXT"))
        return KAFKA_TROUBLE_NO_TLS;
    return strstr(text, "alert") ? KAFKA_TROUBLE_ALERT : KAFKA_TROUBLE_NONE;
}

static const char *value_of(const struct kafka_client *client, const char *name)
{
    return kafka_property_value(client->kafka, name);
}

enum kafka_trouble security_trouble(struct kafka_client *client, int code, const char *text)
{
    if (atomic_load(&client->plain_refused))
        return KAFKA_TROUBLE_PLAIN_REFUSED;
    if (strstr(text, "Unsupported SASL mechanism") || strstr(text, "UNSUPPORTED_SASL_MECHANISM"))
        return KAFKA_TROUBLE_MECHANISM;
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED)
        return KAFKA_TROUBLE_CREDENTIALS;
    if (code == RD_KAFKA_RESP_ERR__RESOLVE)
        return KAFKA_TROUBLE_RESOLVE;
    /* The first bytes of a TLS alert, taken for the size of an answer. */
    if (strstr(text, "Invalid response size 35251") || strstr(text, "connecting to a SSL listener"))
        return KAFKA_TROUBLE_WANTS_TLS;
    /* With nothing that came before it, as a broker that is down would have given. */
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !is_tls(value_of(client, "security.protocol")))
        return KAFKA_TROUBLE_SILENT;
    if (code == RD_KAFKA_RESP_ERR__SSL || strstr(text, "SSL"))
        return tls_trouble(client, text);
    return KAFKA_TROUBLE_NONE;
}

static void advise_credentials(const struct kafka_client *client, char *room, size_t size)
{
    int known = snprintf(room, size,
                         "SASL authentication failed for user \"%s\": check kafka.sasl.username, kafka.sasl.password"
                         " and kafka.sasl.mechanism",
                         value_of(client, "sasl.username"));

    if (rd_kafka_version() < SCRAM_FIXED && known > 0 && (size_t)known < size &&
        (strncasecmp(value_of(client, "sasl.mechanism"), "SCRAM", 5) == 0 ||
         strncasecmp(value_of(client, "sasl.mechanisms"), "SCRAM", 5) == 0))
        snprintf(room + known, size - (size_t)known,
                 "; and this librdkafka %s cannot do SCRAM with Kafka 4: that takes 2.6.1 or later",
                 rd_kafka_version_str());
}

const char *security_advice(const struct kafka_client *client, char *room, size_t size)
{
    static const char *const texts[] = {
        [KAFKA_TROUBLE_NONE] = "",
        [KAFKA_TROUBLE_UNTRUSTED] = "the broker's certificate is not signed by a CA of kafka.ssl.ca.location: name the"
                                    " file with the certificate of the CA that signed it",
        [KAFKA_TROUBLE_HOST_NAME] = "the broker's certificate is for another host name: give kafka.bootstrap.servers,"
                                    " and the brokers' advertised.listeners, a name that stands in it",
        [KAFKA_TROUBLE_EXPIRED] = "the broker's certificate has expired or is not valid yet: renew it on the broker, or"
                                  " set this machine's clock",
        [KAFKA_TROUBLE_NO_TLS] = "the broker does not speak TLS there: check the port in kafka.bootstrap.servers, and"
                                 " kafka.security.protocol",
        [KAFKA_TROUBLE_WANTS_TLS] = "the broker speaks TLS there: set kafka.security.protocol=SASL_SSL or SSL",
        [KAFKA_TROUBLE_SILENT] = "the broker closes the connection without an answer: if that port speaks TLS, set"
                                 " kafka.security.protocol=SASL_SSL or SSL",
        [KAFKA_TROUBLE_ALERT] = "the broker refused the TLS connection: if it wants a client certificate, set"
                                " kafka.ssl.certificate.location and kafka.ssl.key.location",
        [KAFKA_TROUBLE_MECHANISM] = "set kafka.sasl.mechanism to one that the broker offers",
        [KAFKA_TROUBLE_RESOLVE] = "a host name cannot be resolved: check kafka.bootstrap.servers, and the brokers'"
                                  " advertised.listeners",
        [KAFKA_TROUBLE_PLAIN_REFUSED] = "a broker's address is not this machine, and would be spoken to without"
                                        " encryption: set kafka.security.protocol=SASL_SSL or SSL (or insecure=yes)",
    };

    if (client->trouble == KAFKA_TROUBLE_CREDENTIALS)
        advise_credentials(client, room, size);
    else
        snprintf(room, size, "%s", texts[client->trouble]);
    return room;
}

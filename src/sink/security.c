#include "sink/security.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sink/plain.h"

/* The first release whose SCRAM works with brokers that check the nonce. */
#define SCRAM_FIXED 0x02060100

const char *security_weakness(const struct kafka_settings *settings)
{
    if (!plain_uses_tls(settings))
        return NULL;
    if (strcasecmp(plain_setting(settings, "enable.ssl.certificate.verification"), "false") == 0)
        return "kafka.enable.ssl.certificate.verification=false: whoever answers in place of a broker is believed;"
               " remove it and set kafka.ssl.ca.location";
    if (strcasecmp(plain_setting(settings, "ssl.endpoint.identification.algorithm"), "none") == 0)
        return "kafka.ssl.endpoint.identification.algorithm=none: any certificate of the CA is believed;"
               " remove it";
    return NULL;
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
        rd_kafka_conf_set_connect_cb(conf, plain_connect);
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
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !plain_is_tls(value_of(client, "security.protocol")))
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

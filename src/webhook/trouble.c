#include "webhook/trouble.h"

#include <curl/curl.h>
#include <string.h>

/* OpenSSL's X509_V_ERR_..., which never change. */
enum { NOT_YET_VALID = 9, HAS_EXPIRED = 10 };

static const char *certificate_advice(long verdict, const char *text)
{
    /* Found before libcurl asks for the verdict. */
    if (strstr(text, "subject name"))
        return "its certificate is for another host name: correct the endpoint's url, or the certificate";
    switch (verdict) {
    case NOT_YET_VALID:
    case HAS_EXPIRED:
        return "the receiver must renew its certificate";
    default:
        return "its certificate is of no CA that is trusted here: see webhook_ca_file";
    }
}

const char *trouble_advice(int code, long verdict, const char *text, bool tls)
{
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return certificate_advice(verdict, text);
    case CURLE_SSL_CACERT_BADFILE:
        return "webhook_ca_file holds no certificate";
    case CURLE_SSL_CONNECT_ERROR:
        return strstr(text, "wrong version number") || strstr(text, "packet length too long")
                   ? "there is no TLS at that port: correct the endpoint's url"
                   : "";
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return tls ? "" : "if that port speaks TLS, the endpoint's url must begin with https://";
    default:
        return "";
    }
}

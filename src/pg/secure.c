#include "pg/secure.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "pg/conn.h"
#include "runtime/loopback.h"

/* Written once, before there are threads. */
static bool insecure;
static const char *needed_role = "";

void pg_set_policy(bool allow_plaintext, const char *role)
{
    insecure = allow_plaintext;
    needed_role = role;
}

const char *pg_needed_role(void)
{
    return needed_role;
}

/* ---- no plaintext to other machines ---- */

static const char *value_of(const PQconninfoOption *options, const char *name)
{
    for (; options->keyword; options++) {
        if (strcmp(options->keyword, name) == 0)
            return options->val ? options->val : "";
    }
    return "";
}

static bool is_local(const char *host, size_t size)
{
    return size == 0 || host[0] == '/' || host[0] == '@' || loopback_name(host, size);
}

/* The nth of the values between commas; "" if there are fewer. */
static const char *nth(const char *list, int n, size_t *ret_size)
{
    while (n-- > 0) {
        list += strcspn(list, ",");
        if (*list == ',')
            list++;
        else
            break;
    }
    *ret_size = strcspn(list, ",");
    return list;
}

static int count_of(const char *list)
{
    int count = 1;

    for (; *list; list++)
        count += *list == ',';
    return count;
}

static int refuse(const char *host, size_t size, const char *mode, const char *consent, outbox_error **reterr)
{
    return outbox__fail(reterr, OUTBOX_EINVAL, "dsn",
                        "dsn: \"%.*s\" is not this machine, and with sslmode=%s it may be spoken to without encryption:"
                        " set sslmode=verify-full and sslrootcert in the dsn (or %s)",
                        (int)size, host, mode, consent);
}

/* hostaddr is what is dialled, where there is one. */
static int check_hosts(const PQconninfoOption *options, const char *mode, const char *consent,
                       outbox_error **reterr)
{
    const char *hosts = value_of(options, "host"), *addresses = value_of(options, "hostaddr");
    int count = count_of(*addresses ? addresses : hosts);

    for (int i = 0; i < count; i++) {
        size_t size = 0;
        const char *host = nth(addresses, i, &size);

        if (size == 0)
            host = nth(hosts, i, &size);
        if (!is_local(host, size))
            return refuse(host, size, mode, consent, reterr);
    }
    return OUTBOX_OK;
}

int pg_secure_check(PGconn *raw, const char *consent, outbox_error **reterr)
{
    PQconninfoOption *options;
    const char *mode;
    int status = OUTBOX_OK;

    if (insecure)
        return OUTBOX_OK;
    options = PQconninfo(raw); /* services and variables included */
    if (!options)
        return outbox__fail_memory(reterr);
    mode = value_of(options, "sslmode");
    if ((strcmp(mode, "disable") == 0 || strcmp(mode, "allow") == 0 || strcmp(mode, "prefer") == 0) &&
        strcmp(value_of(options, "gssencmode"), "require") != 0)
        status = check_hosts(options, mode, consent, reterr);
    PQconninfoFree(options);
    return status;
}

const char *pg_weakness(PGconn *raw)
{
    PQconninfoOption *options = PQconninfo(raw);
    const char *mode = options ? value_of(options, "sslmode") : "";
    bool unverified = PQsslInUse(raw) && (strcmp(mode, "verify-full") != 0);

    PQconninfoFree(options);
    return unverified ? "the server's certificate is not fully verified: whoever answers in its place may be believed;"
                        " set sslmode=verify-full and sslrootcert in the dsn"
                      : NULL;
}

/* ---- OpenSSL's verdict ---- */

/* libpq makes, verifies and frees the connection's SSL object by itself, all of it in one call
 * when the server's answers are there at once.  So the verdict is read while the object is
 * freed: the one moment that always comes, and in the thread that connects. */
static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static _Thread_local int *note;

static void take_verdict(void *ssl, void *data, CRYPTO_EX_DATA *all, int index, long argl, void *argp)
{
    long verdict = note && ssl ? SSL_get_verify_result(ssl) : X509_V_OK;

    (void)data, (void)all, (void)index, (void)argl, (void)argp;
    if (verdict != X509_V_OK)
        *note = (int)verdict;
}

static void make_index(void)
{
    /* without it (no memory) the advice is less precise, no more */
    (void)SSL_get_ex_new_index(0, NULL, NULL, NULL, take_verdict);
}

PostgresPollingStatusType pg_secure_poll(PGconn *raw, int *ret_certificate)
{
    PostgresPollingStatusType status;

    pthread_once(&index_once, make_index);
    note = ret_certificate;
    status = PQconnectPoll(raw);
    note = NULL;
    return status;
}

/* ---- why connecting failed ---- */

/* Takes the SQLSTATE out of "FATAL:  28P01: ..."; with several hosts the last one's. */
static void take_sqlstate(char *text, char ret[6])
{
    char *at = text;

    ret[0] = '\0';
    while ((at = strstr(at, ":  ")) != NULL) {
        at += 3;
        if (strspn(at, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || strncmp(at + 5, ": ", 2) != 0)
            continue;
        memcpy(ret, at, 5);
        ret[5] = '\0';
        memmove(at, at + 7, strlen(at + 7) + 1);
    }
}

/* One line, without the lines that tell where in the server it was. */
static void one_line(const char *message, char *ret, size_t room)
{
    size_t size = 0;

    while (*message && size + 1 < room) {
        if (strncmp(message, "\nLOCATION:", 10) == 0) {
            message += 1 + strcspn(message + 1, "\n");
            continue;
        }
        ret[size++] = *message == '\n' || *message == '\t' ? ' ' : *message;
        message++;
    }
    while (size > 0 && ret[size - 1] == ' ')
        size--;
    ret[size] = '\0';
}

static const char *certificate_advice(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "the server's certificate has expired or is not valid yet: renew it there (ssl_cert_file), or set this"
               " machine's clock";
    case X509_V_OK:
        return "the server's certificate is not accepted: is sslrootcert in the dsn the CA that signed it, and is it"
               " still valid?";
    default:
        return "the server's certificate is not signed by a CA of sslrootcert: name the file with the certificate of"
               " the CA that signed it in the dsn";
    }
}

/* libpq's own words, which are the same in every release since 14 and in no other
 * language, as the programs choose none. */
static const char *client_advice(const char *text, int certificate)
{
    static const struct {
        const char *part, *advice;
    } map[] = {
        {"does not match host name", "give host in the dsn a name that stands in the server's certificate"},
        {"does not support SSL", "the server speaks no TLS there: set ssl=on in PostgreSQL, or check host and port in"
                                 " the dsn"},
        {"could not translate host name", "check host in the dsn"},
        {"Connection refused", "check host and port in the dsn, and that the server runs"},
        {"alert unknown ca", "the server does not trust the client certificate: check sslcert in the dsn"},
        {"alert certificate required", "the server wants a client certificate: set sslcert and sslkey in the dsn"},
    };

    if (strstr(text, "certificate verify failed"))
        return certificate_advice(certificate);
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        if (strstr(text, map[i].part))
            return map[i].advice;
    }
    return "";
}

static const char *server_advice(const char *sqlstate, const char *text)
{
    if (strcmp(sqlstate, "28P01") == 0)
        return "check user and password in the dsn (or PGPASSFILE, PGPASSWORD); PostgreSQL says the same when the role"
               " does not exist or has no password";
    if (strcmp(sqlstate, "28000") == 0 && strstr(text, "no encryption"))
        return "the server takes this user with TLS only: set sslmode=verify-full and sslrootcert in the dsn";
    if (strcmp(sqlstate, "28000") == 0 && strstr(text, "certificate"))
        return "set sslcert and sslkey in the dsn, of a certificate for this user";
    if (strcmp(sqlstate, "28000") == 0)
        return "check user in the dsn, that the role may log in, and the server's pg_hba.conf";
    if (strcmp(sqlstate, "3D000") == 0)
        return "check dbname in the dsn";
    if (strcmp(sqlstate, "42501") == 0)
        return "GRANT CONNECT ON DATABASE to this user";
    if (strcmp(sqlstate, "53300") == 0)
        return "raise max_connections, or the role's CONNECTION LIMIT";
    return "";
}

void pg_secure_explain(const char *message, int certificate, struct pg_failure *ret)
{
    one_line(message, ret->text, sizeof(ret->text));
    take_sqlstate(ret->text, ret->sqlstate);
    ret->advice = ret->sqlstate[0] ? server_advice(ret->sqlstate, ret->text) : client_advice(ret->text, certificate);
}

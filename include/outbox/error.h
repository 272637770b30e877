/* Errors of liboutbox.
 *
 * Every function that can fail returns an int: 0 (OUTBOX_OK) or a positive
 * answer that its comment names, or one of the negative codes below.  A function
 * that takes an `outbox_error **reterr` puts an object with the details there on
 * failure, unless the pointer is NULL; the caller frees it with
 * outbox_error_free().  On success *reterr is not touched.  Before the first call
 * *reterr must be NULL: an error that is still there is freed when the next one comes.
 */
#ifndef OUTBOX_ERROR_H
#define OUTBOX_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#ifndef OUTBOX_API
#if defined(__GNUC__)
#define OUTBOX_API __attribute__((visibility("default")))
#else
#define OUTBOX_API
#endif
#endif

/* code, value, name, meaning.  Values never change. */
#define OUTBOX_ERROR_MAP(X)                                                                                  \
    X(OUTBOX_OK, 0, "ok", "success")                                                                         \
    X(OUTBOX_EINVAL, -1001, "invalid", "an argument or a field of the event is not allowed")                 \
    X(OUTBOX_ELIMIT, -1002, "limit", "a value exceeds its limit")                                            \
    X(OUTBOX_ESTATE, -1003, "state", "not possible in the present state, such as without a transaction")     \
    X(OUTBOX_ENOMEM, -1004, "memory", "out of memory")                                                       \
    X(OUTBOX_ESERVER, -1005, "server", "PostgreSQL refused; the transaction must be rolled back")            \
    X(OUTBOX_ECONNECTION, -1006, "connection", "the connection is lost; what was sent has an unknown fate")  \
    X(OUTBOX_ETIMEOUT, -1007, "timeout", "the deadline passed")                                              \
    X(OUTBOX_ESIGNATURE, -1008, "signature", "a webhook is not authentic, or too old or too new")            \
    X(OUTBOX_EINTERNAL, -1009, "internal", "a fault of the library or of one below it")

/* What functions return. */
enum outbox_status {
#define OUTBOX_ERROR_ENUM(code, value, name, meaning) code = value,
    OUTBOX_ERROR_MAP(OUTBOX_ERROR_ENUM)
#undef OUTBOX_ERROR_ENUM
};

/* The details of a failure. */
typedef struct outbox_error outbox_error;

/* The code, one of enum outbox_status.  err may not be NULL. */
OUTBOX_API int outbox_error_code(const outbox_error *err);

/* The message, for people: one line that names the field and the remedy.  Owned by err. */
OUTBOX_API const char *outbox_error_message(const outbox_error *err);

/* The field that is at fault ("payload"), or "" if none is.  Owned by err. */
OUTBOX_API const char *outbox_error_field(const outbox_error *err);

/* The SQLSTATE that PostgreSQL reported (five characters), or "".  Owned by err.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html */
OUTBOX_API const char *outbox_error_sqlstate(const outbox_error *err);

/* Frees err.  NULL is allowed. */
OUTBOX_API void outbox_error_free(outbox_error *err);

/* The short name of a code ("limit"), or "unknown".  Static storage. */
OUTBOX_API const char *outbox_status_name(int code);

/* What a code means, one line.  Static storage. */
OUTBOX_API const char *outbox_status_text(int code);

#ifdef __cplusplus
}
#endif

#endif

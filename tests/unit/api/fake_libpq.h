/* Stands in for the functions of libpq that touch a connection: their answers are set by the test,
 * and what would be sent is kept.  Results are libpq's own.  Link with fake_libpq_ldflags. */
#ifndef FAKE_LIBPQ_H
#define FAKE_LIBPQ_H

#include <libpq-events.h>
#include <libpq-fe.h>
#include <stdbool.h>

#define FAKE_PARAMS 13

struct fake_libpq {
    ConnStatusType status;
    PGTransactionStatusType transaction;
    PGpipelineStatus pipeline;
    const char *encoding;
    const char *message;
    PGresult *result; /* what the next statement answers; NULL: it could not be sent */
    bool cannot_queue;

    bool cannot_register;

    int sent; /* statements, of both kinds */
    int queued;
    const char *prepared[4]; /* as PQprepare() got them */
    int prepared_count;
    const char *named; /* the name of the prepared statement that was sent last; NULL: it was not prepared */
    PGEventProc listener;
    void *instance;
    char sql[512];
    int count;
    Oid types[FAKE_PARAMS];
    const char *values[FAKE_PARAMS];
    int sizes[FAKE_PARAMS];
    int formats[FAKE_PARAMS];
    int result_format;
};

extern struct fake_libpq fake;

/* An open connection in an open transaction. */
PGconn *fake_conn(void);
void fake_free(void);
/* As PQreset() does. */
void fake_reset(PGconn *conn);

/* A result with rows of (id, already_emitted), the bytes of the n-th id all n + 1. */
PGresult *fake_rows(int count, const bool *already);
/* A result with one row of one text. */
PGresult *fake_text(const char *text);
/* An error as the server sends it is not to be had without a server: see tests/integration. */
PGresult *fake_result(ExecStatusType status);

#endif

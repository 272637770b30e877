#include "fake_libpq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

struct fake_libpq fake;

static int place; /* the connection is only ever an address */

ConnStatusType __wrap_PQstatus(const PGconn *conn);
PGTransactionStatusType __wrap_PQtransactionStatus(const PGconn *conn);
PGpipelineStatus __wrap_PQpipelineStatus(const PGconn *conn);
const char *__wrap_PQparameterStatus(const PGconn *conn, const char *name);
char *__wrap_PQerrorMessage(const PGconn *conn);
PGresult *__wrap_PQexecParams(PGconn *conn, const char *sql, int count, const Oid *types,
                              const char *const *values, const int *sizes, const int *formats,
                              int result_format);
int __wrap_PQsendQueryParams(PGconn *conn, const char *sql, int count, const Oid *types,
                             const char *const *values, const int *sizes, const int *formats,
                             int result_format);

PGresult *__wrap_PQprepare(PGconn *conn, const char *name, const char *sql, int count, const Oid *types);
PGresult *__wrap_PQexecPrepared(PGconn *conn, const char *name, int count, const char *const *values,
                                const int *sizes, const int *formats, int result_format);
int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int count, const char *const *values,
                               const int *sizes, const int *formats, int result_format);
int __wrap_PQregisterEventProc(PGconn *conn, PGEventProc proc, const char *name, void *passthrough);
int __wrap_PQsetInstanceData(PGconn *conn, PGEventProc proc, void *data);
void *__wrap_PQinstanceData(const PGconn *conn, PGEventProc proc);

PGconn *fake_conn(void)
{
    fake_free();
    memset(&fake, 0, sizeof(fake));
    fake.status = CONNECTION_OK;
    fake.transaction = PQTRANS_INTRANS;
    fake.pipeline = PQ_PIPELINE_OFF;
    fake.encoding = "UTF8";
    fake.message = "";
    return (PGconn *)&place;
}

void fake_free(void)
{
    PQclear(fake.result);
    fake.result = NULL;
}

/* As many parameters as the statement names, which the server would refuse otherwise. */
static void check_count(const char *sql, int count)
{
    char last[16];
    char next[16];

    assert_in_range(count, 1, FAKE_PARAMS);
    snprintf(last, sizeof(last), "$%d", count);
    snprintf(next, sizeof(next), "$%d", count + 1);
    assert_non_null(strstr(sql, last));
    assert_null(strstr(sql, next));
}

static void keep(const char *sql, int count, const Oid *types, const char *const *values, const int *sizes,
                 const int *formats, int result_format)
{
    /* Not malloc(): a test may have it fail. */
    static char room[64 * 1024];
    size_t used = 0;

    if (sql[0])
        check_count(sql, count);
    snprintf(fake.sql, sizeof(fake.sql), "%s", sql);
    for (int i = 0; i < count; i++) {
        fake.values[i] = NULL;
        fake.types[i] = types ? types[i] : 0;
        fake.formats[i] = formats[i];
        fake.sizes[i] = sizes[i];
        if (values[i]) {
            assert_in_range(sizes[i], 0, sizeof(room) - used);
            fake.values[i] = room + used;
            memcpy(room + used, values[i], (size_t)sizes[i]);
            used += (size_t)sizes[i];
        }
    }
    fake.count = count;
    fake.result_format = result_format;
    fake.sent++;
}

ConnStatusType __wrap_PQstatus(const PGconn *conn)
{
    assert_ptr_equal(conn, &place);
    return fake.status;
}

PGTransactionStatusType __wrap_PQtransactionStatus(const PGconn *conn)
{
    assert_ptr_equal(conn, &place);
    return fake.transaction;
}

PGpipelineStatus __wrap_PQpipelineStatus(const PGconn *conn)
{
    assert_ptr_equal(conn, &place);
    return fake.pipeline;
}

const char *__wrap_PQparameterStatus(const PGconn *conn, const char *name)
{
    assert_ptr_equal(conn, &place);
    return strcmp(name, "client_encoding") == 0 ? fake.encoding : NULL;
}

char *__wrap_PQerrorMessage(const PGconn *conn)
{
    assert_ptr_equal(conn, &place);
    return (char *)(uintptr_t)fake.message;
}

PGresult *__wrap_PQexecParams(PGconn *conn, const char *sql, int count, const Oid *types,
                              const char *const *values, const int *sizes, const int *formats,
                              int result_format)
{
    PGresult *result = fake.result;

    assert_ptr_equal(conn, &place);
    keep(sql, count, types, values, sizes, formats, result_format);
    fake.named = NULL;
    fake.result = NULL;
    return result;
}

int __wrap_PQsendQueryParams(PGconn *conn, const char *sql, int count, const Oid *types,
                             const char *const *values, const int *sizes, const int *formats,
                             int result_format)
{
    assert_ptr_equal(conn, &place);
    if (fake.cannot_queue)
        return 0;
    keep(sql, count, types, values, sizes, formats, result_format);
    fake.named = NULL;
    fake.queued++;
    return 1;
}

PGresult *__wrap_PQprepare(PGconn *conn, const char *name, const char *sql, int count, const Oid *types)
{
    PGresult *result = fake.result;

    assert_ptr_equal(conn, &place);
    assert_non_null(sql);
    check_count(sql, count);
    assert_int_equal(types[2], 17);
    if (result)
        fake.result = NULL;
    else
        result = PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
    if (fake.prepared_count < 4)
        fake.prepared[fake.prepared_count] = name;
    fake.prepared_count++;
    return result;
}

PGresult *__wrap_PQexecPrepared(PGconn *conn, const char *name, int count, const char *const *values,
                                const int *sizes, const int *formats, int result_format)
{
    PGresult *result = fake.result;

    assert_ptr_equal(conn, &place);
    keep("", count, NULL, values, sizes, formats, result_format);
    fake.named = name;
    fake.result = NULL;
    return result;
}

int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int count, const char *const *values,
                               const int *sizes, const int *formats, int result_format)
{
    assert_ptr_equal(conn, &place);
    if (fake.cannot_queue)
        return 0;
    keep("", count, NULL, values, sizes, formats, result_format);
    fake.named = name;
    fake.queued++;
    return 1;
}

int __wrap_PQregisterEventProc(PGconn *conn, PGEventProc proc, const char *name, void *passthrough)
{
    assert_ptr_equal(conn, &place);
    assert_non_null(name);
    assert_null(passthrough);
    if (fake.listener || fake.cannot_register)
        return 0;
    fake.listener = proc;
    return 1;
}

int __wrap_PQsetInstanceData(PGconn *conn, PGEventProc proc, void *data)
{
    assert_ptr_equal(conn, &place);
    if (fake.listener != proc)
        return 0;
    fake.instance = data;
    return 1;
}

void *__wrap_PQinstanceData(const PGconn *conn, PGEventProc proc)
{
    assert_ptr_equal(conn, &place);
    return fake.listener == proc ? fake.instance : NULL;
}

void fake_reset(PGconn *conn)
{
    PGEventConnReset info = {conn};

    assert_non_null(fake.listener);
    assert_int_equal(fake.listener(PGEVT_CONNRESET, &info, NULL), 1);
}

PGresult *fake_result(ExecStatusType status)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, status);

    assert_non_null(result);
    return result;
}

PGresult *fake_rows(int count, const bool *already)
{
    char id_name[] = "id";
    char already_name[] = "already_emitted";
    PGresAttDesc columns[2] = {{.name = id_name, .format = 1, .typid = 2950, .typlen = 16},
                               {.name = already_name, .format = 1, .typid = 16, .typlen = 1}};
    PGresult *result = fake_result(PGRES_TUPLES_OK);

    assert_true(PQsetResultAttrs(result, 2, columns));
    for (int i = 0; i < count; i++) {
        char id[16];
        char flag = (char)already[i];

        memset(id, i + 1, sizeof(id));
        assert_true(PQsetvalue(result, i, 0, id, sizeof(id)));
        assert_true(PQsetvalue(result, i, 1, &flag, 1));
    }
    return result;
}

PGresult *fake_text(const char *text)
{
    char name[] = "answer";
    char value[32];
    PGresAttDesc column = {.name = name, .typid = 25, .typlen = -1};
    PGresult *result = fake_result(PGRES_TUPLES_OK);
    int size = snprintf(value, sizeof(value), "%s", text);

    assert_true(PQsetResultAttrs(result, 1, &column));
    assert_true(PQsetvalue(result, 0, 0, value, size));
    return result;
}

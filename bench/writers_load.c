/* writers-load DSN VARIANT CLIENTS SECONDS: business transactions, one after the other on each of
 * CLIENTS connections, for SECONDS; prints how many a second were committed.
 *
 *   alone               BEGIN; INSERT; COMMIT
 *   insert              the same with a plain INSERT of the event's row
 *   emit                the same with outbox_emit()
 *   sql                 the same with SELECT outbox.emit()
 *
 * all prepared; emit and insert as NAME_unprepared (unprepared: of emit) like behind a pooler. */
#include <inttypes.h>
#include <libpq-fe.h>
#include <outbox/outbox.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD_SIZE 300

static const char business_sql[] =
    "INSERT INTO business (customer, amount, note) VALUES ($1::integer, 1, repeat('x', 100))";
/* The statement that outbox_emit() sends, into another table. */
static const char insert_sql[] =
    "INSERT INTO plain (type, key, payload, content_type, topic, headers, id, tenant, partition, traceparent,"
    " tracestate, occurred_at, schema_ref)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, clock_timestamp()), $13)";
static const Oid insert_types[] = {25, 25, 17, 25, 25, 3802, 2950, 25, 23, 25, 25, 1184, 25};
static const char sql_sql[] =
    "SELECT outbox.emit(type => $1, key => $2, payload => convert_from($3, 'UTF8')::jsonb)";

static atomic_bool stop;

struct client {
    pthread_t thread;
    PGconn *conn;
    const char *variant;
    outbox_event *ev;
    int64_t committed;
    char payload[PAYLOAD_SIZE];
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "writers-load: %s: %s\n", what, why);
    exit(1);
}

static void expect(PGconn *conn, PGresult *result, ExecStatusType status)
{
    if (PQresultStatus(result) != status)
        die("statement", PQerrorMessage(conn));
    PQclear(result);
}

static void insert_event(struct client *client, const char *key)
{
    static const int formats[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    char id[16];
    const char *values[13] = {"order_placed", key, client->payload, "application/json"};
    const int sizes[13] = {12, (int)strlen(key), PAYLOAD_SIZE, 16, 0, 0, sizeof(id)};

    if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
        die("getrandom", "failed");
    values[6] = id;
    expect(client->conn,
           strcmp(client->variant, "insert") == 0
               ? PQexecPrepared(client->conn, "event", 13, values, sizes, formats, 1)
               : PQexecParams(client->conn, insert_sql, 13, insert_types, values, sizes, formats, 1),
           PGRES_COMMAND_OK);
}

/* The second statement of a transaction. */
static void write_event(struct client *client, const char *key)
{
    static const int formats[] = {0, 0, 1};
    const char *values[] = {"order_placed", key, client->payload};
    const int sizes[] = {0, 0, PAYLOAD_SIZE};
    outbox_error *err = NULL;

    if (strcmp(client->variant, "alone") == 0)
        return;
    if (strncmp(client->variant, "insert", 6) == 0) {
        insert_event(client, key);
    } else if (strcmp(client->variant, "sql") == 0) {
        expect(client->conn, PQexecPrepared(client->conn, "event", 3, values, sizes, formats, 1),
               PGRES_TUPLES_OK);
    } else {
        outbox_event_set_key(client->ev, key);
        if (outbox_emit(client->conn, client->ev, NULL, &err) != OUTBOX_OK)
            die("outbox_emit", outbox_error_message(err));
    }
}

static void prepare(struct client *client)
{
    static const Oid types[] = {25, 25, 17};
    outbox_error *err = NULL;

    expect(client->conn, PQprepare(client->conn, "business", business_sql, 1, NULL), PGRES_COMMAND_OK);
    if (strcmp(client->variant, "insert") == 0)
        expect(client->conn, PQprepare(client->conn, "event", insert_sql, 13, insert_types), PGRES_COMMAND_OK);
    if (strcmp(client->variant, "sql") == 0)
        expect(client->conn, PQprepare(client->conn, "event", sql_sql, 3, types), PGRES_COMMAND_OK);
    if (strcmp(client->variant, "emit") == 0 && outbox_emit_prepare(client->conn, &err) != OUTBOX_OK)
        die("outbox_emit_prepare", outbox_error_message(err));
}

static void *work(void *argument)
{
    struct client *client = argument;
    unsigned seed = (unsigned)(uintptr_t)client;
    char key[16];
    const char *values[] = {key};

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        snprintf(key, sizeof(key), "%d", rand_r(&seed) % 1000 + 1);
        expect(client->conn, PQexec(client->conn, "BEGIN"), PGRES_COMMAND_OK);
        expect(client->conn, PQexecPrepared(client->conn, "business", 1, values, NULL, NULL, 1),
               PGRES_COMMAND_OK);
        write_event(client, key);
        expect(client->conn, PQexec(client->conn, "COMMIT"), PGRES_COMMAND_OK);
        client->committed++;
    }
    return NULL;
}

static void open_client(struct client *client, const char *dsn, const char *variant)
{
    client->variant = variant;
    client->conn = PQconnectdb(dsn);
    client->ev = outbox_event_new();
    if (PQstatus(client->conn) != CONNECTION_OK || !client->ev)
        die("connect", PQerrorMessage(client->conn));
    memset(client->payload, 'x', PAYLOAD_SIZE);
    memcpy(client->payload, "{\"p\":\"", 6);
    memcpy(client->payload + PAYLOAD_SIZE - 2, "\"}", 2);
    outbox_event_set_type(client->ev, "order_placed");
    outbox_event_set_content_type(client->ev, "application/json");
    outbox_event_set_payload(client->ev, client->payload, PAYLOAD_SIZE);
    prepare(client);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    int count = argc == 5 ? (int)strtol(argv[3], NULL, 10) : 0;
    struct client *clients = calloc((size_t)(count > 0 ? count : 1), sizeof(*clients));
    int64_t committed = 0;
    double start;

    if (count <= 0 || !clients)
        die("usage", "writers-load DSN VARIANT CLIENTS SECONDS");
    for (int i = 0; i < count; i++)
        open_client(&clients[i], argv[1], argv[2]);
    start = now();
    for (int i = 0; i < count; i++) {
        if (pthread_create(&clients[i].thread, NULL, work, &clients[i]) != 0)
            die("thread", "cannot start");
    }
    sleep((unsigned)strtoul(argv[4], NULL, 10));
    atomic_store(&stop, true);
    for (int i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        committed += clients[i].committed;
    }
    printf("%.1f\n", (double)committed / (now() - start));
    for (int i = 0; i < count; i++) {
        PQfinish(clients[i].conn);
        outbox_event_free(clients[i].ev);
    }
    free(clients);
    return 0;
}

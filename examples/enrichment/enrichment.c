/* Joins orders with what is known of their customers and products, and emits order_enriched (enrich.c). */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enrich.h"

#define NAME_SIZE 250 /* Kafka's limit of a topic's name, and a zero */
#define PROPERTIES 20

struct options {
    const char *dsn;
    const char *catalog;
    const char *kafka;
    const char *prefix;
    char *properties[PROPERTIES]; /* NAME=VALUE, of librdkafka */
    size_t property_count;
};

static outbox_consumer *consumer;

/* "PREFIX.NAME", or NAME. */
static const char *full_name(char buffer[NAME_SIZE], const char *prefix, const char *name)
{
    snprintf(buffer, NAME_SIZE, "%s%s%s", prefix, *prefix ? "." : "", name);
    return buffer;
}

static void tell(int level, const char *event, const char *text, void *context)
{
    (void)context;
    if (level <= OUTBOX_CONSUMER_INFO)
        fprintf(stderr, "enrichment: %s: %s\n", event, text);
}

static void stop(int number)
{
    (void)number;
    outbox_consumer_stop(consumer);
}

static int make(const struct options *options, struct enrichment *enrichment)
{
    static const char *const topics[] = {"order_placed", "user_created", "users", "product_changed"};
    outbox_consumer_options *made = outbox_consumer_options_new();
    outbox_error *err = NULL;
    char name[NAME_SIZE];
    int r;

    /* The answers of setters need not be looked at: outbox_consumer_new() tells of all. */
    outbox_consumer_options_set_name(made, full_name(name, options->prefix, "enrichment"));
    outbox_consumer_options_set_dsn(made, options->dsn);
    outbox_consumer_options_set_property(made, "bootstrap.servers", options->kafka);
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
        outbox_consumer_options_add_topic(made, full_name(name, options->prefix, topics[i]));
    /* Topics that are made later are to be found soon. */
    outbox_consumer_options_set_property(made, "topic.metadata.refresh.interval.ms", "5000");
    for (size_t i = 0; i < options->property_count; i++) {
        char *value = strchr(options->properties[i], '=');

        snprintf(name, sizeof(name), "%.*s", (int)(value - options->properties[i]), options->properties[i]);
        outbox_consumer_options_set_property(made, name, value + 1);
    }
    outbox_consumer_options_set_handler(made, enrich_apply, enrichment);
    /* About five minutes: an order is not given up because the catalogue is away for a while. */
    outbox_consumer_options_set_retries(made, 36, 500, 10000);
    outbox_consumer_options_set_log(made, tell, NULL);
    r = outbox_consumer_new(made, &consumer, &err);
    if (r < 0)
        fprintf(stderr, "enrichment: %s\n", outbox_error_message(err));
    outbox_error_free(err);
    outbox_consumer_options_free(made);
    return r;
}

/* On a connection of its own. */
static int with_connection(const char *dsn, int (*call)(PGconn *conn))
{
    const char *const names[] = {"dbname", "connect_timeout", "tcp_user_timeout", NULL};
    const char *const values[] = {dsn, "5", "10000", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);
    int status = 1;

    if (PQstatus(conn) == CONNECTION_OK)
        status = call(conn);
    else
        fprintf(stderr, "enrichment: %s", PQerrorMessage(conn));
    PQfinish(conn);
    return status;
}

static int consume(const struct options *options)
{
    char topic[NAME_SIZE];
    struct enrichment enrichment = {.catalog = catalog_new(options->catalog),
                                    .topic = full_name(topic, options->prefix, "order_enriched")};
    outbox_error *err = NULL;
    int status = 1;

    if (!enrichment.catalog || make(options, &enrichment) < 0)
        goto out;
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    status = 0;
    if (outbox_consumer_run(consumer, &err) < 0) {
        fprintf(stderr, "enrichment: %s\n", outbox_error_message(err));
        status = 1;
    }
    outbox_error_free(err);
    /* Another signal must not touch what is freed: it ends the process, whose work is committed. */
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    outbox_consumer_free(consumer);
    if (with_connection(options->dsn, enrich_report) != 0)
        status = 1;
out:
    catalog_free(enrichment.catalog);
    return status;
}

static int dispatch(const struct options *options, const char *verb)
{
    char topic[NAME_SIZE];

    if (strcmp(verb, "setup") == 0)
        return with_connection(options->dsn, enrich_set_up);
    if (strcmp(verb, "setup-catalog") == 0)
        return catalog_set_up(options->catalog, full_name(topic, options->prefix, "product_changed"));
    if (strcmp(verb, "report") == 0)
        return with_connection(options->dsn, enrich_report);
    if (strcmp(verb, "run") == 0 && options->kafka)
        return consume(options);
    return 2;
}

static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option longopts[] = {{"kafka", required_argument, NULL, 'k'},
                                             {"prefix", required_argument, NULL, 'p'},
                                             {"set", required_argument, NULL, 's'},
                                             {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (option == 'k')
            options->kafka = optarg;
        else if (option == 'p')
            options->prefix = optarg;
        else if (option == 's' && strchr(optarg, '=') && options->property_count < PROPERTIES)
            options->properties[options->property_count++] = optarg;
        else
            return 0;
    }
    return options->dsn && optind + 1 == argc && strlen(options->prefix) < 200;
}

int main(int argc, char **argv)
{
    /* From the environment: everybody on the machine can read a command line. */
    struct options options = {.dsn = getenv("OUTBOX_DSN"), .catalog = getenv("CATALOG_DSN"), .prefix = ""};
    int status = 2;

    if (!options.catalog)
        options.catalog = options.dsn;
    if (parse_options(argc, argv, &options))
        status = dispatch(&options, argv[optind]);
    if (status == 2)
        fputs("usage: enrichment setup | setup-catalog | report\n"
              "       enrichment --kafka HOST:PORT [--set NAME=VALUE]... run\n"
              "  --prefix P   topics and the consumer are named P.order_placed, ...\n"
              "  --set        a property of librdkafka: TLS, SASL and so on\n"
              "The DSN is taken from OUTBOX_DSN, the catalogue's from CATALOG_DSN, if that is another.\n",
              stderr);
    return status;
}

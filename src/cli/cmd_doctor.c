/* outboxctl doctor: what is wrong, what it means, what to do. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/output.h"
#include "cli/relay_config.h"
#include "runtime/log.h"

static const struct flag_spec flags[] = {
    RELAY_CONFIG_FLAGS,
    {"patience", "TIME", "what waits longer is a finding; 60s"},
    {"transaction-age", "TIME", "a transaction that is open longer is one; 15m"},
    {"list", NULL, "only list what can be found"},
    {NULL, NULL, NULL},
};

static const char *severity(const struct finding_kind *kind)
{
    return kind->critical ? "critical" : "warning";
}

static int print_list(const struct cli *cli)
{
    json_t *array = json_array();

    for (int i = 0; i < FINDINGS; i++) {
        const struct finding_kind *kind = &finding_kinds[i];

        json_array_append_new(array, json_pack("{s:s,s:s,s:s,s:s}", "name", kind->name, "severity",
                                               severity(kind), "meaning", kind->meaning, "remedy", kind->remedy));
        if (!cli->json)
            printf("%s%s (%s)\n  %s\n  remedy: %s\n", i > 0 ? "\n" : "", kind->name, severity(kind),
                   kind->meaning, kind->remedy);
    }
    if (cli->json)
        print_json(stdout, array);
    else
        json_decref(array);
    return CLI_OK;
}

/* ---- what was found ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static void print_finding(const json_t *finding)
{
    const char *subject = text_of(finding, "subject");
    const char *detail = text_of(finding, "detail");

    printf("%s: %s%s", text_of(finding, "severity"), text_of(finding, "name"), *subject ? ": " : "");
    print_escaped(stdout, subject, strlen(subject));
    printf(": ");
    print_escaped(stdout, detail, strlen(detail));
    printf("\n    %s\n    remedy: %s\n", text_of(finding, "meaning"), text_of(finding, "remedy"));
}

/* Those that share a reason stand on one line. */
static void print_unchecked(json_t *unchecked)
{
    for (size_t i = 0; i < json_array_size(unchecked); i++) {
        const char *why = text_of(json_array_get(unchecked, i), "why");
        bool said = false;

        for (size_t j = 0; j < i && !said; j++)
            said = strcmp(text_of(json_array_get(unchecked, j), "why"), why) == 0;
        if (said)
            continue;
        printf("not checked: ");
        for (size_t j = i; j < json_array_size(unchecked); j++) {
            const json_t *other = json_array_get(unchecked, j);

            if (strcmp(text_of(other, "why"), why) == 0)
                printf("%s%s", j > i ? ", " : "", text_of(other, "name"));
        }
        printf(" (");
        print_escaped(stdout, why, strlen(why));
        printf(")\n");
    }
}

static void print_findings(const struct doctor *doctor)
{
    static const char *const severities[] = {"critical", "warning"};
    size_t counts[2] = {0, 0};

    for (int i = 0; i < 2; i++) {
        size_t at;
        json_t *finding;

        json_array_foreach(doctor->findings, at, finding)
        {
            if (strcmp(text_of(finding, "severity"), severities[i]) != 0)
                continue;
            counts[i]++;
            print_finding(finding);
        }
    }
    print_unchecked(doctor->unchecked);
    if (counts[0] + counts[1] == 0)
        printf("no findings\n");
    else
        printf("%zu critical, %zu warnings\n", counts[0], counts[1]);
}

static int examine(struct doctor *doctor)
{
    struct cli *cli = doctor->cli;
    int code = cli_connect(cli);

    if (code == CLI_OK)
        code = doctor_check_schema(doctor);
    if (code == CLI_OK)
        code = doctor_check_database(doctor);
    if (code == CLI_OK)
        code = doctor_check_kafka(doctor);
    if (code != CLI_OK)
        return code;
    if (cli->json)
        print_json(stdout, json_pack("{s:O,s:O}", "findings", doctor->findings, "unchecked", doctor->unchecked));
    else
        print_findings(doctor);
    return json_array_size(doctor->findings) > 0 ? CLI_FAILED : CLI_OK;
}

static int run(struct cli *cli)
{
    struct doctor doctor = {.cli = cli, .findings = json_array(), .unchecked = json_array()};
    outbox_error *err = NULL;
    int code = CLI_OK;

    /* What Kafka's client says on its own stands in the findings. */
    log_set_level(LOG_LEVEL_ERROR);
    if (gethostname(doctor.host, sizeof(doctor.host) - 1) != 0)
        code = cli_fail(CLI_FAILED, "this machine has no name");
    else if (flag_given(&cli->args, "list"))
        code = print_list(cli);
    else if (flag_duration(&cli->args, "patience", MILLISECONDS(1), SECONDS(86400 * 30), SECONDS(60),
                           &doctor.patience, &err) < 0 ||
             flag_duration(&cli->args, "transaction-age", MILLISECONDS(1), SECONDS(86400 * 30), SECONDS(900),
                           &doctor.transaction_age, &err) < 0)
        code = cli_fail_error(err);
    else if (relay_config_named(cli))
        code = relay_config_load(cli, &doctor.config);
    if (code == CLI_OK && !flag_given(&cli->args, "list"))
        code = examine(&doctor);
    cli->dsn = NULL; /* the configuration's */
    config_free(doctor.config);
    json_decref(doctor.findings);
    json_decref(doctor.unchecked);
    return code;
}

static const struct example examples[] = {
    {"doctor", "is anything wrong in the database?"},
    {"doctor --config /etc/outbox/relay.conf", "and in Kafka, with the relay's settings"},
    {"doctor --list", "everything that it can find, with its remedy"},
    {NULL, NULL},
};

static const struct exit_text exits[] = {
    {CLI_OK, "nothing was found"},
    {CLI_FAILED, "there are findings"},
    {0, NULL},
};

const struct command doctor_command = {
    .name = "doctor",
    .operands = "",
    .summary = "Looks for what is wrong or will be, and says what to do",
    .help = "Changes nothing, and fences no relay. The findings have stable names; a critical one\n"
            "means that events do not flow or may be lost. What could not be checked is listed, for\n"
            "example sessions of others without the role pg_read_all_stats.\n"
            "Kafka is checked if --config, --kafka, OUTBOX_CONFIG or OUTBOX_KAFKA_BOOTSTRAP_SERVERS\n"
            "name one; other settings of the relay come from its variables too. Not checked is the\n"
            "version of the brokers, which must be 3.6.1 or later.",
    .flags = flags,
    .examples = examples,
    .exits = exits,
    .run = run,
};

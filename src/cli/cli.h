/* outboxctl: what every verb is made of. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/flags.h"
#include "pg/conn.h"

/* Exit codes; documented in --help, hence never changed. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,     /* the command line, or a value in it, is not accepted */
    CLI_CONNECT = 3,   /* the database cannot be reached, or did not answer in time */
    CLI_NOT_FOUND = 4, /* what was named does not exist */
    CLI_REFUSED = 5    /* conflict, or missing rights */
};

struct cli {
    const struct command *command;
    struct arguments args;
    struct pg *pg; /* only if the command connects */
    bool insecure;   /* of a configuration file */
    const char *dsn; /* of a configuration file, used if the command line names none; or NULL */
    bool json;
    mono_us timeout; /* of a statement */
};

struct example {
    const char *line; /* what follows "outboxctl " */
    const char *text; /* what it is for */
};

struct exit_text {
    int code;
    const char *text;
};

/* Also the source of the manual: help.c prints all of it, `outboxctl help --json` too. */
struct command {
    const char *name;                /* "endpoint add" */
    const char *operands;            /* "URL", or "" */
    int least, most;                 /* of operands; most 0: none */
    const char *summary;             /* one line, without a full stop */
    const char *help;                /* more of it, lines of a terminal's width, or NULL */
    const struct flag_spec *flags;   /* NULL: none; ends with a name of NULL */
    const struct example *examples;  /* NULL: none; ends with a line of NULL */
    const struct exit_text *exits;   /* codes that mean more here than they do everywhere; ends with NULL */
    bool connects;                   /* run is called with a connection; else it calls cli_connect() itself */
    bool changes;                    /* may change the database; the others run inside cli_begin_reading() */
    int (*run)(struct cli *cli);     /* an exit code */
};

extern const struct command migrate_command;
extern const struct command status_command;
extern const struct command doctor_command;
extern const struct command lane_list_command;
extern const struct command lane_set_command;
extern const struct command lane_pause_command;
extern const struct command lane_resume_command;
extern const struct command lane_move_command;
extern const struct command enable_command;
extern const struct command adopt_command;
extern const struct command rebase_command;
extern const struct command emit_command;
extern const struct command tail_command;
extern const struct command endpoint_add_command;
extern const struct command endpoint_list_command;
extern const struct command endpoint_show_command;
extern const struct command endpoint_test_command;
extern const struct command endpoint_disable_command;
extern const struct command endpoint_enable_command;
extern const struct command endpoint_remove_command;
extern const struct command delivery_list_command;
extern const struct command delivery_show_command;
extern const struct command delivery_retry_command;
extern const struct command delivery_resolve_command;
extern const struct command parked_list_command;
extern const struct command parked_show_command;
extern const struct command parked_retry_command;
extern const struct command parked_reroute_command;
extern const struct command parked_discard_command;
extern const struct command route_list_command;
extern const struct command route_add_command;
extern const struct command route_remove_command;

/* Says on standard error what went wrong; returns code. */
int cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same of an error of the layers below, which it frees; returns the code that fits. */
int cli_fail_error(outbox_error *err);
/* Opens cli->pg, for commands that do not always need it. */
int cli_connect(struct cli *cli);
/* May it go without TLS to other machines? */
bool cli_insecure(const struct cli *cli);
/* Runs one statement with the deadline of the command line; text results.  An exit code. */
int cli_query(struct cli *cli, const char *sql, const struct pg_args *args, PGresult **ret_result);

/* Begins and ends a transaction whose rows in outbox.audit have the --reason of the command
 * line, for what does not take it as an argument. */
int cli_begin_reasoned(struct cli *cli);
int cli_commit(struct cli *cli);

/* The flag that every command has which leaves a row in outbox.audit. */
#define REASON_FLAG {"reason", "TEXT", "why, for the audit log (table outbox.audit)"}

/* Is text (NULL: not given) a UUID?  what names it in the message.  An exit code. */
int check_uuid(const char *what, const char *text);
/* Begins and ends a transaction that cannot write, READ COMMITTED.  An exit code. */
int cli_begin_reading(struct cli *cli);
int cli_end_reading(struct cli *cli);

#endif

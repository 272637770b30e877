/* outboxctl doctor: what it can find, and how findings are collected. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/cli.h"

enum finding {
    FINDING_SCHEMA_MISSING,
    FINDING_SCHEMA_OUTDATED,
    FINDING_SCHEMA_NEWER,
    FINDING_SCHEMA_ALTERED,
    FINDING_DATABASE_COPIED,
    FINDING_NOT_ENABLED,
    FINDING_XIDS_AHEAD,
    FINDING_STANDBY,
    FINDING_LANE_UNOWNED,
    FINDING_LANE_HALTED,
    FINDING_LANE_PAUSED,
    FINDING_LANE_BEHIND,
    FINDING_RELAYS_MANY,
    FINDING_TICKS_STOPPED,
    FINDING_BELL_HELD,
    FINDING_PARTITIONS_FEW,
    FINDING_EVENTS_PARKED,
    FINDING_TRANSACTION_LONG,
    FINDING_TRANSACTION_PREPARED,
    FINDING_SLOT_INACTIVE,
    FINDING_DURABILITY_OFF,
    FINDING_STANDBYS_MISSING,
    FINDING_AUTOVACUUM_OFF,
    FINDING_TABLE_BLOATED,
    FINDING_NOTIFY_QUEUE_FULL,
    FINDING_RIGHTS_PUBLIC,
    FINDING_RIGHTS_WRITER,
    FINDING_RELAY_SUPERUSER,
    FINDING_ENDPOINT_DISABLED,
    FINDING_ENDPOINT_FAILING,
    FINDING_DELIVERIES_LATE,
    FINDING_DELIVERIES_UNDECIDED,
    FINDING_KAFKA_UNREACHABLE,
    FINDING_PROGRESS_MISSING,
    FINDING_PROGRESS_POLICY,
    FINDING_PROGRESS_PARTITIONS,
    FINDING_POSITION_MISMATCH,
    FINDING_TOPIC_MISSING,
    FINDING_REPLICATION_LOW,
    FINDING_MIN_INSYNC_LOW,
    FINDING_UNCLEAN_ELECTION,
    FINDINGS
};

/* The names and the severities are part of the interface to operators. */
struct finding_kind {
    const char *name;
    bool critical; /* events do not flow, or may be lost; else a warning */
    const char *meaning;
    const char *remedy;
};

extern const struct finding_kind finding_kinds[FINDINGS];

struct config;

struct doctor {
    struct cli *cli;
    struct config *config;   /* the relay's, for Kafka; NULL: none was named */
    char host[256];          /* this machine, where the relay is supposed to run */
    mono_us patience;        /* what lasts longer is a finding */
    mono_us transaction_age; /* ... of transactions */
    json_t *findings;        /* objects: name, severity, subject, detail, meaning, remedy */
    json_t *unchecked;       /* objects: name, why */
    bool schema_usable;      /* the tables are those that the other checks expect */
};

/* subject (may be NULL): the lane, endpoint, topic ... that it is about. */
void doctor_found(struct doctor *doctor, enum finding finding, const char *subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* It could not be found out. */
void doctor_unchecked(struct doctor *doctor, enum finding finding, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One statement that reads, whose failure does not end the transaction.  false: it failed,
 * and all the findings first to last are noted as not checked. */
bool doctor_query(struct doctor *doctor, enum finding first, enum finding last, const char *sql,
                  const struct pg_args *args, PGresult **ret);

/* The parts.  Each adds what it finds; an exit code other than CLI_OK ends the command. */
int doctor_check_schema(struct doctor *doctor);
int doctor_check_database(struct doctor *doctor);
int doctor_check_kafka(struct doctor *doctor);

#endif

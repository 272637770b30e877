/* Is the schema the one that this program was made for? */
#include <string.h>

#include "cli/doctor.h"
#include "cli/migrations.h"

static void judge_row(struct doctor *doctor, const PGresult *rows, int row)
{
    int version = (int)pg_get_int(rows, row, 0);
    const char *name = PQgetvalue(rows, row, 1);

    if (version > migration_count)
        doctor_found(doctor, FINDING_SCHEMA_NEWER, name, "migration %d is applied, this program knows %d",
                     version, migration_count);
    else if (version != row + 1)
        doctor_found(doctor, FINDING_SCHEMA_ALTERED, name, "migration %d follows %d", version, row);
    else if (strcmp(PQgetvalue(rows, row, 2), migrations[row].checksum) != 0)
        doctor_found(doctor, FINDING_SCHEMA_ALTERED, name,
                     "migration %d was applied with the checksum %.12s..., here it has %.12s...", version,
                     PQgetvalue(rows, row, 2), migrations[row].checksum);
}

int doctor_check_schema(struct doctor *doctor)
{
    PGresult *result = NULL;
    bool exists;

    if (!doctor_query(doctor, FINDING_SCHEMA_MISSING, FINDING_SCHEMA_ALTERED,
                      "SELECT pg_catalog.to_regclass('outbox.migration') IS NOT NULL", NULL, &result))
        return CLI_OK;
    exists = pg_get_bool(result, 0, 0);
    PQclear(result);
    result = NULL;
    if (!exists) {
        doctor_found(doctor, FINDING_SCHEMA_MISSING, NULL, "there is no table outbox.migration");
        return CLI_OK;
    }
    if (!doctor_query(doctor, FINDING_SCHEMA_MISSING, FINDING_SCHEMA_ALTERED,
                      "SELECT version, name, checksum FROM outbox.migration ORDER BY 1", NULL, &result))
        return CLI_OK;
    for (int row = 0; row < PQntuples(result); row++)
        judge_row(doctor, result, row);
    if (PQntuples(result) < migration_count)
        doctor_found(doctor, FINDING_SCHEMA_OUTDATED, NULL, "%d of %d migrations are applied",
                     PQntuples(result), migration_count);
    doctor->schema_usable = PQntuples(result) > 0;
    PQclear(result);
    return CLI_OK;
}

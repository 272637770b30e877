#!/usr/bin/env bash
# run-sql.sh DSN TEMPLATE FILE: a pgTAP file on a database of its own, made from
# the migrated TEMPLATE; DSN is the superuser's.
set -eu -o pipefail

dsn=$1 template=$2 file=$3
database=sql_$$

as_superuser() {
    psql -X -q -At -v ON_ERROR_STOP=1 "$dsn" "$@"
}

remove() {
    as_superuser -c "drop database if exists $database with (force)" 2>/dev/null
}

trap remove EXIT
trap 'exit 143' TERM
as_superuser -c "create database $database template $template"
psql -X -q -At -v ON_ERROR_STOP=1 -P pager=off -d "$dsn dbname=$database" -f "$file"

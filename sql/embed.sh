#!/bin/sh
# embed.sh: puts the migrations into the program, and into one script for psql.
#
#   embed.sh c   BEGIN BOOTSTRAP MIGRATION...    a table in C, on standard output
#   embed.sh sql BEGIN BOOTSTRAP MIGRATION...    the script
#
# A migration is NNNN_name.sql; numbers start at 0001 and have no gaps.  The checksum
# that is recorded, and later compared, is the SHA-256 of its file.
set -eu
LC_ALL=C
export LC_ALL

die() {
    echo "embed.sh: $*" >&2
    exit 1
}

checksum() { # FILE
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1" | cut -c1-64
    else
        openssl dgst -sha256 -r <"$1" | cut -c1-64
    fi
}

version_of() { # FILE: the number without zeros
    expr "$(basename -- "$1")" : '\([0-9][0-9][0-9][0-9]\)_[a-z0-9_]*\.sql$' + 0
}

name_of() { # FILE
    expr "$(basename -- "$1")" : '[0-9]*_\(.*\)\.sql$'
}

check_names() { # MIGRATION...
    expected=0
    for file in "$@"; do
        expected=$((expected + 1))
        case $(basename -- "$file") in
        "$(printf '%04d' "$expected")"_*.sql) ;;
        *) die "$file: the next migration must have the number $(printf '%04d' "$expected")" ;;
        esac
        # an edit that forgets the list in local.mk must not go unnoticed
        [ -z "$(tail -c1 -- "$file")" ] || die "$file: does not end in a newline"
    done
    for file in "$(dirname -- "$1")"/*.sql; do
        case " $* " in
        *" $file "*) ;;
        *) die "$file is not listed in sql/local.mk" ;;
        esac
    done
}

# Makes C string literals of text, one per line.
literals() { # FILE
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$1"
}

emit_c() { # BEGIN BOOTSTRAP MIGRATION...
    echo '/* Made by sql/embed.sh; do not edit. */'
    echo '#include "cli/migrations.h"'
    echo
    printf 'const char migration_begin[] =\n%s;\n\n' "$(literals "$1")"
    printf 'const char migration_bootstrap[] =\n%s;\n\n' "$(literals "$2")"
    shift 2
    echo 'const struct migration migrations[] = {'
    for file in "$@"; do
        printf '    {%d, "%s", "%s",\n%s},\n' "$(version_of "$file")" "$(name_of "$file")" \
            "$(checksum "$file")" "$(literals "$file")"
    done
    echo '};'
    echo "const int migration_count = $#;"
}

# Refuses in the transaction, where nothing can change any more.
emit_check() { # MIGRATION...
    cat <<'SQL'
DO $check$
DECLARE
    wrong record;
BEGIN
    SELECT m.version, m.name, m.checksum, k.checksum AS known INTO wrong
      FROM outbox.migration m
      LEFT JOIN (VALUES
SQL
    last=$#
    for known in "$@"; do
        separator=,
        [ "$(version_of "$known")" -ne "$last" ] || separator=')'
        printf "          (%d, '%s')%s\n" "$(version_of "$known")" "$(checksum "$known")" "$separator"
    done
    cat <<'SQL'
           AS k(version, checksum) ON k.version = m.version
     WHERE k.checksum IS DISTINCT FROM m.checksum
     ORDER BY m.version LIMIT 1;
    IF FOUND AND wrong.known IS NULL THEN
        RAISE EXCEPTION 'the database has migration % (%), which this outbox.sql does not know', wrong.version, wrong.name
            USING ERRCODE = '0A000', HINT = 'Use the outbox.sql of the newer release.';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'migration % (%) was applied with the checksum %, here it has %',
                        wrong.version, wrong.name, wrong.checksum, wrong.known
            USING ERRCODE = '0A000', HINT = 'An applied migration never changes: restore its file, write a new one.';
    END IF;
END
$check$;
SQL
}

emit_sql() { # BEGIN BOOTSTRAP MIGRATION...
    begin=$1
    bootstrap=$2
    shift 2
    cat <<'SQL'
-- The schema of outbox, all migrations:  psql -X -v ON_ERROR_STOP=1 -f outbox.sql
-- Applies what is missing, each migration in a transaction of its own, and keeps the
-- same record as `outboxctl migrate`: either may follow the other.  Made by
-- sql/embed.sh from sql/migrations; do not edit.
\set ON_ERROR_STOP on
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT on
\set QUIET on
SQL
    for file in "$@"; do
        printf '\n-- ===== %s =====\n' "$(basename -- "$file")"
        cat -- "$begin" "$bootstrap"
        emit_check "$@"
        printf 'SELECT NOT EXISTS (SELECT FROM outbox.migration WHERE version = %d) AS outbox_pending \\gset\n' \
            "$(version_of "$file")"
        echo '\if :outbox_pending'
        cat -- "$file"
        printf "INSERT INTO outbox.migration (version, name, checksum)\nVALUES (%d, '%s', '%s');\n" \
            "$(version_of "$file")" "$(name_of "$file")" "$(checksum "$file")"
        printf 'COMMIT;\n\\echo outbox: applied %s\n' "$(basename -- "$file" .sql)"
        printf '\\else\nROLLBACK;\n\\endif\n'
    done
}

[ $# -ge 4 ] || die "usage: embed.sh c|sql BEGIN BOOTSTRAP MIGRATION..."
form=$1
shift
(
    shift 2
    check_names "$@"
)
case $form in
c) emit_c "$@" ;;
sql) emit_sql "$@" ;;
*) die "no such form: $form" ;;
esac

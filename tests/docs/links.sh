#!/usr/bin/env bash
# What the documents point at is there, and the examples in README.md work: the C
# program is compiled, linked with the library and run, and so is the SQL, on a migrated
# database.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

# ---- links ----

documents() {
    (cd "$OUTBOX_SRC" && ls ./*.md docs/*.md && find examples bench -name '*.md' 2>/dev/null || :)
}

# The targets of [text](target), outside of code blocks, without those elsewhere.
targets() { # DOCUMENT
    awk '/^```/ { code = !code } !code' "$1" | sed 's/`[^`]*`//g' | grep -oE '\]\([^)]+\)' |
        sed 's/^](\(.*\))$/\1/' | grep -vE '^[a-z]+:' || :
}

# Anchors as GitHub makes them from headings.
has_anchor() { # DOCUMENT ANCHOR
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g' | grep -qxF -- "$2"
}

broken_links() { # DOCUMENT
    local target file anchor
    while IFS= read -r target; do
        file=${target%%#*}
        anchor=
        [ "$file" = "$target" ] || anchor=${target#*#}
        if [ -z "$file" ]; then file=$1; else file=$(dirname "$1")/$file; fi
        if ! [ -e "$file" ]; then
            echo "$target"
        elif [ -n "$anchor" ] && ! has_anchor "$file" "$anchor"; then
            echo "$target: no such heading"
        fi
    done < <(targets "$1")
}

# Files of the project that a document mentions in code, such as `tests/docs/links.sh`.
missing_files() { # DOCUMENT
    grep -oE '`(src|tests|docs|dev|sql|examples|include)/[A-Za-z0-9_./-]+`' "$1" | tr -d '`' | sort -u |
        while IFS= read -r file; do
            [ -e "$OUTBOX_SRC/$file" ] || echo "$file"
        done
}

# Names in the schema, such as `outbox.tick()` and `outbox.lane.halted`: the object, or setting, and its column.
missing_objects() { # DOCUMENT
    grep -oE '`outbox\.[a-z_]+(\.[a-z_]+)?[`( ]' "$1" | tr -d '`( ' | sort -u |
        while IFS=. read -r _ object column; do
            grep -qE "outbox\.$object\b" sql/migrations/*.sql && grep -qw "${column:-$object}" sql/migrations/*.sql ||
                echo "outbox.$object${column:+.$column}"
        done
}

cd "$OUTBOX_SRC"
for document in $(documents); do
    is "$(broken_links "$document")" "" "the links of ${document#./} lead somewhere"
    is "$(missing_files "$document")" "" "the files that ${document#./} names are there"
    is "$(missing_objects "$document")" "" "the tables, functions and settings that ${document#./} names are there"
done

# ---- the examples of the README ----

block() { # LANGUAGE: the first code block of it
    awk -v fence="\`\`\`$1" '$0 == fence && !done { inside = 1; next } /^```/ { done += inside; inside = 0 } inside' README.md
}

strict='-std=c11 -Wall -Wextra -Wpedantic -Werror'
compile_example() {
    block c >"$OUTBOX_TEST_TMP/example.c"
    [ -s "$OUTBOX_TEST_TMP/example.c" ] || { echo "there is none"; return 1; }
    # shellcheck disable=SC2046,SC2086 # flags are words
    ${CC:-cc} $strict -I include -I "$OUTBOX_BUILD/include" $(pkg-config --cflags libpq) \
        -o "$OUTBOX_TEST_TMP/example" "$OUTBOX_TEST_TMP/example.c" \
        -L "$OUTBOX_BUILD/.libs" -loutbox $(pkg-config --libs libpq)
}

# PQconnectdb("") takes everything from the environment.
run_example() {
    local word
    for word in $DSN; do
        case $word in
        host=*) export "PGHOST=${word#*=}" ;;
        port=*) export "PGPORT=${word#*=}" ;;
        user=*) export "PGUSER=${word#*=}" ;;
        dbname=*) export "PGDATABASE=${word#*=}" ;;
        esac
    done
    LD_LIBRARY_PATH=$OUTBOX_BUILD/.libs "$OUTBOX_TEST_TMP/example"
}

orders_and_events() { # ORDER
    sql "select (select count(*) from orders where id = $1), count(*), min(e.type),
         min(convert_from(e.payload, 'UTF8')::jsonb ->> 'order') from outbox.event e where e.key = '$1'"
}

create_database
sql 'create table orders (id bigint primary key, customer bigint not null)'
ok "the C example compiles without a warning" compile_example
ok "the C example runs" run_example
is "$(orders_and_events 7)" "1|1|order_placed|7" "the C example commits its order with its event"
block sql >"$OUTBOX_TEST_TMP/example.sql"
ok "the SQL example runs" psql -X -q -v ON_ERROR_STOP=1 -d "$DSN" -f "$OUTBOX_TEST_TMP/example.sql" -o /dev/null
is "$(orders_and_events 8)" "1|1|order_placed|8" "the SQL example commits its order with its event"
is "$(run_example 2>&1 >/dev/null | head -c 7)" "order 7" "the C example reports a transaction that has failed"
is "$(orders_and_events 7)" "1|1|order_placed|7" "and emits nothing then"
done_testing

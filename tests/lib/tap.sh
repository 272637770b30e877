# shellcheck shell=bash
# For the tests that are shell scripts: TAP, and what they all need. To be
# sourced, first thing after `set -eu -o pipefail`.
#
#   ok NAME COMMAND...       is GOT WANT NAME        like GOT REGEX NAME
#   skip NAME REASON         diag TEXT...            bail TEXT...
#   plan N, first, or done_testing, last
#   wait_until SECONDS COMMAND...   polls until it succeeds; fails if it never does
#   create_database          makes and migrates one on the test's server, or on
#                            that of the DSN given, and sets DSN
#   create_databases         one on each of the test's servers, 15 and 18: the array DSNS
#   at_exit COMMAND...       commands to run at the end, the last one first
#   PIDS+=("$!")             processes to end at the end
#
# A failed check does not end the script, a failed command does, and then the
# missing plan makes the whole a failure.

# shellcheck source=dev/lib.sh
. "${OUTBOX_SRC:?run it with ./runtests --only}/dev/lib.sh"

tap_count=0
tap_failed=0
tap_at_exit=()
PIDS=()

plan() {
    echo "1..$1"
}

done_testing() {
    echo "1..$tap_count"
}

diag() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

bail() {
    echo "Bail out! $*"
    exit 1
}

tap_point() { # STATUS NAME
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $2"
    fi
}

# What the command prints is told as a comment, so that it is not taken for TAP.
ok() { # NAME COMMAND...
    local name=$1 output status=0
    shift
    output=$("$@" 2>&1) || status=$?
    tap_point "$status" "$name"
    [ -z "$output" ] || diag "$output"
}

is() { # GOT WANT NAME
    if [ "$1" = "$2" ]; then
        tap_point 0 "$3"
    else
        tap_point 1 "$3"
        diag "     got: $1"
        diag "  wanted: $2"
    fi
}

like() { # GOT REGEX NAME
    if [[ $1 =~ $2 ]]; then
        tap_point 0 "$3"
    else
        tap_point 1 "$3"
        diag "           got: $1"
        diag "  is not like: $2"
    fi
}

skip() { # NAME REASON
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # skip $2"
}

at_exit() {
    tap_at_exit=("$(printf '%q ' "$@")" ${tap_at_exit[@]+"${tap_at_exit[@]}"})
}

tap_cleanup() {
    local status=$? command pid
    trap '' INT TERM HUP
    trap - EXIT
    for command in ${tap_at_exit[@]+"${tap_at_exit[@]}"}; do
        eval "$command" || diag "at exit: $command failed"
    done
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do
        kill "$pid" 2>/dev/null || :
    done
    # runtests ends what does not obey
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do
        wait "$pid" 2>/dev/null || :
    done
    if [ "$status" -eq 0 ] && [ "$tap_failed" -gt 0 ]; then
        status=1
    fi
    exit "$status"
}

sql() { # [DSN] STATEMENT: prints its rows; on DSN when there is one argument
    [ $# -eq 2 ] || set -- "$DSN" "$1"
    psql -X -q -At -v ON_ERROR_STOP=1 -d "$1" -c "$2"
}

tap_databases=0
create_database() { # [DSN]
    local server=${1:-$OUTBOX_TEST_DSN} name
    tap_databases=$((tap_databases + 1))
    name=test_$$_$tap_databases
    sql "$server" "create database $name"
    at_exit sql "$server" "drop database if exists $name with (force)"
    DSN="$server dbname=$name"
    OUTBOX_DSN=$DSN "$OUTBOX_BUILD/outboxctl" migrate >&2 || bail "outboxctl migrate failed"
}

create_databases() {
    local server
    DSNS=()
    for server in "$OUTBOX_TEST_DSN" ${OUTBOX_TEST_DSN18:+"$OUTBOX_TEST_DSN18"}; do
        create_database "$server"
        DSNS+=("$DSN")
    done
}

trap tap_cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

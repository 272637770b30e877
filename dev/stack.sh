#!/usr/bin/env bash
# A PostgreSQL and a Kafka for as long as a script runs. To be sourced:
#
#   . dev/stack.sh
#   stack_start              # or with some of: pg15 pg18 kafka
#   ... "$PGDSN" ... "$KAFKA" ...
#
# sets STACK_DIR, PGDSN (the superuser of PostgreSQL 15), PGDSN18 and KAFKA
# (the bootstrap address). It ends with the script, whichever way that ends;
# stack_stop ends it before. The script's own clean-up goes in a function
# on_exit, which is called before the servers go.
#
# `dev/stack.sh stop DIR` ends what uses the directory and removes it.

# shellcheck source=dev/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

stack_start() {
    [ $# -gt 0 ] || set -- pg15 kafka
    stack_init
    stack_start_servers "$@"
}

# Everything but the servers. The guard is for the case that no trap runs
# (kill -9).
stack_init() {
    STACK_DIR=$(mktemp -d /tmp/outbox-stack.XXXXXX)
    # the server's user must come through, not look around
    chmod 711 "$STACK_DIR"
    guard "$$" "$DEV_DIR/stack.sh" stop "$STACK_DIR" >"$STACK_DIR/guard"
    trap stack_exit EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

stack_start_servers() {
    local name
    for name in "$@"; do
        case $name in
        pg15) "$DEV_DIR/postgres" start "$STACK_DIR/pg15" --owner "$$" || return ;;
        pg18) "$DEV_DIR/postgres" start "$STACK_DIR/pg18" --owner "$$" --version 18 || return ;;
        kafka) "$DEV_DIR/kafka" start "$STACK_DIR/kafka" --owner "$$" || return ;;
        *) die "stack_start: no such server: $name" ;;
        esac
    done
    # shellcheck disable=SC2034 # for the script that sources this
    PGDSN=$(stack_value pg15/dsn) PGDSN18=$(stack_value pg18/dsn) KAFKA=$(stack_value kafka/bootstrap)
}

stack_value() {
    cat "$STACK_DIR/$1" 2>/dev/null || :
}

stack_exit() {
    local status=$?
    # a second Ctrl-C must not interrupt the clean-up
    trap '' HUP INT TERM
    trap - EXIT
    if declare -F on_exit >/dev/null; then
        on_exit || :
    fi
    stack_stop
    exit "$status"
}

stack_stop() {
    [ -n "${STACK_DIR:-}" ] || return 0
    stop_guard "$STACK_DIR/guard"
    stack_remove "$STACK_DIR"
    STACK_DIR=
}

stack_remove() { # DIR, with the further lines of runtests in it
    local dir
    for dir in "$1" "$1"/line-*; do
        "$DEV_DIR/kafka" stop "$dir/kafka" || :
        "$DEV_DIR/postgres" stop "$dir/pg15" --mode immediate || :
        "$DEV_DIR/postgres" stop "$dir/pg18" --mode immediate || :
    done
    rm -rf -- "$1"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -eu -o pipefail
    case "$*" in
    "stop /tmp/outbox-stack."*) stack_remove "$2" ;;
    *) die "usage: . stack.sh, or stack.sh stop DIR with the STACK_DIR of a script" ;;
    esac
fi

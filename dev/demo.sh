# shellcheck shell=bash
# What quickstart and examples/run-all share: a build, programs in the background, and what they print. To be
# sourced, with src and build set. The programs' pids and logs are in STACK_DIR (stack.sh).

# shellcheck source=dev/stack.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/stack.sh"

# What the caller has set for his own databases and relays is not meant for these.
clean_environment() {
    local name
    for name in $(compgen -e); do
        case $name in
        OUTBOX_CACHE | OUTBOX_*_DEADLINE | OUTBOX_KAFKA_HEAP) ;;
        OUTBOX_* | PG* | MAKE* | MFLAGS | WEBHOOK_SECRET) unset -v "$name" ;;
        esac
    done
    export LC_ALL=C.UTF-8 no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost
}

say() {
    printf '%s\n' "$*"
}

heading() {
    printf '\n%s\n' "$*"
}

fail_with_log() { # FILE TEXT
    note "$2; the end of $1:"
    tail -n 20 "$1" >&2
    exit 1
}

# ---- processes ----

# In a session of its own: Ctrl-C in the terminal is for this script, which then
# ends the others in its own order.
launch() { # NAME PROGRAM ARGUMENT...
    local name=$1
    shift
    setsid "$@" </dev/null >>"$STACK_DIR/$name.log" 2>&1 8>&- 9>&- &
    echo "$!" >"$STACK_DIR/$name.pid"
    disown
}

pid_of() { # NAME [DIR]
    cat "${2:-$STACK_DIR}/$1.pid" 2>/dev/null || :
}

end_program() { # NAME SIGNAL [DIR]
    end_process "$(pid_of "$1" "${3:-}")" "$1" "$2" 7
}

must_live() { # NAME
    is_process "$(pid_of "$1")" "$1" || fail_with_log "$STACK_DIR/$1.log" "$1 has ended"
}

# bash puts off a trap until its current command ends; in the background and waited
# for, a long one does not keep Ctrl-C waiting.
child=
supervise() {
    local status=0
    "$@" &
    child=$!
    wait "$child" || status=$?
    child=
    return "$status"
}

# ---- building ----

logged() { # NAME COMMAND...
    local log=$build/$1.log
    shift
    supervise "$@" >"$log" 2>&1 || fail_with_log "$log" "$1 failed"
}

# A build that was copied here from elsewhere would run the programs there.
is_configured() {
    [ -x "$src/configure" ] && [ -f "$build/Makefile" ] &&
        [ "$(cat "$build/source" 2>/dev/null)" = "$src" ]
}

regenerate() {
    rm -rf -- "${build:?}"/*
    [ -x "$src/configure" ] || logged autoreconf autoreconf -fi "$src"
    logged configure env -C "$build" "$src/configure"
    printf '%s\n' "$src" >"$build/source"
}

compile() {
    local started=$SECONDS
    [ ! -f "$src/config.status" ] || die "the source tree is itself configured: make distclean there"
    mkdir -p "$build"
    exec 8>"$build.lock"
    flock 8
    if ! is_configured; then
        say "  building in ${build#"$src/"}, which takes about a minute the first time"
        regenerate
    fi
    logged make make -C "$build" "-j$(nproc)" all
    exec 8>&-
    say "  built in ${build#"$src/"} ($((SECONDS - started)) s)"
}

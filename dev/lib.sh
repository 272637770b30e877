# shellcheck shell=bash
# What the programs in dev/ share. To be sourced.

DEV_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

note() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# Downloads live outside the source tree, so that clones share them. For root
# not in the home directory: PostgreSQL 18 runs from here as another user, who
# cannot enter /root.
cache_dir() {
    if [ -n "${OUTBOX_CACHE:-}" ]; then
        printf '%s\n' "$OUTBOX_CACHE"
    elif [ "$(id -u)" -eq 0 ]; then
        printf '/var/cache/outbox\n'
    else
        printf '%s/outbox\n' "${XDG_CACHE_HOME:-$HOME/.cache}"
    fi
}

# Until this process ends nobody else changes the cache.
lock_cache() {
    mkdir -p "$(cache_dir)"
    exec 9>"$(cache_dir)/lock"
    flock 9
}

# now_ms: a clock for deadlines, in milliseconds.
now_ms() {
    local t=${EPOCHREALTIME/[.,]/}
    printf '%s\n' "$((t / 1000))"
}

# wait_until SECONDS COMMAND...: polls until the command succeeds.
wait_until() {
    local deadline
    deadline=$(($(now_ms) + $1 * 1000))
    shift
    until "$@"; do
        [ "$(now_ms)" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

port_in_use() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port that nothing listens on. Below the range from which the kernel takes
# the ports of outgoing connections, so that none of those grabs it before the
# server does. Two callers may still be given the same one: who binds second
# must try again with another.
free_port() {
    local port i
    for i in $(seq 100); do
        port=$((20000 + (RANDOM + i) % 12000))
        if ! port_in_use "$port"; then
            printf '%s\n' "$port"
            return
        fi
    done
    die "no free port between 20000 and 32000"
}

# make_absolute DIR: creates the directory and prints its absolute path.
make_absolute() {
    mkdir -p -- "$1" && (cd -- "$1" && pwd -P)
}

# guard OWNER COMMAND...: runs the command once the process OWNER has gone,
# however it went; prints the pid of the guard.
guard() {
    setsid "$DEV_DIR/guard" "$@" </dev/null >/dev/null 2>&1 3>&- 9>&- &
    printf '%s\n' "$!"
}

# stop_guard FILE: ends the guard whose pid is in the file.
stop_guard() {
    local pid
    [ -f "$1" ] || return 0
    pid=$(cat "$1")
    rm -f -- "$1"
    # not when it is the guard, carrying out its command, that calls
    if is_process "$pid" "$DEV_DIR/guard"; then
        kill "$pid" 2>/dev/null || :
    fi
}

# A server that starts while its owner ends would stay without a guard.
owner_is_gone() { # OWNER
    [ -n "$1" ] && ! [ -d "/proc/$1" ]
}

# is_process PID WORD: whether the process lives and WORD is in its command
# line; a pid from a file may meanwhile be another program's.
is_process() {
    local line='' try
    [ -n "${1:-}" ] || return 1
    # none in the midst of execve(2), and none of one that has ended
    for try in 1 2 3; do
        line=$({ tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null) || return 1
        [ -z "$line" ] || break
        [ "$try" -eq 3 ] || sleep 0.02
    done
    case $line in
    *"$2"*) ;;
    *) return 1 ;;
    esac
}

# end_process PID WORD SIGNAL SECONDS: KILL when the signal did not help in time.
end_process() {
    is_process "$1" "$2" || return 0
    kill -s "$3" "$1" 2>/dev/null || :
    if ! wait_until "$4" process_gone "$1" "$2"; then
        kill -s KILL "$1" 2>/dev/null || :
        wait_until 10 process_gone "$1" "$2" || die "process $1 does not end"
    fi
}

# await_exec PID WORD: a process just forked still has the command line of the
# script; waits until it has become the program itself.
await_exec() {
    wait_until 5 has_become_or_ended "$1" "$2" || die "process $1 does not start"
}

has_become_or_ended() {
    is_process "$1" "$2" || ! [ -d "/proc/$1" ]
}

process_gone() {
    ! is_process "$1" "$2"
}

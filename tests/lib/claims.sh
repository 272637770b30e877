# shellcheck shell=bash
# For the documents that name tests: whether such a test is there, and passed in this run. To be sourced.
#
# OUTBOX_RESULTS is the results.txt of ./runtests: status, tier, file and name of each test, separated by tabs.

# "file: name" -> passed, failed or not run.
verdict() { # FILE NAME
    awk -F '\t' -v file="$1" -v name="$2" '
        $3 == file && index($4, name) == 1 { n++; if ($1 != "passed") bad = bad " " $1 " (" $2 "): " $4 ";" }
        END { print n == 0 ? "not run" : bad != "" ? bad : "passed" }' "$OUTBOX_RESULTS"
}

exists() { # FILE: a program of tests/unit is named without its .c
    [ -f "$OUTBOX_SRC/$1" ] || [ -f "$OUTBOX_SRC/$1.c" ]
}

# "file: name" or "file": it is there, and what it names passed.
check_claim() { # CLAIM
    local file=${1%%: *} name=
    [ "$file" = "$1" ] || name=${1#*: }
    ok "$file exists" exists "$file"
    if [ -n "${OUTBOX_RESULTS:-}" ]; then
        is "$(verdict "$file" "$name")" passed "proven in this run: $1"
    fi
}

#!/usr/bin/env bash
# Each promise of docs/guarantees.md names tests, or says that it is not yet proven; each
# fault names tests; each named test exists, and passed in this run.
#
# OUTBOX_RESULTS is the results.txt of ./runtests (status, tier, file and name of
# each test, separated by tabs); without it only the files are looked for.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

document=$OUTBOX_SRC/docs/guarantees.md
claims=$(
    sed -n 's/^- Test: //p' "$document"
    # shellcheck disable=SC2016 # the document's backticks
    sed -n '/^| F[0-9]/p' "$document" | grep -o '`tests/[^`]*`' | tr -d '`' | sort -u
)

promises_without_proof() {
    awk '/^##/ { if (promise != "" && !proof) print promise; promise = ""; proof = 0 }
        /^### / { promise = $0 }
        /^- Test: ./ || /^Not yet proven: ./ { proof = 1 }
        END { if (promise != "" && !proof) print promise }' "$document"
}

# "file: name" -> passed, failed or not run.
verdict() { # FILE NAME
    awk -F '\t' -v file="$1" -v name="$2" '
        $3 == file && index($4, name) == 1 { n++; if ($1 != "passed") bad = bad " " $1 " (" $2 "): " $4 ";" }
        END { print n == 0 ? "not run" : bad != "" ? bad : "passed" }' "$OUTBOX_RESULTS"
}

exists() { # FILE: a program of tests/unit is named without its .c
    [ -f "$OUTBOX_SRC/$1" ] || [ -f "$OUTBOX_SRC/$1.c" ]
}

faults_without_test() {
    awk -F '|' '/^\| F[0-9]/ && $5 !~ /`tests\// { print $2 }' "$document"
}

is "$(faults_without_test)" "" "every fault names a test"
is "$(promises_without_proof)" "" "every promise names a test or says that it is not yet proven"
is "$(printf '%s\n' "$claims" | grep -cv '^tests/[^ :]*\(: .*\)\{0,1\}$' || :)" 0 "every claim has the form file: name"

while IFS= read -r claim; do
    file=${claim%%: *}
    name=
    [ "$file" = "$claim" ] || name=${claim#*: }
    ok "$file exists" exists "$file"
    if [ -n "${OUTBOX_RESULTS:-}" ]; then
        is "$(verdict "$file" "$name")" passed "proven in this run: $claim"
    fi
done <<<"$claims"
[ -n "${OUTBOX_RESULTS:-}" ] || diag "OUTBOX_RESULTS is not set: whether the tests passed was not looked at"
done_testing

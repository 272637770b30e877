#!/usr/bin/env bash
# Each promise of docs/guarantees.md names tests, or says that it is not yet proven; each
# fault names tests; each named test exists, and passed in this run.
#
# OUTBOX_RESULTS is the results.txt of ./runtests (status, tier, file and name of
# each test, separated by tabs); without it only the files are looked for.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"
# shellcheck source=tests/lib/claims.sh
. "$OUTBOX_SRC/tests/lib/claims.sh"

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

# Of each promise at least one, in the simulator or as a patch.
promises_without_mistake() {
    awk '/^##/ { if (promise != "" && !planted) print promise; promise = ""; planted = 0 }
        /^### / { promise = $0 }
        /^- Test: .*: planted: ./ || /^- Planted: ./ { planted = 1 }
        END { if (promise != "" && !planted) print promise }' "$document"
}

applies() { # PATCH
    patch -d "$OUTBOX_SRC" -s -p1 --dry-run <"$OUTBOX_SRC/$1"
}

faults_without_test() {
    awk -F '|' '/^\| F[0-9]/ && $5 !~ /`tests\// { print $2 }' "$document"
}

is "$(faults_without_test)" "" "every fault names a test"
is "$(promises_without_proof)" "" "every promise names a test or says that it is not yet proven"
is "$(promises_without_mistake)" "" "against every promise a mistake is planted"
is "$(sed -n 's/^- Planted: //p' "$document" | sort)" "$(cd "$OUTBOX_SRC" && find tests/planted -name '*.patch' | sort)" \
    "the patches of tests/planted, each named once"
for patch in "$OUTBOX_SRC"/tests/planted/*.patch; do
    ok "${patch##*/} applies" applies "tests/planted/${patch##*/}"
done
is "$(printf '%s\n' "$claims" | grep -cv '^tests/[^ :]*\(: .*\)\{0,1\}$' || :)" 0 "every claim has the form file: name"

while IFS= read -r claim; do
    check_claim "$claim"
done <<<"$claims"
[ -n "${OUTBOX_RESULTS:-}" ] || diag "OUTBOX_RESULTS is not set: whether the tests passed was not looked at"
done_testing

#!/usr/bin/env bash
# Each sentence of docs/features.md names a test, or says "Not yet", and then none; each named test exists, and passed
# in this run; each example is there. "Until" names what would be there if a thing were built: it must not be.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"
# shellcheck source=tests/lib/claims.sh
. "$OUTBOX_SRC/tests/lib/claims.sh"

document=${FEATURES:-$OUTBOX_SRC/docs/features.md} # another one, to see this test fail

# A line for each sentence that has not what it needs.
faults() {
    awk '
        function close_sentence() {
            if (sentence == "") return
            if (!test && !not_yet) print "no test: " sentence
            if (test && not_yet) print "not yet, but has a test: " sentence
            if (not_yet && !until) print "not yet, until what: " sentence
            if (until && !not_yet) print "until, but it is there: " sentence
        }
        /^- / || /^#/ { close_sentence(); sentence = ""; test = not_yet = until = 0 }
        /^- / { sentence = substr($0, 3) }
        /^  - Test: tests\// { test = 1; next }
        /^  - Example: examples\// { next }
        /^  - Not yet: ./ { not_yet = 1; next }
        /^  - Until: ./ { until = 1; next }
        /^  - / { print "what is this: " $0 }
        END { close_sentence() }' "$document"
}

built() { # FILES...: those that exist
    local file
    for file in "$@"; do
        [ ! -e "$OUTBOX_SRC/$file" ] || echo "$file"
    done
}

is "$(faults)" "" "each sentence names a test, or what is to be there first"
ok "there are sentences" test "$(grep -c '^- ' "$document")" -ge 30
while IFS= read -r files; do
    # shellcheck disable=SC2086 # a list
    is "$(built $files)" "" "not yet, and so it says: $files"
done < <(sed -n 's/^  - Until: //p' "$document")
while IFS= read -r example; do
    ok "$example is there" test -e "$OUTBOX_SRC/$example"
done < <(sed -n 's/^  - Example: //p' "$document" | sort -u)
for folder in "$OUTBOX_SRC"/examples/*/; do
    folder=examples/$(basename "$folder")
    ok "it tells of $folder" grep -qx "  - Example: $folder\(/.*\)\{0,1\}" "$document"
done
while IFS= read -r claim; do
    check_claim "$claim"
done < <(sed -n 's/^  - Test: //p' "$document" | sort -u)
[ -n "${OUTBOX_RESULTS:-}" ] || diag "OUTBOX_RESULTS is not set: whether the tests passed was not looked at"
done_testing

#!/usr/bin/env bash
# deadline: 420
# All examples together: examples/run-all checks what each of them did, and leaves nothing behind.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

page=$OUTBOX_TEST_TMP/page
status=0
TMPDIR=$OUTBOX_TEST_TMP "$OUTBOX_SRC/examples/run-all" >"$page" 2>"$page.errors" || status=$?
diag "$(cat "$page" "$page.errors")"
is "$status" 0 "it ends well"
is "$(grep -c '^  NO ' "$page" || :)" 0 "nothing is off"
# of each part at least one figure
for part in Events publisher crud-api enrichment analytics webhook-receiver; do
    ok "it tells of $part" awk -v part="$part" 'index($0, part) == 1 { here = 1; next } /^$/ { here = 0 }
        here && /^  ok / { found = 1 } END { exit !found }' "$page"
done
is "$(cat "$page.errors")" "" "and complains of nothing"
status=0
"$OUTBOX_SRC/examples/run-all" --wrong 2>/dev/null || status=$?
is "$status" 2 "another option: usage"
done_testing

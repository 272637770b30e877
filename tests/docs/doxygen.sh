#!/usr/bin/env bash
# The public headers make a reference without a warning.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

output=$OUTBOX_TEST_TMP/reference

# version.h is made by configure; the others are sources.
make_reference() {
    {
        cat Doxyfile
        echo "INPUT += $OUTBOX_BUILD/include/outbox/version.h"
        echo "OUTPUT_DIRECTORY = $output"
    } | doxygen - 2>&1
}

cd "$OUTBOX_SRC"
mkdir -p "$output"
if ! command -v doxygen >/dev/null; then
    skip "the reference has no warnings" "doxygen is not installed"
    done_testing
    exit 0
fi
is "$(make_reference)" "" "the reference has no warnings"
for function in outbox_emit outbox_event_new outbox_error_message; do
    ok "the reference describes $function" grep -rqsw "$function" "$output/html" --include='*_8h.html'
done
done_testing

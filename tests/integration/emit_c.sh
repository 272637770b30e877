#!/usr/bin/env bash
# deadline: 300
# The library's emitting calls on real servers, 15 and 18: see emit_test.c, which prints the points.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

create_databases
"$OUTBOX_BUILD/tests/integration/emit_test" "${DSNS[@]}"

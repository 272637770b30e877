#!/usr/bin/env bash
# deadline: 300
# The inbox on real servers, 15 and 18: see inbox_test.c, which prints the points.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

create_databases
"$OUTBOX_BUILD/tests/integration/inbox_test" "${DSNS[@]}"

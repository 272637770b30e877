#!/usr/bin/env bash
# deadline: 3600
# tests/faults/failing_calls.py with every function that it knows, at five passages each.
set -eu -o pipefail
FAILING_CALLS=all exec "$OUTBOX_SRC/tests/faults/failing_calls.py"

#!/usr/bin/env bash
# deadline: 900
# tests/faults/relay_kill_often.py with more kills.
OUTBOX_TEST_KILLS=${OUTBOX_TEST_KILLS:-120} exec "$OUTBOX_SRC/tests/faults/relay_kill_often.py"

#!/bin/sh
# deadline: 900
# tests/faults/consumer_kill.py, longer.
exec env CONSUMER_KILLS=30 CONSUMER_SECONDS=200 "$OUTBOX_SRC/tests/faults/consumer_kill.py"

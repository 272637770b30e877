#!/bin/sh
# deadline: 1500
# tests/faults/consumer_chain.py, for ten minutes.
exec env CHAIN_SECONDS=600 "$OUTBOX_SRC/tests/faults/consumer_chain.py"

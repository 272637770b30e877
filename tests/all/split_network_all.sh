#!/bin/sh
# deadline: 400
# tests/faults/split_network.py in each of its ways.
SPLITS="owner_unheard owner_deaf silent down" exec "$OUTBOX_SRC/tests/faults/split_network.py"

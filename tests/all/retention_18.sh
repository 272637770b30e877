#!/usr/bin/env bash
# deadline: 400
# tests/integration/retention.py on PostgreSQL 18.
exec "$OUTBOX_SRC/tests/integration/retention.py" 18

#!/usr/bin/env bash
# deadline: 2400
# What tests/sanitize/asan_ubsan.sh has no time for, on the same build.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"
# shellcheck source=tests/lib/sanitized.sh
. "$OUTBOX_SRC/tests/lib/sanitized.sh"

dir=$OUTBOX_SRC/build/asan
build_with "$dir" address,undefined || bail "the sanitized build failed"
for script in tests/integration/relay_reload.py tests/integration/relay_at_least_once.py \
    tests/integration/relay_notify.py tests/integration/relay_halts.py tests/integration/relay_takeover.py \
    tests/integration/webhook_policies tests/integration/outboxctl_operate.py tests/integration/outboxctl_verbs.py; do
    script_on "$dir" "$script"
done
done_testing

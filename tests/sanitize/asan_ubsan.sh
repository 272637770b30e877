#!/usr/bin/env bash
# deadline: 1200
# The unit tests, and what matters most of the rest, under ASan and UBSan.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"
# shellcheck source=tests/lib/sanitized.sh
. "$OUTBOX_SRC/tests/lib/sanitized.sh"

dir=$OUTBOX_SRC/build/asan
build_with "$dir" address,undefined || bail "the sanitized build failed"
tap_point 0 "builds with -fsanitize=address,undefined"
unit_tests_on "$dir"
for script in tests/integration/emit_c.sh tests/integration/relay_basic.py tests/integration/relay_admin.py \
    tests/integration/webhook_dispatch tests/integration/consumer_failures.py; do
    script_on "$dir" "$script"
done
done_testing

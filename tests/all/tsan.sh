#!/usr/bin/env bash
# deadline: 1200
# The relay's threads under ThreadSanitizer.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"
# shellcheck source=tests/lib/sanitized.sh
. "$OUTBOX_SRC/tests/lib/sanitized.sh"

dir=$OUTBOX_SRC/build/tsan
# A relay that gives up stopping, and a thread that a library holds, end with the process and are
# not joined: that is no race.
export TSAN_OPTIONS="suppressions=$OUTBOX_SRC/tests/lib/tsan.supp:report_thread_leaks=0"
build_with "$dir" thread || bail "the sanitized build failed"
gcc -shared -fPIC -O1 -o "$dir/threads.so" "$OUTBOX_SRC/tests/lib/tsan_threads.c" || bail "no thread library"
export LD_PRELOAD=$dir/threads.so
# the others have one thread each
unit_tests_on "$dir" admin consumer runtime sink webhook
for script in tests/integration/relay_basic.py tests/integration/relay_admin.py tests/integration/relay_reload.py \
    tests/integration/relay_at_least_once.py tests/integration/relay_notify.py \
    tests/integration/webhook_dispatch tests/integration/consumer_basic.py tests/faults/consumer_kill.py; do
    script_on "$dir" "$script"
done
done_testing

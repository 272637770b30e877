#!/usr/bin/env bash
# deadline: 1200
# The unit tests under valgrind: no invalid access, no use of what was not set, no leak.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

cd "$OUTBOX_BUILD"
while read -r program; do
    status=0
    ./libtool --mode=execute valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
        "$program" >"$OUTBOX_TEST_TMP/log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || tail -n 40 "$OUTBOX_TEST_TMP/log" | sed 's/^/# /'
    tap_point "$status" "valgrind $program"
done < <(find tests/unit -type f -perm -u+x -name 'test_*' ! -name '*no_memory*' | sort)
done_testing

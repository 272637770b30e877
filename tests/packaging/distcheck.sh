#!/usr/bin/env bash
# deadline: 1200
# The tarball builds, tests itself, installs and uninstalls, out of its tree; and a
# consumer builds against what was installed.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

run() { # NAME COMMAND...
    local name=$1 status=0
    shift
    "$@" >"$OUTBOX_TEST_TMP/log" 2>&1 || status=$?
    tap_point "$status" "$name"
    [ "$status" -eq 0 ] || tail -n 60 "$OUTBOX_TEST_TMP/log" | sed 's/^/# /'
}

run "make distcheck" make -C "$OUTBOX_BUILD" "-j$((2 * $(nproc)))" distcheck
run "make install" make -C "$OUTBOX_BUILD" install DESTDIR="$OUTBOX_TEST_TMP/root"
# installcheck builds against it only if it is there, and distcheck has built shared ones alone
run "the static library is there" test -s "$OUTBOX_TEST_TMP/root/usr/local/lib/liboutbox.a"
run "make installcheck" make -C "$OUTBOX_BUILD" installcheck DESTDIR="$OUTBOX_TEST_TMP/root"
done_testing

#!/usr/bin/env bash
# deadline: 900
# No warning with clang either.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

dir=$OUTBOX_SRC/build/clang
mkdir -p "$dir"
status=0
(cd "$dir" && { [ -f Makefile ] || "$OUTBOX_SRC/configure" --enable-werror --disable-shared CC=clang CXX=clang++ \
    CFLAGS='-O1 -g'; } && make -k "-j$(nproc)" all && make -k "-j$(nproc)" check TESTS=) >"$dir.log" 2>&1 || status=$?
tap_point "$status" "clang builds it without a warning"
[ "$status" -eq 0 ] || grep -E -A 5 'error:|warning:' "$dir.log" | head -n 60 | sed 's/^/# /'
done_testing

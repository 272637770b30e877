#!/usr/bin/env bash
# deadline: 300
# Without the relay: a tarball passes on the pages that its programs make, the repository says
# that it cannot; and what configure does with a libmicrohttpd that is too old for the examples.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

packed=$OUTBOX_TEST_TMP/packed
pages=(docs/man/outbox-relay.1 docs/man/outboxctl.1 docs/man/outbox-relay.conf)

# The last words of a command that may fail.
words() { # COMMAND...
    "$@" >"$OUTBOX_TEST_TMP/log" 2>&1 || :
    cat "$OUTBOX_TEST_TMP/log"
}

configured() { # DIRECTORY SOURCE OPTION...
    mkdir -p "$OUTBOX_TEST_TMP/$1"
    (cd "$OUTBOX_TEST_TMP/$1" && words "$2/configure" "${@:3}")
}

distribution() { # BUILD TO
    words make -C "$1" distdir distdir="$2" top_distdir="$2"
}

# As pkg-config shows it.
old_microhttpd() { # VERSION
    mkdir -p "$OUTBOX_TEST_TMP/pc"
    sed "s/^Version:.*/Version: $1/" "$(pkg-config --variable=pcfiledir libmicrohttpd)/libmicrohttpd.pc" \
        >"$OUTBOX_TEST_TMP/pc/libmicrohttpd.pc"
    export PKG_CONFIG_PATH="$OUTBOX_TEST_TMP/pc"
}

present() { # DIRECTORY
    local page
    for page in "${pages[@]}"; do [ ! -s "$1/$page" ] || echo "$page"; done
}

configured library "$OUTBOX_SRC" --disable-relay >/dev/null
like "$(distribution "$OUTBOX_TEST_TMP/library" "$OUTBOX_TEST_TMP/none")" \
    'made by programs that --disable-relay leaves out: configure without it' "the repository: no tarball without the relay"

distribution "$OUTBOX_BUILD" "$packed" >/dev/null
is "$(present "$packed")" "$(printf '%s\n' "${pages[@]}")" "a tarball has the pages"
old_microhttpd 0.9.73
like "$(configured again "$packed" --disable-relay --enable-examples)" \
    'those with HTTP: *no, libmicrohttpd >= 0.9.74 is missing' "libmicrohttpd 0.9.73: no examples that speak HTTP"
distribution "$OUTBOX_TEST_TMP/again" "$OUTBOX_TEST_TMP/passed" >/dev/null
is "$(diff -r "$packed" "$OUTBOX_TEST_TMP/passed" 2>&1)" "" "the tarball's own tarball is the same, without the relay"
like "$(configured relay "$packed")" 'relay and outboxctl: yes.*those with HTTP: *no, libmicrohttpd' \
    "libmicrohttpd 0.9.73: the relay is built"
done_testing

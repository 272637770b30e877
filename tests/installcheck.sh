#!/bin/sh
# installcheck.sh CC CXX SRCDIR: can a stranger build and run a program against the installed library?
# With the compilers, pkg-config and what `make install` laid down, nothing of the source tree: in C
# and in C++, with the shared library and, where it is installed, the static one.
# Environment: DESTDIR, PKG_CONFIG_PATH and libdir, as make installcheck sets them.
set -eu
[ $# -eq 3 ] || { echo "usage: installcheck.sh CC CXX SRCDIR" >&2; exit 2; }
cc=$1 cxx=$2 DESTDIR=${DESTDIR:-}
: "${libdir:?}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "installcheck: $*" >&2
    exit 1
}

# The prefix in outbox.pc and outbox-consumer.pc is that of the final place; below DESTDIR it is found
# there, unlike that of the others.
prefix=$DESTDIR$(pkg-config --variable=prefix outbox)

# config OPTION PACKAGE...: of outbox and these.
config() {
    option=$1
    shift
    echo "$(pkg-config --define-variable=prefix="$prefix" "$option" outbox) $(pkg-config "$option" "$@")"
}

cat >"$work/consumer.c" <<'END'
#include <libpq-fe.h>
#include <outbox/outbox.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    PGconn *conn = PQconnectStart("host=/nonexistent");
    outbox_event *ev = outbox_event_new();
    outbox_error *err = NULL;
    char id[OUTBOX_ID_SIZE];
    int r;

    if (strcmp(outbox_version(), OUTBOX_VERSION) != 0) {
        fprintf(stderr, "library %s, headers %s\n", outbox_version(), OUTBOX_VERSION);
        return 1;
    }
    outbox_event_set_type(ev, "order_placed");
    outbox_event_set_payload_json(ev, "{\"order\": 7}");
    if (outbox_event_check(ev, &err) != OUTBOX_OK) {
        fprintf(stderr, "%s\n", outbox_error_message(err));
        return 1;
    }
    /* libpq's PGconn is what the header calls struct pg_conn, and one libpq serves both. */
    r = outbox_emit(conn, ev, id, &err);
    if (r != OUTBOX_ECONNECTION || outbox_error_code(err) != r) {
        fprintf(stderr, "emitted without a connection: %d\n", r);
        return 1;
    }
    outbox_error_free(err);
    outbox_event_free(ev);
    PQfinish(conn);
    puts(outbox_version());
    return 0;
}
END
cp "$work/consumer.c" "$work/consumer.cc"

version=$(pkg-config --modversion outbox)
migrations=$DESTDIR$(pkg-config --variable=migrations outbox)

# flags PACKAGE...: to compile and link with these, of which some are ours.
flags() {
    ours='' others=''
    for package in "$@"; do
        case $package in
        outbox*) ours="$ours $package" ;;
        *) others="$others $package" ;;
        esac
    done
    # shellcheck disable=SC2086 # words
    [ -z "$ours" ] || pkg-config --define-variable=prefix="$prefix" --cflags --libs $ours
    # shellcheck disable=SC2086
    pkg-config --cflags --libs $others
}

# The examples, each by the command in its README: cc FILES -o NAME $(pkg-config --cflags --libs PACKAGE...) LIBS
build_examples() {
    for readme in "$1"/examples/*/README.md; do
        folder=$(dirname "$readme")
        name=$(basename "$folder")
        ls "$folder"/*.c >/dev/null 2>&1 || continue
        # shellcheck disable=SC2016 # as it stands there
        command=$(sed -n 's/^    cc \([^ ]*\) -o [a-z-]* $(pkg-config --cflags --libs \([^)]*\))/\1|\2|/p' "$readme")
        [ -n "$command" ] || fail "the example $name: its README does not say how it is built"
        packages=$(echo "$command" | cut -d '|' -f 2)
        # shellcheck disable=SC2086
        pkg-config --exists $packages || continue
        case $packages in
        *libmicrohttpd*) pkg-config --exists 'libmicrohttpd >= 0.9.74' || continue ;;
        esac
        # shellcheck disable=SC2046,SC2086
        (cd "$folder" && $cc $(echo "$command" | cut -d '|' -f 1) -Wall -Werror -o "$work/example" \
            $(flags $packages) $(echo "$command" | cut -d '|' -f 3)) ||
            fail "the example $name does not build as its README says"
        echo "installcheck: the example $name: ok"
    done
}

# build_and_run NAME COMPILER FILE LIBS
build_and_run() {
    # shellcheck disable=SC2046,SC2086 # words: a compiler may have options
    $2 $(config --cflags libpq) -Wall -Werror -o "$work/consumer" "$work/$3" $4 ||
        fail "$1: does not build"
    printed=$(LD_LIBRARY_PATH="$DESTDIR$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$work/consumer") ||
        fail "$1: does not run"
    [ "$printed" = "$version" ] || fail "$1: printed '$printed' instead of $version"
    echo "installcheck: $1: ok"
}

if [ -e "$DESTDIR$libdir/liboutbox.so" ]; then
    libs=$(config --libs libpq)
    build_and_run "C, shared" "$cc -std=c11" consumer.c "$libs"
    build_and_run "C++, shared" "$cxx" consumer.cc "$libs"
    build_examples "$3"
fi
# The consumer library, by its own package, which asks for that of outbox.
if [ -e "$DESTDIR$libdir/liboutbox-consumer.so" ]; then
    cat >"$work/subscriber.c" <<'END'
#include <outbox/consumer.h>
#include <outbox/outbox.h>
#include <stdio.h>

int main(void)
{
    outbox_consumer_options *options = outbox_consumer_options_new();
    outbox_consumer *consumer = NULL;
    outbox_error *err = NULL;
    int r = outbox_consumer_new(options, &consumer, &err);

    outbox_consumer_options_free(options);
    if (r != OUTBOX_EINVAL || outbox_error_code(err) != r) {
        fprintf(stderr, "made a consumer of nothing: %d\n", r);
        return 1;
    }
    outbox_error_free(err); /* liboutbox frees what liboutbox-consumer made */
    outbox_consumer_free(consumer);
    puts(outbox_version());
    return 0;
}
END
    libs="$(pkg-config --define-variable=prefix="$prefix" --libs outbox-consumer) $(config --libs libpq)"
    build_and_run "C, consumer library" "$cc -std=c11" subscriber.c "$libs"
fi
if [ -e "$DESTDIR$libdir/liboutbox.a" ]; then
    # The archive needs what Requires.private names.  --static itself would ask for the archives of
    # those, too, down to Kerberos', and few systems have them all.
    # shellcheck disable=SC2046 # one word a package
    libs=$(config --libs $(pkg-config --print-requires-private outbox) | sed 's/-loutbox/-l:liboutbox.a/')
    build_and_run "C, static" "$cc -std=c11" consumer.c "$libs"
    if ldd "$work/consumer" | grep -q liboutbox; then
        fail "C, static: uses the shared library"
    fi
    build_and_run "C++, static" "$cxx" consumer.cc "$libs"
fi
[ -x "$work/consumer" ] || fail "no library is installed in $DESTDIR$libdir"

[ -f "$migrations/bootstrap.sql" ] || fail "no bootstrap.sql in $migrations"
for installed in "$3"/sql/migrations/*.sql; do
    cmp "$installed" "$migrations/migrations/${installed##*/}" || fail "a migration is missing or differs"
done
echo "installcheck: migrations: ok"

#!/usr/bin/env bash
# The tarball has every file of the repository, and so can be built and tested like a clone.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

cd "$OUTBOX_SRC"
# What only the repository needs: .gitignore, .ci.
repository_files() {
    git ls-files | grep -vE '^\.(gitignore|ci/.*)$' | sort
}

packed_files() {
    make -s -C "$OUTBOX_BUILD" dist >&2
    tar -tf "$OUTBOX_BUILD"/outbox-*.tar.xz | grep -v '/$' | sed 's,^[^/]*/,,' | sort
}

rm -f "$OUTBOX_BUILD"/outbox-*.tar.xz
packed_files >"$OUTBOX_TEST_TMP/packed" 2>"$OUTBOX_TEST_TMP/log" || bail "make dist: $(tail -n 1 "$OUTBOX_TEST_TMP/log")"
repository_files >"$OUTBOX_TEST_TMP/repository"
is "$(comm -13 "$OUTBOX_TEST_TMP/packed" "$OUTBOX_TEST_TMP/repository")" "" "every file of the repository is in the tarball"
is "$(grep -E '~$|\.pyc$|\.o$' "$OUTBOX_TEST_TMP/packed" || :)" "" "nothing that was made on the way is in it"
done_testing

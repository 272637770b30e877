# For the checks beside it: where the sources are, and points in TAP.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
: "${OUTBOX_SRC:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${OUTBOX_BUILD:=$OUTBOX_SRC}"
: "${AWK:=awk}" "${NM:=nm}" "${CC:=cc}" "${CXX:=c++}"
# shellcheck disable=SC2034 # for those that source this
checks_dir=$OUTBOX_SRC/tests/checks
tap_count=0
tap_failed=0

# point NAME OFFENDERS: passes when OFFENDERS is empty, else prints them, one a line.
point() {
    tap_count=$((tap_count + 1))
    if [ -z "$2" ]; then
        echo "ok $tap_count - $1"
    else
        echo "not ok $tap_count - $1"
        echo "$2" | sed 's/^/#   /'
        tap_failed=1
    fi
}

finish() {
    echo "1..$tap_count"
    exit "$tap_failed"
}

# sources FOLDER... -- FIND-ARGS: the files of these folders of the source tree, one a
# line and relative to it.  Folders that do not exist (yet) count as empty.
sources() {
    folders=
    while [ "$1" != -- ]; do
        if [ -d "$OUTBOX_SRC/$1" ]; then
            folders="$folders $1"
        fi
        shift
    done
    shift
    # shellcheck disable=SC2086 # our own names, without blanks
    (cd "$OUTBOX_SRC" && find $folders -name __pycache__ -prune -o -type f \( "$@" \) -print | sort)
}

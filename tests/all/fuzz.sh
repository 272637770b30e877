#!/usr/bin/env bash
# deadline: 3600
# The fuzz targets with libFuzzer, ASan and UBSan, beginning from the seeds.
#   FUZZ_SECONDS  for each target (60)
#   FUZZ_TARGETS  only these, such as "url marker"
# An input that is found to be a crash stays in build/fuzz/found, to become a seed.
set -eu -o pipefail
# shellcheck source=tests/lib/tap.sh
. "$OUTBOX_SRC/tests/lib/tap.sh"

dir=$OUTBOX_SRC/build/fuzz
seconds=${FUZZ_SECONDS:-60}
only=" ${FUZZ_TARGETS:-} "
export OUTBOX_SRC

build() {
    mkdir -p "$dir/found"
    [ -f "$dir/Makefile" ] || (cd "$dir" && "$OUTBOX_SRC/configure" --enable-werror --disable-shared \
        --enable-fuzzing --with-sanitizer=fuzzer-no-link,address,undefined CC=clang CXX=clang++ CFLAGS='-O1 -g')
    make -C "$dir" "-j$(nproc)" fuzz-targets
}

# libFuzzer keeps what is new to it in the first folder, and only reads the others.
fuzz() { # TARGET
    local target=$1 status=0
    mkdir -p "$dir/corpus/$target"
    "$dir/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$dir/found/$target-" \
        "$dir/corpus/$target" "$OUTBOX_SRC/tests/fuzz/seeds/$target" >"$dir/$target.log" 2>&1 || status=$?
    grep -E 'stat::(number_of_executed_units|new_units_added)' "$dir/$target.log" | tr '\n' ' ' | sed 's/^/# /; s/$/\n/'
    [ "$status" -eq 0 ] || grep -vE '^#[0-9]+' "$dir/$target.log" | tail -n 60 | sed 's/^/# /'
    tap_point "$status" "fuzz $target, $seconds s"
}

build >"$dir.log" 2>&1 || { tail -n 40 "$dir.log" | sed 's/^/# /'; bail "the targets do not build with libFuzzer"; }
for file in "$OUTBOX_SRC"/tests/fuzz/fuzz_*.c; do
    target=$(basename "$file" .c)
    target=${target#fuzz_}
    case $only in "  " | *" $target "*) fuzz "$target" ;; esac
done
done_testing

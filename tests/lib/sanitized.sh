# To be sourced: builds with a sanitizer and runs tests on that build. TAP.

export ASAN_OPTIONS=detect_stack_use_after_return=1:${ASAN_OPTIONS:-}

# build_with DIR LIST CONFIGURE-ARGUMENT...
build_with() {
    local dir=$1 list=$2
    shift 2
    mkdir -p "$dir"
    if ! [ -f "$dir/Makefile" ]; then
        (cd "$dir" && "$OUTBOX_SRC/configure" --enable-werror --enable-fault-points --disable-shared \
            --with-sanitizer="$list" CFLAGS='-O1 -g' "$@") >"$dir.log" 2>&1 || { tail -n 30 "$dir.log"; return 1; }
    fi
    make -C "$dir" -k "-j$(nproc)" all >>"$dir.log" 2>&1 &&
        make -C "$dir" -k "-j$(nproc)" check TESTS= >>"$dir.log" 2>&1 || { tail -n 60 "$dir.log"; return 1; }
}

# The unit tests, those of the folders given or all, a TAP point for each program.
unit_tests_on() { # DIR [FOLDER...]
    local dir=$1 program name
    shift
    local folders=("${@/#/tests/unit/}")
    find "$dir/tests" -name '*.trs' -delete
    if [ $# -eq 0 ]; then
        make -C "$dir" -k "-j$((2 * $(nproc)))" check >"$dir-check.log" 2>&1 || :
    else
        make -C "$dir" -k "-j$((2 * $(nproc)))" check >"$dir-check.log" 2>&1 TESTS="$(cd "$dir" &&
            find "${folders[@]}" -type f -perm -u+x -name 'test_*' ! -name '*.*' | tr '\n' ' ')" || :
    fi
    while read -r program; do
        program=${program%.trs}
        name=${program#"$dir/tests/"}
        name=${name#unit/}
        if grep -q '^:global-test-result: PASS' "$program.trs"; then
            tap_point 0 "unit $name"
        else
            tap_point 1 "unit $name"
            { grep -A 5 '^not ok' "$program.log" || tail -n 40 "$program.log"; } | sed 's/^/# /'
        fi
    done < <(find "$dir/tests/unit" "$dir/tests/fuzz" "$dir/tests/sim" -name '*.trs' | sort)
}

# A test script of another tier on that build; reports of the sanitizer count as failures.
script_on() { # DIR SCRIPT
    local dir=$1 script=$2 reports=$OUTBOX_TEST_TMP/reports status=0
    rm -rf "$reports"
    mkdir "$reports"
    chmod 1777 "$reports"
    ASAN_OPTIONS="log_path=$reports/asan:${ASAN_OPTIONS:-}" UBSAN_OPTIONS="log_path=$reports/ubsan:print_stacktrace=1" \
        TSAN_OPTIONS="log_path=$reports/tsan:${TSAN_OPTIONS:-}" \
        OUTBOX_BUILD=$dir "$OUTBOX_SRC/$script" >"$reports.log" 2>&1 || status=$?
    if grep -q '^not ok' "$reports.log" || [ -n "$(ls -A "$reports")" ]; then
        status=1
    fi
    tap_point "$status" "$script"
    if [ -n "$(ls -A "$reports")" ]; then
        head -n 60 "$reports"/* | sed 's/^/# /'
    fi
    if [ "$status" -ne 0 ]; then
        { grep -A 20 '^not ok' "$reports.log" || tail -n 40 "$reports.log"; } | sed 's/^/# /'
    fi
}

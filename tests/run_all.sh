#!/bin/sh
# SPDX-License-Identifier: MIT
# ./dev test: builds what is needed, runs every suite, and ends with one line: "N passed, N failed[,
# N skipped]". A suite is a ctest label of one build, or the integration tests against a server of
# another build. All output of a suite is in build/logs/<suite>.log; here a suite takes one line,
# and those that fail show what failed.
set -u
cd "$(dirname "$0")/.." || exit 2

logs=build/logs
totals=$logs/totals
mkdir -p "$logs"
: >"$totals"
: >"$logs/skipped"
ahead=
lowest=
jobs=$(nproc)
tests=$((2 * jobs)) # at the same time: about half of the time of a test of the server is waiting

# count LOG STATUS: "passed failed skipped" of a suite. Criterion programs and scripts of ours print
# a line "result: ..."; a ctest entry without one counts as a single test. A suite that ends badly
# has failed even if no test says so.
count() {
    awk -v status="$2" '
    function entry(line) { match(line, /#[0-9]+:/); return substr(line, RSTART + 1, RLENGTH - 2) }
    /^[0-9]+: result: / { n = $1; sub(/:/, "", n); p[n] += $3; f[n] += $5; s[n] += $7; told[n] = 1; next }
    /^result: / { passed += $2; failed += $4; skipped += $6; next }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+:/ {
        n = entry($0)
        bad = $0 !~ / Passed / && $0 !~ /\*\*\*Skipped/
        if (told[n]) {
            passed += p[n]; skipped += s[n]; failed += (bad && f[n] == 0) ? 1 : f[n]
        } else if ($0 ~ /\*\*\*Skipped/) skipped++
        else if (bad) failed++
        else passed++
    }
    END {
        if (status != 0 && failed == 0) failed = 1
        if (passed + failed + skipped == 0) failed = 1
        print passed + 0, failed + 0, skipped + 0
    }' "$1"
}

# name_skipped LOG: who was skipped and why; a ctest entry that gives no reason by its name.
name_skipped() {
    sed -nE 's/^([0-9]+: )?skipped: /skipped: /p' "$1" | sort -u | grep . ||
        sed -nE 's/.*Test +#[0-9]+: ([^ ]+) .*\*\*\*Skipped.*/skipped: \1: no reason given/p' "$1"
}

# suite NAME COMMAND...: runs it, prints its line, remembers its counts.
suite() {
    name=$1
    shift
    log=$logs/$name.log
    began=$(date +%s)
    status=0
    "$@" >"$log" 2>&1 </dev/null || status=$?
    took=$(($(date +%s) - began))
    counts=$(count "$log" "$status")
    echo "$counts" >>"$totals"
    # shellcheck disable=SC2086  # three numbers
    set -- $counts
    printf '%-24s %4d passed %4d failed %4d skipped  %4d s\n' "$name" "$1" "$2" "$3" "$took"
    name_skipped "$log" >>"$logs/skipped"
    if [ "$2" -gt 0 ]; then
        grep -E '\[FAIL\]|\*\*\*(Fail|Time|Exc|Not)|result: .*; |^([0-9]+: )?(.*: )?(error|ERROR|WARNING: ThreadSanitizer)|: failed: |^failed: |dev:' "$log" |
            head -n 30 | sed 's/^/    /'
        echo "    all of it: $log"
    fi
}

# build PRESET [TARGET...]
build() {
    preset=$1
    shift
    # shellcheck disable=SC2086  # a command and its option, or nothing
    cmake --preset "$preset" && $lowest cmake --build --preset "$preset" --parallel "$jobs" ${1:+--target "$@"}
}

# by_label BUILD EXPRESSION: the ctest entries of one build whose label matches.
by_label() {
    ctest --test-dir "build/$1" --parallel "$jobs" --verbose --label-regex "$2"
}

# built PRESET [TARGET...]: a build that succeeds is no test; one that fails is a failed suite, and the suites that need
# it are left out.
built() {
    status=0
    began=$(date +%s)
    case $1 in
    dev) build "$@" >"$logs/build-$1.log" 2>&1 </dev/null || status=$? ;;
    *)
        wait "$ahead"
        [ -f "$logs/built-$1" ] || status=1
        ;;
    esac
    printf '%-24s %45d s\n' "build $1" "$(($(date +%s) - began))"
    [ "$status" -eq 0 ] && return 0
    echo "0 1 0" >>"$totals"
    echo "    build $1 failed: $logs/build-$1.log"
    grep -E 'error|FAILED|undefined reference' "$logs/build-$1.log" | head -n 20 | sed 's/^/    /'
    return 1
}

# The builds with sanitizers, at the lowest priority, while the tests of the first build wait for something.
build_ahead() {
    lowest='nice -n 19'
    build asan ganger unit >"$logs/build-asan.log" 2>&1 && : >"$logs/built-asan"
    build tsan ganger >"$logs/build-tsan.log" 2>&1 && : >"$logs/built-tsan"
}

# The integration tests against the server of a build with a sanitizer, driven by the plain program: Criterion cannot run
# under ThreadSanitizer, and under AddressSanitizer it takes ten times as long without testing more of ours. Any report of
# the sanitizer, in whichever process of ours, is a failure.
under() {
    sanitizer=$1
    options=$2
    server=$PWD/build/$sanitizer/ganger
    rm -f "$logs/$sanitizer-report".*
    # Some kernels place memory where the sanitizers of gcc 12 do not expect it; then fixed addresses are needed.
    fixed=
    "$server" help >/dev/null 2>&1 || fixed='setarch -R'
    # shellcheck disable=SC2086  # a command and its flag
    if ! $fixed "$server" help >/dev/null 2>&1; then
        echo "skipped: $sanitizer: the instrumented server does not start on this kernel"
        echo "result: 0 passed, 0 failed, 1 skipped"
        return 0
    fi
    options="log_path=$PWD/$logs/$sanitizer-report:$options"
    status=0
    # shellcheck disable=SC2086
    env "ASAN_OPTIONS=$options" "TSAN_OPTIONS=$options" UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1 \
        GANGER_BIN="$server" $fixed build/dev/tests/integration --jobs "$tests" || status=$?
    for report in "$logs/$sanitizer-report".*; do
        [ -f "$report" ] || continue
        cat "$report"
        status=1
    done
    return "$status"
}

started=$(date +%s)
rm -f "$logs"/built-*
if built dev; then
    build_ahead </dev/null &
    ahead=$!
    suite rules by_label dev '^tree$'
    suite unit by_label dev '^unit$'
    suite integration env "GANGER_BIN=$PWD/build/dev/ganger" build/dev/tests/integration --jobs "$tests"
    suite readme by_label dev '^readme$'
    suite examples by_label dev '^examples$'
    suite crash by_label dev '^crash$'
fi
if [ -n "$ahead" ] && built asan; then
    suite asan-unit by_label asan '^unit$'
    suite asan-integration under asan abort_on_error=1:detect_leaks=1
fi
if [ -n "$ahead" ] && built tsan; then
    suite tsan-integration under tsan exitcode=66:halt_on_error=0
fi

sort -u "$logs/skipped"
echo "logs: $logs; $(($(date +%s) - started)) s"
awk '{ p += $1; f += $2; s += $3 }
    END {
        printf "%d passed, %d failed", p, f
        if (s > 0) printf ", %d skipped", s
        print ""
        exit f > 0 || p == 0
    }' "$totals"

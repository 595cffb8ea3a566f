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
jobs=$(nproc)

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

build() {
    cmake --preset "$1" && cmake --build --preset "$1" --parallel "$jobs"
}

# by_label BUILD EXPRESSION: the ctest entries of one build whose label matches.
by_label() {
    ctest --test-dir "build/$1" --verbose --label-regex "$2"
}

# A build that succeeds is no test; one that fails is a failed suite, and the suites that need it are left out.
built() {
    status=0
    began=$(date +%s)
    build "$1" >"$logs/build-$1.log" 2>&1 </dev/null || status=$?
    printf '%-24s %45d s\n' "build $1" "$(($(date +%s) - began))"
    [ "$status" -eq 0 ] && return 0
    echo "0 1 0" >>"$totals"
    echo "    build $1 failed: $logs/build-$1.log"
    grep -E 'error|FAILED|undefined reference' "$logs/build-$1.log" | head -n 20 | sed 's/^/    /'
    return 1
}

# Criterion itself cannot run under ThreadSanitizer, so plain tests drive a server that is built
# with it. Any report of the sanitizer, in whichever process of ours, is a failure.
under_tsan() {
    rm -f "$logs"/tsan-report.*
    # Some kernels place memory where the sanitizer of gcc 12 does not expect it; then fixed
    # addresses are needed.
    fixed=
    build/tsan/ganger help >/dev/null 2>&1 || fixed='setarch -R'
    # shellcheck disable=SC2086  # a command and its flag
    if ! $fixed build/tsan/ganger help >/dev/null 2>&1; then
        echo "skipped: tsan: the instrumented server does not start on this kernel"
        echo "result: 0 passed, 0 failed, 1 skipped"
        return 0
    fi
    status=0
    # shellcheck disable=SC2086
    TSAN_OPTIONS="log_path=$PWD/$logs/tsan-report exitcode=66 halt_on_error=0" GANGER_BIN=$PWD/build/tsan/ganger \
        $fixed build/dev/tests/integration --jobs 2 || status=$?
    for report in "$logs"/tsan-report.*; do
        [ -f "$report" ] || continue
        cat "$report"
        status=1
    done
    return "$status"
}

started=$(date +%s)
if built dev; then
    suite rules by_label dev '^tree$'
    suite unit by_label dev '^unit$'
    suite integration by_label dev '^integration$'
    suite readme by_label dev '^readme$'
    suite examples by_label dev '^examples$'
    suite crash by_label dev '^crash$'
fi
if built asan; then
    suite asan-unit by_label asan '^unit$'
    suite asan-integration by_label asan '^integration$'
fi
if [ -x build/dev/tests/integration ] && built tsan; then
    suite tsan-integration under_tsan
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

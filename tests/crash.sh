#!/bin/sh
# SPDX-License-Identifier: MIT
# crash.sh BUILD [KILLS]: the long form of the crash tests: so many kills -9 (500), as many again by
# four programs at a time, the seeded bug, a full disk, a queue and a batch of a million jobs,
# arguments and results of a gigabyte, and 10,000 calls of a native function of which some crash.
# Every program prints its seed, so a failure can be repeated.
set -u
cd "$(dirname "$0")/.." || exit 2

build=$1
kills=${2-500}
GANGER_BIN=$PWD/$build/ganger
export GANGER_BIN
failed=0

program() {
    [ -x "$build/tests/$1" ] || {
        echo "crash: $build/tests/$1 was not built" >&2
        failed=$((failed + 1))
        return
    }
    echo "== $*"
    name=$1
    shift
    status=0
    "$build/tests/$name" "$@" || status=$?
    case $status in
    0) ;;
    77) echo "skipped: $name" ;;
    *) failed=$((failed + 1)) ;;
    esac
}

# Four at a time: on a machine that is late for everything, events come in other orders.
together() {
    echo "== $* (four at a time)"
    name=$1
    shift
    pids=
    for _ in 1 2 3 4; do
        "$build/tests/$name" "$@" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid" || failed=$((failed + 1))
    done
}

program crash_kill_random "$kills"
together crash_kill_random "$((kills / 4 + 1))"
program crash_kill_random --seed-bug ack-before-commit
program crash_disk_full
program crash_depth 1000000
program crash_million 1000000
program crash_calls 10000
program crash_large 1024
program crash_blobs 100
if [ "$failed" -ne 0 ]; then
    echo "crash: $failed failed"
    exit 1
fi
echo "crash: all passed"

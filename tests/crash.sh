#!/bin/sh
# SPDX-License-Identifier: MIT
# crash.sh BUILD [KILLS]: the long form of the crash tests: so many kills -9 (500), the seeded bug,
# a full disk, a queue and a batch of a million jobs, arguments and results of a gigabyte, and 10,000 calls of a native function of which
# some crash. Every program prints its seed, so a failure can be repeated.
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

program crash_kill_random "$kills"
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

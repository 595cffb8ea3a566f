#!/bin/sh
# SPDX-License-Identifier: MIT
# fuzz.sh BUILD [SECONDS]: each fuzz target for so long (60), from the seeds in
# tests/fuzz/corpus/<target>/. New inputs are gathered in BUILD/corpus; an input that breaks
# something is kept as BUILD/found-<target>-*.
set -eu
cd "$(dirname "$0")/.."

build=$1
seconds=${2-60}
ran=0
failed=0
for program in "$build"/tests/fuzz_*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then
        continue
    fi
    name=$(basename "$program" | sed 's/^fuzz_//')
    mkdir -p "$build/corpus/$name"
    set -- "$build/corpus/$name"
    [ ! -d "tests/fuzz/corpus/$name" ] || set -- "$@" "tests/fuzz/corpus/$name"
    echo "== $name, $seconds s"
    ran=$((ran + 1))
    "$program" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$build/found-$name-" "$@" >"$build/fuzz-$name.log" 2>&1 || {
        failed=$((failed + 1))
        tail -n 30 "$build/fuzz-$name.log"
    }
    grep -E 'number_of_executed_units|average_exec_per_sec' "$build/fuzz-$name.log" || :
    # Edges of the code that are reached: by the inputs that were there, and with those found now.
    sed -nE 's/.*(INITED|DONE) +cov: ([0-9]+) .*/\1 \2/p' "$build/fuzz-$name.log" | tr '\n' ' ' |
        awk 'NF == 4 { print "edges: " $2 " at first, " $4 " at last" }'
done
[ "$ran" -gt 0 ] || {
    echo "fuzz: no target was built" >&2
    exit 1
}
echo "fuzz: $((ran - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]

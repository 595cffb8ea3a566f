#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh NAME: runs examples/NAME.sh against a fresh server of the binary GANGER_BIN and compares what it prints with
# examples/expected/NAME. The copier is given a tree of files, and what it made is compared with that.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
name=$1
who=examples
# shellcheck source=tests/fresh_server.sh
. "$root/tests/fresh_server.sh"
# An example may have a configuration of its own; the others can call the native functions.
config=$root/examples/$name/ganger.conf
[ -f "$config" ] || config=$root/examples/native/ganger.conf
fresh_server --workers 4 --config "$(registry "$config")"

# run ARGUMENTS...: the example as its reader starts it.
run() {
    (cd "$scratch/work" && PATH="$scratch/bin:$PATH" GANGER_URL=$url GANGER_TOKEN_FILE=$scratch/data/token \
        FIBONACCI=$programs/fibonacci sh "$root/examples/$name.sh" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null)
}

copier() {
    mkdir -p "$scratch/from/deep/er"
    for file in one 'two words' deep/three deep/er/four; do echo "$file" >"$scratch/from/$file"; done
    run "$scratch/from" "$scratch/to" || return 1
    diff -r "$scratch/from" "$scratch/to" || return 1
    printf '25.00%%\n50.00%%\n75.00%%\n100.00%%\n' >"$scratch/expected"
    sed 's/ (.*//' "$scratch/out" >"$scratch/percents"
    diff "$scratch/expected" "$scratch/percents"
}

passed=1
if [ "$name" = copier ]; then
    copier || passed=0
else
    run || passed=0
    diff "$root/examples/expected/$name" "$scratch/out" || passed=0
fi
if [ "$passed" -eq 0 ]; then
    echo "failed: examples/$name.sh; it said:" >&2
    cat "$scratch/out" "$scratch/err" >&2
    echo "the server's log ends so:" >&2
    tail -n 20 "$scratch/log" >&2
fi
echo "result: $passed passed, $((1 - passed)) failed, 0 skipped"
[ "$passed" -eq 1 ]

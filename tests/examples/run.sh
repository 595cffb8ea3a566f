#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh NAME: runs examples/NAME.sh against a fresh server of the binary GANGER_BIN and compares what it prints with
# examples/expected/NAME. The copier is given a tree of files, and what it made is compared with that.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
name=$1
binary=${GANGER_BIN:-$root/build/dev/ganger}
programs=${GANGER_EXAMPLES:-$(dirname "$binary")/examples}
[ -x "$binary" ] || {
    echo "examples: no binary at $binary; name it by GANGER_BIN" >&2
    exit 2
}

scratch=$(mktemp -d)
server=
clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
        wait "$server" || { # it must drain
            echo "examples: the server ended with $?" >&2
            status=1
        }
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mkdir "$scratch/bin" "$scratch/data" "$scratch/work"
ln -s "$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")" "$scratch/bin/ganger"
for variable in $(env | sed -n 's/^\(GANGER_[A-Z_]*\)=.*/\1/p'); do unset "$variable"; done

# The line that says that it serves is waited for; its end of the pipe closes if it ends before.
mkfifo "$scratch/ready"
"$scratch/bin/ganger" serve --data "$scratch/data" --listen 127.0.0.1:0 --listen "unix:$scratch/data/ganger.sock" \
    --workers 4 >"$scratch/ready" 2>"$scratch/log" </dev/null &
server=$!
exec 3<"$scratch/ready"
word=
url=
read -r word url <&3 || :
[ "$word" = ready ] || {
    echo "examples: the server does not start:" >&2
    cat "$scratch/log" >&2
    exit 1
}

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

#!/bin/sh
# SPDX-License-Identifier: MIT
# docs.sh [--write] BUILD: compares the generated parts of docs/ and docker/ with what the build
# says, or writes them.
set -eu
cd "$(dirname "$0")/.."

write=no
if [ "${1-}" = --write ]; then
    write=yes
    shift
fi
build=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

# settle FILE: the new text is in $scratch/new.
settle() {
    if cmp -s "$scratch/new" "$1"; then
        passed=$((passed + 1))
    elif [ "$write" = yes ]; then
        cat "$scratch/new" >"$1"
        echo "written: $1"
        passed=$((passed + 1))
    else
        echo "failed: $1 is not what the build says; ./dev docs writes it" >&2
        diff -u "$1" "$scratch/new" 2>&1 | head -n 20 >&2 || :
        failed=$((failed + 1))
    fi
}

# between FILE MARK: replaces what stands between <!-- MARK:begin --> and <!-- MARK:end --> by $scratch/part.
between() {
    awk -v part="$scratch/part" -v begin="<!-- $2:begin -->" -v end="<!-- $2:end -->" '
        $0 == begin { print; while ((getline line < part) > 0) print line; inside = 1; next }
        $0 == end { inside = 0; found = 1 }
        !inside { print }
        END { exit !found }' "$1" >"$scratch/new" || {
        echo "failed: $1 has no place for $2" >&2
        exit 1
    }
    settle "$1"
}

# No machine may show through: defaults that depend on it are written as words by the program.
"$build/ganger" serve --help=markdown >"$scratch/new"
settle docs/configuration.md
"$build/ganger" serve --help=conf >"$scratch/new"
settle docker/ganger.conf
"$build/ganger" help markdown >"$scratch/new"
settle docs/cli.md
{
    echo '```mermaid'
    "$build/tests/print_states"
    echo '```'
} >"$scratch/part"
between docs/architecture.md states
"$build/tests/print_routes" >"$scratch/part"
between docs/api.md routes

echo "result: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]

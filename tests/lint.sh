#!/bin/sh
# SPDX-License-Identifier: MIT
# ./dev lint: everything that judges the text of the tree. Runs all of it, then says what failed.
set -u
cd "$(dirname "$0")/.." || exit 2

logs=build/logs
mkdir -p "$logs"
failed=

part() {
    name=$1
    shift
    if "$@" >"$logs/lint-$name.log" 2>&1 </dev/null; then
        printf '%-12s ok\n' "$name"
    else
        printf '%-12s FAILED\n' "$name"
        failed="$failed $name"
        grep -E 'warning: |error: |: may not|^(dev|[a-z_]+/)[a-z_/.]*:[0-9]+' "$logs/lint-$name.log" | head -n 30 | sed 's/^/    /'
        echo "    all of it: $logs/lint-$name.log"
    fi
}

c_files() {
    find api bench cli examples pool service storage tests include -name "$1" 2>/dev/null | sort
}

shell_files() {
    {
        echo dev
        echo .ci/run
        find bench docker examples tests runners -name '*.sh' 2>/dev/null
        find bench -maxdepth 1 -type f -perm -u+x 2>/dev/null
    } | sort -u | while read -r file; do
        [ "$(head -c 2 "$file")" = '#!' ] && head -n 1 "$file" | grep -qE '/(ba|da)?sh( |$)' && echo "$file"
    done
}

format() {
    c_files '*.[ch]' | xargs clang-format --dry-run -Werror
}

compile() {
    cmake --preset "$1" && cmake --build --preset "$1"
}

# The files of the product, as the clang build compiles them (clang-tidy does not know every flag of
# gcc). error.c and util.c define what analyzer.h explains to the others.
tidy() {
    first=0
    c_files '*.c' | grep -E '^(api|cli|pool|service|storage)/' | grep -vE '/base/(error|util)\.c$' |
        xargs -P "$(nproc)" -n 4 clang-tidy --quiet --warnings-as-errors='*' -p build/clang \
            --extra-arg=-includetests/analyzer.h || first=1
    clang-tidy --quiet --warnings-as-errors='*' -p build/clang service/base/error.c service/base/util.c &&
        [ "$first" -eq 0 ]
}

scripts() {
    shell_files | xargs shellcheck --external-sources
}

part format format
part gcc compile dev
part clang compile clang
part tidy tidy
part shellcheck scripts
part layering sh tests/layering.sh
part banned sh tests/banned.sh
if [ -n "$failed" ]; then
    echo "lint: failed:$failed"
    exit 1
fi
echo "lint: all clean"

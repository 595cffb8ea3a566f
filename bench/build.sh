#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the measuring programs into build/bench of the checkout; needs only cc and the libraries that ganger needs too.
set -eu

cd "$(dirname "$0")"
out=${GANGER_BENCH_BUILD:-../build/bench}
cc=${CC:-cc}
flags="-std=gnu17 -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes ${CFLAGS-}"
mkdir -p "$out"

# program <name> <libraries> <sources...>: built again only when a source or header is newer.
program() {
    name=$1 libs=$2
    shift 2
    if [ -z "$(find "$@" common.h load/*.h build.sh -newer "$out/$name" 2>/dev/null)" ] && [ -x "$out/$name" ]; then
        return 0
    fi
    # shellcheck disable=SC2086
    "$cc" $flags -I. -o "$out/$name" "$@" $libs
}

for limit in spawn killlat bigpipe idle pingpong overwrite; do
    program $limit "" limits/$limit.c common.c
done
for limit in durpost reopen sqlq; do
    program $limit "-lsqlite3" limits/$limit.c common.c
done
program mhd "-lmicrohttpd" limits/mhd.c common.c
program load "-lcjson -pthread" load/*.c common.c
program fib "" peers/fib.c common.c
if [ -z "$(find "$out/synctime.so" -newer limits/synctime.c 2>/dev/null)" ]; then
    # shellcheck disable=SC2086
    "$cc" $flags -shared -fPIC -o "$out/synctime.so" limits/synctime.c
fi
if [ -z "$(find "$out/tiny" -newer limits/tiny.c 2>/dev/null)" ]; then
    "$cc" -O2 -static -nostdlib -o "$out/tiny" limits/tiny.c
fi

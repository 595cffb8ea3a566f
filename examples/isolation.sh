#!/bin/sh
# SPDX-License-Identifier: MIT
# Start methods, and what is shared between two calls, with isolation/ganger.conf as the configuration. Rows 2, 3, 22.
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 22: set_start_method('spawn'), ('fork'), or the worker of a Pool"
for isolation in exec fork reuse; do
    first=$(ganger call --pool "$isolation" pid) second=$(ganger call --pool "$isolation" pid)
    if [ "$first" = "$second" ]; then
        echo "$isolation: both calls in one process"
    else
        echo "$isolation: each call in a process of its own"
    fi
done

echo "# 2: what a call changes is its own, unless the process is used again"
for isolation in exec fork reuse; do
    ganger call --pool "$isolation" remember TASK kept >/dev/null
    echo "$isolation: $(ganger call --pool "$isolation" recall TASK)"
done

echo "# 3: a call that crashes costs its own process, not the one that it was forked from"
ganger call --pool fork crash 2>/dev/null || echo "failed with $?"
ganger call --pool fork recall HOME >/dev/null && echo "the next one runs"
api /v1/pools/fork | field state

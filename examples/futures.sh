#!/bin/sh
# SPDX-License-Identifier: MIT
# concurrent.futures: submit, a future's state and value, as_completed. Rows 41, 42, 43, 102.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"
fibonacci=${FIBONACCI:-fibonacci} # build/release/examples/fibonacci

echo "# 41, 102: ten jobs, nobody waits: accepted means on disk"
id=$(ganger map --detach -- true ::: 1 2 3 4 5 6 7 8 9 10)
ganger batch show --json "$id" | field total

echo "# 42: a future knows its state, its value, and when it is done"
id=$(ganger submit -- echo value)
ganger wait "$id"
api "/v1/jobs/$id" | field state
api "/v1/jobs/$id/result"

echo "# 43: as_completed: fib(25) to fib(34), as they end (here sorted, so that it can be compared)"
seq 25 34 | ganger map --name 'fib({})' -- sh -c 'echo "$0 $("$1" "$0")"' {} "$fibonacci" | sort -n
echo "# 43: the same of jobs that were submitted one by one"
first=$(ganger submit -- sh -c 'sleep 2; echo slow')
second=$(ganger submit -- echo quick)
api /v1/as-completed --json "{\"jobs\":[\"$first\",\"$second\"]}" -N -H 'Accept: application/x-ndjson' |
    grep -o '"value":"[a-z]*'

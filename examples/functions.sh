#!/bin/sh
# SPDX-License-Identifier: MIT
# Functions that the service knows by name: work for processors, work that waits, a Process with its target, a subclass of
# Process, memory of one's own, and the two kinds. Rows 2, 4, 5, 6, 7, 8, 16, 22, 45.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 4: fib(25) to fib(34), submitted together, printed as they complete (here: sorted)"
batch=$(ganger map --detach --function fib ::: 25 26 27 28 29 30 31 32 33 34)
api "/v1/batches/$batch/results?order=completed" -N -H 'Accept: application/x-ndjson' |
    sed -n 's/.*"index":\([0-9]*\).*"value":\([0-9]*\).*/\1 \2/p' |
    while read -r index value; do echo "fib($((25 + index))) = $value"; done | sort

echo "# 5: 16 naps of half a second are no work for processors: eight workers, more than there are processors"
ganger pool set --size 8 >/dev/null
start=$(date +%s)
yes 0.5 | head -n 16 | ganger map --function nap
[ $(($(date +%s) - start)) -lt 8 ] && echo "sooner than one after the other"
ganger pool set --size 4 >/dev/null

echo "# 6: Process(target=greet, name='first', args=('Eva',), kwargs={'times': 2})"
id=$(api /v1/jobs --json '{"function":"greet","name":"first","args":["Eva"],"kwargs":{"times":2}}' | field id)
ganger wait "$id"
echo "$(api "/v1/jobs/$id" | field name):"
api "/v1/jobs/$id/result"

echo "# 7: made now, started later: start() is a PATCH"
id=$(api /v1/jobs --json '{"function":"greet","args":["Ute"],"delay":"1h"}' | field id)
echo "made: $(api "/v1/jobs/$id" | field state)"
api "/v1/jobs/$id" -X PATCH --json '{"run_at":"2020-01-01T00:00:00Z"}' -o /dev/null
ganger wait "$id"
echo "started and joined: $(api "/v1/jobs/$id" | field state)"

echo "# 8: run() is the function; another run() is another function"
ganger functions -q | sort | tr '\n' ' '
echo

echo "# 16: a class with parameters and defaults is a registration, its objects are jobs"
ganger call greet Ada
ganger call greet Ada 'Good morning'
ganger call --kwarg times=2 greet Ada
ganger call greet 2>&1 | sed 's/^ganger: //' || :

echo "# 2: ten processes append to a list: each has its own"
ganger map -k --function append ::: 0 1 2 3 4 5 6 7 8 9

echo "# 22: a fresh process for each call, or a warm one that keeps what it has"
ganger map -k --function append ::: a b
kept=no
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do [ "$(ganger call count)" -lt 2 ] || kept=yes; done
echo "kept between the calls of a worker: $kept"

echo "# 45: the same call, whether a process runs it or the worker itself"
for function in fib fib_program; do ganger call "$function" 20 | grep -o '[0-9]*$'; done

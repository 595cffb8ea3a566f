#!/bin/sh
# SPDX-License-Identifier: MIT
# The pool itself: workers that are used again, its size, close, terminate, join. Rows 24, 25, 37, 38, 39.
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 24: twelve tasks by the workers that are there"
workers=$(api /v1/workers | grep -o '"pid":[0-9]*')
seq 12 | ganger map -- true {}
[ "$(api /v1/workers | grep -o '"pid":[0-9]*')" = "$workers" ] && echo "the same workers as before"
api /v1/workers | grep -o '"jobs_done":[0-9]*' | awk -F : '{ n += $2 } END { print n, "jobs done" }'

echo "# 25: Pool(4); its size can change"
api /v1/pool | field size
api /v1/pool -X PATCH --json '{"size":2}' | field size
api /v1/pool -X PATCH --json '{"size":4}' -o /dev/null

echo "# 39: join() of an open pool is an error"
status /v1/pool/join

echo "# 37: close(): what was accepted runs, nothing new is taken"
id=$(ganger submit -- sh -c 'sleep 0.3; echo accepted before')
api /v1/pool/close -X POST | field state
status /v1/jobs --json '{"command":["true"]}'

echo "# 39: join() waits for the last task"
status '/v1/pool/join?wait=30'
api "/v1/jobs/$id/result"
ganger pool reopen >/dev/null

echo "# 38: terminate() ends what runs and what waits"
running=$(ganger submit -- sleep 600)
waiting=$(ganger submit --delay 1h -- true)
begun "$running"
api /v1/pool/terminate -X POST | field state
status '/v1/pool/join?wait=30'
api "/v1/jobs/$running" | field state
api "/v1/jobs/$waiting" | field state
ganger pool reopen >/dev/null
ganger run -- echo "and open again"

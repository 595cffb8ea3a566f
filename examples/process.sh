#!/bin/sh
# SPDX-License-Identifier: MIT
# Process: join with a time limit, is_alive, several at once. Rows 9, 10, 21.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 9: join(timeout=1) of a longer job: the caller goes on, and may join again"
id=$(api /v1/jobs --json '{"command":["sleep","2"]}' | field id)
echo "after 1 s: done $(api "/v1/jobs/$id" -H 'Prefer: wait=1' | field "done")"
echo "joined: done $(api "/v1/jobs/$id" -H 'Prefer: wait=30' | field "done")"

echo "# 10: is_alive"
alive() { echo "$1: $(api "/v1/jobs/$id" | field state), done $(api "/v1/jobs/$id" | field "done")"; }
id=$(ganger submit --delay 1h -- sleep 600)
alive "before it starts"
api "/v1/jobs/$id" -X PATCH --json "{\"run_at\":\"2020-01-01T00:00:00Z\"}" -o /dev/null
begun "$id"
alive "running"
ganger cancel --quiet "$id" >/dev/null
alive "after terminate"

echo "# 21: several processes at once; their order is not promised, that of the reader is"
ganger map --keep-order -- sh -c 'echo "worker $0"' {} ::: 1 2 3

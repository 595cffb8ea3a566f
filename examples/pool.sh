#!/bin/sh
# SPDX-License-Identifier: MIT
# Pool: apply, apply_async, get. Rows 26, 27, 29, 30.
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 26: apply blocks for the result"
ganger run -- expr 6 '*' 7

echo "# 27: apply_async gives a result object at once: five tasks, whoever is idle takes the next"
ids=
for n in 1 2 3 4 5; do ids="$ids $(ganger submit -- expr "$n" '*' "$n")"; done
for id in $ids; do api "/v1/jobs/$id/result" -H 'Prefer: wait=30'; done

echo "# 29: get(timeout=1) of a longer task: not yet; the task goes on"
id=$(ganger submit -- sh -c 'sleep 3; echo late')
status "/v1/jobs/$id/result?wait=1"

echo "# 30: get() again after join(): the result stays"
ganger wait "$id"
api "/v1/jobs/$id/result"
api "/v1/jobs/$id/result"

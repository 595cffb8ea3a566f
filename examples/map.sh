#!/bin/sh
# SPDX-License-Identifier: MIT
# Pool: map and its kin. Rows 31, 32, 34, 35, 36.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 31: map: squares of 0 to 9, in the order of the input"
seq 0 9 | ganger map --keep-order -- expr {} '*' {} || [ $? -eq 1 ] # expr says 1 for a result of 0
echo "# 31: the same by HTTP: the mean of each row, as one JSON array"
id=$(api /v1/batches --json '{"command":["awk","BEGIN { print ({1} + {2} + {3}) / 3 }"],
    "star":true, "result":"json", "items":[[1,2,3],[4,5,6],[7,8,9]]}' | field id)
ganger wait "$id"
api "/v1/batches/$id/results" | grep -o '"value":[0-9]*'

echo "# 32: chunksize: items go to workers two at a time"
ganger map --keep-order --chunksize 2 echo ::: a b c d e

echo "# 34: imap: 1, 5 and 3 come back in that order"
ganger map --keep-order -- sh -c 'sleep "$0"; echo "$0"' {} ::: 1 5 3

echo "# 35: imap_unordered: as they end"
ganger map -- sh -c 'sleep "$0"; echo "$0"' {} ::: 1 5 3

echo "# 34: next(timeout=1): nothing yet, then the first one"
id=$(ganger map --detach -- sh -c 'sleep 3; echo "$0"' {} ::: one two)
next() { api "/v1/batches/$id/results?order=index&after=$1&limit=1&wait=$2"; }
[ "$(next 0 1)" = "[]" ] && echo "not yet"
next 0 30 | field value

echo "# 36: starmap: items are unpacked"
id=$(api /v1/batches --json '{"command":["expr","{1}","+","{2}"],"star":true,"items":[[1,2],[3,4]]}' | field id)
ganger batch results --follow --keep-order "$id"

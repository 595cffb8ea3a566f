#!/bin/sh
# SPDX-License-Identifier: MIT
# A runner in a language that ganger does not bring along (runners/statistics.tcl), with runners/ganger.conf as the
# configuration. Rows 1, 2, 34, 45, 59.
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 45: a function is called by its name, whatever it is written in"
ganger call sum '[1, 2, 3.5]'
ganger call mean '[1, 2]'

echo "# 59: partial results, as a generator gives them, then the value itself"
id=$(ganger submit --function squares '[1, -2, 3]')
ganger wait "$id"
api "/v1/jobs/$id/results"
api "/v1/jobs/$id/result"
echo

echo "# 2: an error costs its call alone"
ganger call mean '["x"]' || echo "failed with $?"

echo "# 34: over many lists, in their order"
batch=$(api /v1/batches --json '{"function":"sum","items":[[1,2],[3,4],[]]}' | field id)
api "/v1/batches/$batch/results?order=index" -H 'Accept: application/x-ndjson' | grep -o '"value":[^}]*' || :

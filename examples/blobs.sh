#!/bin/sh
# SPDX-License-Identifier: MIT
# Shared memory for large amounts of data: uploaded once, the same memory for every job. Row 80.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 80: a million numbers, uploaded once; four processes sum a quarter each"
blob=$(seq 1000000 | ganger blob put)
batch=$(api /v1/batches --json "{\"inputs\":{\"numbers\":{\"blob\":\"$blob\"}},\"items\":[0,1,2,3],
    \"command\":[\"awk\",\"NR % 4 == {index} { n += \$1 } END { printf \\\"%.0f\\\\n\\\", n }\",\"numbers\"]}" | field id)
ganger wait "$batch"
ganger batch results -k "$batch"
ganger batch results -k "$batch" | awk '{ n += $1 } END { printf "together %.0f\n", n }'

echo "# 80: what a job leaves is a blob, too"
id=$(api /v1/jobs --json "{\"inputs\":{\"numbers\":{\"blob\":\"$blob\"}},\"outputs\":[\"last\"],
    \"command\":[\"sh\",\"-c\",\"tail -n 2 numbers >last\"]}" | field id)
ganger wait "$id"
left=$(api "/v1/jobs/$id" | grep -o '"outputs":\[[^]]*\]' | field id)
ganger blob get "$left"

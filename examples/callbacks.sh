#!/bin/sh
# SPDX-License-Identifier: MIT
# callback and error_callback, map_async. Rows 28, 33: what a callback is told, read as the stream of
# events, which needs no server of one's own. With `"callback": {"url": …}` the service POSTs the same.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 28: callback of one that succeeds, error_callback of one that fails"
for code in 0 4; do
    id=$(ganger submit -- sh -c "exit $code")
    api "/v1/jobs/$id/events" -N | grep -o '"state":"\(succeeded\|failed\)"' | head -n 1
done

echo "# 33: map_async returns at once; the end of the batch is one event"
id=$(ganger map --detach -- expr {} '*' {} ::: 1 2 3)
api "/v1/batches/$id/results?order=completed" -N -H 'Accept: text/event-stream' | grep '^event: end'

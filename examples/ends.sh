#!/bin/sh
# SPDX-License-Identifier: MIT
# How processes end: crashes that concern nobody else, exit codes, terminate, whole trees. Rows 3, 13, 15, 23.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

# end ID: how the job has ended.
end() { echo "$(api "/v1/jobs/$1" | field state), exit_code $(api "/v1/jobs/$1" | field exit_code)"; }

echo "# 3: a process dies alone"
batch=$(ganger map --detach -- sh -c 'test "$0" != 2 || kill -SEGV $$; echo "worker $0"' {} ::: 0 1 2 3 4)
ganger wait --quiet "$batch" || :
ganger batch results -k "$batch"
api "/v1/batches/$batch/results?order=index" | grep -o '"reason":"[a-z]*"'
api /v1/pool | grep -o '"state":"[a-z]*"'

echo "# 13: exitcode: None while it runs, 0, n of sys.exit(n), -N of signal N"
id=$(ganger submit -- sleep 600)
begun "$id"
end "$id"
ganger cancel --quiet "$id" >/dev/null
for script in 'exit 0' 'exit 7' 'kill -TERM $$' 'kill -KILL $$'; do
    id=$(ganger submit -- sh -c "$script")
    ganger wait --quiet "$id" || :
    end "$id"
done

echo "# 15: terminate() of a child that sleeps"
id=$(ganger submit -- sleep 600)
begun "$id"
ganger cancel --quiet "$id" >/dev/null
echo "$(end "$id"), signal $(api "/v1/jobs/$id" | field signal)"

echo "# 23: kill_proc_tree(): the shell, its children, and one that has left for a session of its own"
id=$(ganger submit -- sh -c 'sleep 600 & sh -c "sleep 600 & sleep 600" & setsid sleep 600 & echo ready; wait')
until [ -n "$(api "/v1/jobs/$id/stdout")" ]; do sleep 0.05; done
api "/v1/jobs/$id/cancel?wait=10" --json '{}' | grep -o '"survivors":[0-9]*'

#!/bin/sh
# SPDX-License-Identifier: MIT
# Who a process is: its number, its name, its code at the end, who else is there. Rows 1, 11, 12, 18, 19, 20.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"

echo "# 1: getpid() and getppid(): the job is a process of its own, its parent is a worker"
id=$(ganger submit -- sh -c 'echo "$$ $PPID"; sleep 600')
begun "$id"
until [ -n "$(api "/v1/jobs/$id/stdout")" ]; do sleep 0.05; done
worker=$(api "/v1/jobs/$id" | grep -o '"worker":{[^}]*}')
pids="$(echo "$worker" | field job_pid) $(echo "$worker" | field pid)"
[ "$(api "/v1/jobs/$id/stdout")" = "$pids" ] && echo "the job says what the service says"

echo "# 12: pid is None before the start and a number after it"
later=$(ganger submit --delay 1h -- true)
pid_of() { api "/v1/jobs/$1" | grep -o '"worker":null\|"job_pid":[0-9]*' | sed 's/.*:null/none/; s/.*:[0-9].*/a number/'; }
echo "before: $(pid_of "$later")"
echo "running: $(pid_of "$id")"

echo "# 19: active_children()"
api '/v1/jobs?state=running' | grep -o '"id":' | wc -l
ganger cancel --quiet "$id" "$later" >/dev/null

echo "# 11: a name, and the one that a process gets without"
ganger run --name 'my worker' -- sh -c 'echo "$GANGER_JOB_NAME"'
ganger run -- sh -c 'echo "$GANGER_JOB_NAME"' | sed 's/[0-9][0-9]*/N/'

echo "# 18: current_process()"
id=$(ganger submit --name me -- sh -c 'echo "$GANGER_JOB_ID $GANGER_JOB_NAME $GANGER_ATTEMPT"')
ganger wait "$id"
[ "$(api "/v1/jobs/$id/result")" = "$id me 1" ] && echo "it knows its id, its name and its attempt"

echo "# 20: cpu_count()"
[ "$(api /v1/version | field cpus)" -ge 1 ] && echo "at least one"

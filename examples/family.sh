#!/bin/sh
# SPDX-License-Identifier: MIT
# Families of processes: pid and ppid, a child that starts a child, who am I, a whole tree ended, a running process fed.
# Rows 1, 17, 18, 23, 96.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"
ganger=$(command -v ganger)

echo "# 1: getpid and getppid of a parent and its child"
tree=$(ganger submit -- sh -c 'sleep 600 & wait')
begun "$tree"
pids() { api "/v1/jobs/$tree/processes" | grep -o "\"$1\":[0-9]*,\"ppid\":[0-9]*" | sed 's/[^0-9]*\([0-9]*\)[^0-9]*\([0-9]*\)/\1 \2/'; }
until [ "$(pids pid | wc -l)" -eq 2 ]; do sleep 0.05; done
pids pid | {
    read -r parent _
    read -r child ppid
    [ "$ppid" = "$parent" ] && [ "$child" != "$parent" ] && echo "the child's parent is the parent"
}
[ "$(api "/v1/jobs/$tree" | field job_pid)" = "$(pids pid | sed -n '1s/ .*//p')" ] && echo "job_pid is the first of them"

echo "# 23: the whole tree is ended, and nothing is left"
api "/v1/jobs/$tree/cancel" -X POST -H 'Prefer: wait=30' | field survivors

echo "# 17: a child that starts a child, and ends before it"
parent=$(ganger submit -- sh -c 'exec "$0" submit --function late' "$ganger")
ganger wait "$parent"
child=$(ganger logs "$parent")
echo "the parent has ended: $(api "/v1/jobs/$parent" | field state)"
ganger wait "$child"
ganger logs "$child"
[ "$(api "/v1/jobs/$child" | field parent)" = "$parent" ] && echo "its parent is known"
[ "$(api "/v1/jobs?parent=$parent" | field id)" = "$child" ] && echo "and so are the parent's children"

echo "# 18: current_process()"
ganger run -- sh -c '"$0" show --json self | grep -o "\"state\":\"[a-z]*\""' "$ganger"

echo "# 96: communicate with a running process"
id=$(ganger submit --stdin-open -- tr a-z A-Z)
begun "$id"
echo hello | ganger feed --keep-open "$id"
echo world | ganger feed "$id"
ganger wait "$id"
ganger logs "$id"

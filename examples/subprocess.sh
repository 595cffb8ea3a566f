#!/bin/sh
# SPDX-License-Identifier: MIT
# subprocess: run, call, Popen, communicate, wait, kill, pipes, a log of its own. Rows 93 to 100.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
# shellcheck source=examples/api.sh
. "$(dirname "$0")/api.sh"
submit() { api /v1/jobs --json "$1" | field id; }

echo "# 93: run() gives a completed process"
api /v1/jobs --json '{"command":["echo","hello"]}' -H 'Prefer: wait=30' | field state

echo "# 94: call() gives the exit code"
api /v1/jobs --json '{"command":["grep","-q","x","/dev/null"]}' -H 'Prefer: wait=30' | field exit_code

echo "# 95: Popen does not block, and knows the pid"
id=$(submit '{"command":["sleep","600"]}')
begun "$id"
[ "$(api "/v1/jobs/$id" | field job_pid)" -gt 1 ] && echo "it has a pid"

echo "# 98: terminate(), kill(): a death by signal is told by its number"
api "/v1/jobs/$id/cancel" --json '{"signal":"KILL","grace":0}' -H 'Prefer: wait=30' | field signal

echo "# 96: communicate(input)"
id=$(submit '{"command":["sort"],"stdin":"pear\napple\n"}')
api "/v1/jobs/$id/result" -H 'Prefer: wait=30'

echo "# 97: wait() and returncode"
id=$(submit '{"command":["sh","-c","exit 3"]}')
ganger wait --quiet "$id" || echo "returncode $?"

echo "# 99: argv is never seen by a shell; stdout is parsed, stderr kept apart"
id=$(submit '{"command":["sh","-c","echo \"$0\"; echo careful >&2","{\"a\": [1, \"$HOME\"]}"],"result":"json"}')
api "/v1/jobs/$id/result" -H 'Prefer: wait=30'
api "/v1/jobs/$id/stderr"

echo "# 100: a log of each subprocess: its stderr; the job knows its own id"
id=$(submit '{"command":["sh","-c","echo \"$GANGER_JOB_ID started\" >&2"]}')
ganger wait "$id"
[ "$(ganger logs --stderr "$id")" = "$id started" ] && echo "logged by its id"

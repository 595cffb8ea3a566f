#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A warm runner for shell functions; docs/runner-protocol.md is the protocol.
#
#     [function lines]
#     kind = runner
#     runner = ["sh", "/usr/share/ganger/runners/ganger_runner.sh", "/srv/app/functions.sh"]
#     call = count_lines
#
# The files that are named are read once. For each task the function or program that `call` names is run with the one
# argument of the call; what it prints is the result, and its exit status other than 0 an error. With `call = eval` the
# argument is a command line: only where everybody who may submit may run any command. Inside of a call:
#
#     progress 3 10 'tile 3'
#     data 'a partial result'
#     log 'half of it' warning
#     wc -c <"$(input data)"        # a blob among the job's inputs
#     ganger show self              # GANGER_URL and GANGER_TOKEN are this job's own
#
# A task that is cancelled costs this runner, which then starts again.

put() { # verb id body keys
    if [ -n "$3" ]; then
        printf '%s %s %d%s\n%s\n' "$1" "$2" "$(printf %s "$3" | wc -c)" "$4" "$3" >&4
    else
        printf '%s %s 0%s\n' "$1" "$2" "$4" >&4
    fi
}

quote() { printf %s "$1" | sed 's/[\\"]/\\&/g' | tr '\n\t\r' '   '; }
progress() { put PROGRESS "$id" "[$1,${2:-1},\"$(quote "${3-}")\"]"; }
data() { put DATA "$id" "$1" ' codec=raw'; }
log() { put LOG "$id" "$1" " level=${2:-info}"; }

input() {
    for pair in $keys; do
        case $pair in "input.$1="*) echo "${pair#*=}" | sed 's/:[0-9]*$//' ;; esac
    done
}

result() {
    bytes=$(printf %s "$1" | wc -c)
    if [ "$bytes" -gt 262144 ]; then
        printf %s "$1" >/proc/self/fd/6
        put RESULT "$id" '' " codec=raw shm=/proc/self/fd/6:$((bytes))"
    else
        put RESULT "$id" "$1" ' codec=raw'
    fi
}

# The mark at the end keeps line breaks that a command substitution would drop.
run() {
    out=$("$fn" "$body" </dev/null 3<&- 5<&- 6<&-; status=$?; printf .; exit "$status")
    status=$?
    if [ "$status" -eq 0 ]; then
        result "${out%.}"
    else
        put ERROR "$id" "exit status $status" ' type=exit codec=raw'
    fi
}

for file in "$@"; do
    # shellcheck source=/dev/null
    . "$file"
done
put HELLO 1 '{"lang":"sh","codecs":["raw"],"caps":["shm"],"max_inflight":1}'
while read -r verb id length keys <&3; do
    body=
    if [ "$length" -gt 0 ]; then
        body=$(head -c "$length" <&3; printf .)
        body=${body%.}
        read -r _ <&3
    fi
    fn='' shm=''
    unset GANGER_URL GANGER_TOKEN
    for pair in $keys; do
        case $pair in
        fn=*) fn=${pair#fn=} ;;
        shm=*) shm=${pair#shm=} ;;
        url=*) export GANGER_URL="${pair#url=}" ;;
        token=*) export GANGER_TOKEN="${pair#token=}" ;;
        esac
    done
    if [ -n "$shm" ]; then
        body=$(head -c "${shm##*:}" "${shm%:*}"; printf .)
        body=${body%.}
    fi
    case $verb in
    TASK) run ;;
    PING) put PONG "$id" ;;
    QUIT) exit 0 ;;
    esac
done

# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154
# What a call of the sh runner does in tests/crash/kill_random.c: it tells its life in the words of the jobs there.
exec 7>&1
work() {
    attempt=${keys#*attempt=}
    attempt=${attempt%% *}
    echo "start $id $attempt $$" >>"$LOG"
    echo "out $id" >&7
    sleep "$1"
    echo "end $id $attempt $$" >>"$LOG"
}

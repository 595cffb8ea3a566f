# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What a task of the sh runner does in tests/integration/test_runners_shipped.c: "what arg" is its argument.
behave() {
    what=${1%% *}
    arg=${1#* }
    case $what in
    echo) printf %s "$arg" ;;
    pid) printf %s $$ ;;
    big) head -c "$arg" /dev/zero | tr '\0' x ;;
    length) printf %s "$arg" | wc -c | tr -d ' \n' ;;
    bytes) printf '\377' ;;
    fail) echo "$arg" >&2; return 7 ;;
    print) echo 'to stderr' >&2 ;;
    log) log "$arg" warning ;;
    wait) progress 1 2 waits; sleep 60 ;;
    stubborn) trap '' TERM; progress 1 2 waits; while :; do sleep 60; done ;;
    input) cat "$(input "$arg")" ;;
    self) "$arg" show self --json ;;
    token) printf %s "$GANGER_TOKEN" ;;
    kill) kill -KILL $$ ;;
    data) for i in 0 1 2; do data "{\"i\":$i}"; done; printf end ;;
    esac
}

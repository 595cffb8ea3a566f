# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# For scripts that run what a document or an example says; to be sourced after `who`, the name in messages. Makes $scratch
# with bin/ganger (GANGER_BIN, or the dev build of $root), data and work; fresh_server starts a server on $scratch/data and
# sets $url. $programs are the examples beside that binary. At the end of the script the server must drain, and $scratch
# goes.
binary=${GANGER_BIN:-$root/build/dev/ganger}
[ -x "$binary" ] || {
    echo "$who: no binary at $binary; name it by GANGER_BIN" >&2
    exit 2
}

scratch=$(mktemp -d)
server=
clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
        wait "$server" || {
            echo "$who: the server ended with $?" >&2
            status=1
        }
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mkdir "$scratch/bin" "$scratch/data" "$scratch/work"
ln -s "$(cd "$(dirname "$binary")" && pwd)/$(basename "$binary")" "$scratch/bin/ganger"
for variable in $(env | sed -n 's/^\(GANGER_[A-Z_]*\)=.*/\1/p'); do unset "$variable"; done

# registry FILE: prints the name of a copy of that configuration with the functions of $programs and the tree's runners.
programs=$(dirname "$binary")/examples
registry() {
    sed -e "s|/usr/share/ganger/|$root/|g" -e "s|build/dev/examples|$programs|g" "$1" >"$scratch/ganger.conf"
    echo "$scratch/ganger.conf"
}

# fresh_server OPTION...: the line that says that it serves is waited for; its end of the pipe closes if it ends before.
fresh_server() {
    mkfifo "$scratch/ready"
    "$scratch/bin/ganger" serve --data "$scratch/data" --listen 127.0.0.1:0 --listen "unix:$scratch/data/ganger.sock" \
        "$@" >"$scratch/ready" 2>"$scratch/log" </dev/null &
    server=$!
    exec 3<"$scratch/ready"
    word=
    url=
    read -r word url <&3 || :
    [ "$word" = ready ] || {
        echo "$who: the server does not start:" >&2
        cat "$scratch/log" >&2
        exit 1
    }
}

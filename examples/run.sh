#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [--once] [--data DIR] [--listen ADDR:PORT]: starts the release build with three workers,
# runs the demonstration, and serves on until Ctrl-C. With --once it drains after the demonstration.
# Exit status: 0 if all of it went well.
set -eu
cd "$(dirname "$0")/.."

once=no
data=
listen=
while [ $# -gt 0 ]; do
    case $1 in
    --once) once=yes ;;
    --data | --listen)
        [ $# -ge 2 ] || {
            echo "run: $1 needs a value" >&2
            exit 2
        }
        if [ "$1" = --data ]; then data=$2; else listen=$2; fi
        shift
        ;;
    *)
        echo "usage: ./dev run [--once] [--data DIR] [--listen ADDR:PORT]" >&2
        exit 2
        ;;
    esac
    shift
done

scratch=$(mktemp -d)
[ -n "$data" ] || data=$scratch/data
mkdir -p "$data"
data=$(cd "$data" && pwd)
server=
demo=
# The native examples can be called: ganger call fib 30
sed 's,build/dev/,build/release/,' examples/native/ganger.conf >"$scratch/ganger.conf"

# The demonstration ends first, then the server drains; a second Ctrl-C finds the signal ignored and
# waits for that.
# shellcheck disable=SC2317  # called by the trap
finish() {
    status=$?
    trap '' INT TERM
    trap - EXIT
    [ -z "$demo" ] || kill -TERM "$demo" 2>/dev/null || :
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || :
        drained=0
        wait "$server" || drained=$?
        if [ "$drained" -ne 0 ]; then
            echo "The server ended with status $drained; its log:" >&2
            tail -n 20 "$scratch/log" >&2
            [ "$status" -ne 0 ] || status=$drained
        else
            echo "The server has drained and ended with status 0."
        fi
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 0' INT TERM

# start ADDR:PORT: starts the server and sets $url from the line that it prints when it can serve;
# fails if it ends before. A session of its own keeps the terminal's Ctrl-C from reaching the server
# beside the signal that we send it.
start() {
    rm -f "$scratch/ready"
    mkfifo "$scratch/ready"
    setsid build/release/ganger serve --data "$data" --listen "$1" --listen "unix:$data/ganger.sock" --workers 3 \
        --config "$scratch/ganger.conf" \
        >"$scratch/ready" 2>"$scratch/log" &
    server=$!
    exec 3<"$scratch/ready"
    word=
    url=
    read -r word url <&3 || :
    [ "$word" = ready ] && return 0
    wait "$server" || :
    server=
    return 1
}

if ! start "${listen:-127.0.0.1:7411}"; then
    # The usual port may be taken; any other is as good, unless the caller chose it.
    if [ -n "$listen" ] || ! start 127.0.0.1:0; then
        echo "The server did not start:" >&2
        cat "$scratch/log" >&2
        exit 1
    fi
fi
echo "ganger serves at $url; data and log in $data, $scratch/log"

sh examples/demo.sh "$url" "$data/token" &
demo=$!
status=0
wait "$demo" || status=$?
demo=
[ "$status" -eq 0 ] && [ "$once" = no ] || exit "$status"

cat <<END

Try it from another terminal:

  TOKEN=\$(cat $data/token)
  curl -s --oauth2-bearer "\$TOKEN" --json '{"command":["date"]}' -H 'Prefer: wait=5' $url/v1/jobs
  curl -s --oauth2-bearer "\$TOKEN" '$url/v1/jobs?limit=5'
  curl -s --oauth2-bearer "\$TOKEN" $url/v1/pool
  export GANGER_URL=$url GANGER_TOKEN_FILE=$data/token
  build/release/ganger run -- sh -c 'for i in 1 2 3; do echo \$i; sleep 1; done'
  build/release/ganger ls
  build/release/ganger call fib 30

Ctrl-C stops the server.
END
status=0
wait "$server" || status=$?
server=
echo "The server ended by itself with status $status:" >&2
tail -n 20 "$scratch/log" >&2
exit 1

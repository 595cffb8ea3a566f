#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the README: every ```sh block, in order, in one shell, against a fresh server of the binary GANGER_BIN. A command
# with a trailing "# prints: TEXT" must print exactly that. ./dev verbs in ```console blocks must be ones that ./dev knows,
# and links to files must lead somewhere.
# GANGER_URL and GANGER_TOKEN_FILE are set as `./dev run` says it; the port of the text is replaced by a free one; nothing
# else is changed.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
readme=${1-$root/README.md}
binary=${GANGER_BIN:-$root/build/dev/ganger}
[ -x "$binary" ] || {
    echo "readme: no binary at $binary; name it by GANGER_BIN" >&2
    exit 2
}

scratch=$(mktemp -d)
server=
clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
        wait "$server" || { # it must drain
            echo "readme: the server ended with $?" >&2
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

# The blocks as one script. Each tells its line before it runs, so that a failure has a place.
extract() {
    awk -v wanted="$1" '
        /^```/ && !inside { inside = 1; kind = substr($0, 4); if (kind == wanted) print "at_line " NR; next }
        /^```/ { inside = 0; next }
        inside && kind == wanted { print }' "$readme"
}

# "COMMAND   # prints: TEXT" becomes a call of `prints` with both as quoted words.
with_checks() {
    awk -v quote="'" '
        function quoted(text) { gsub(quote, quote "\\" quote quote, text); return quote text quote }
        match($0, /[ \t]+# prints: /) {
            print "prints " quoted(substr($0, RSTART + RLENGTH)) " " quoted(substr($0, 1, RSTART - 1)); next
        }
        { print }'
}

{
    cat <<'END'
set -eu
at_line() { line=$1; }
trap 'status=$?; [ $status -eq 0 ] || echo "readme: the block at line $line ends with $status" >&2' EXIT
prints() {
    got=$(eval "$2")
    [ "$got" = "$1" ] && return
    echo "readme: this prints \"$got\", not \"$1\": $2" >&2
    exit 1
}
END
    extract sh | with_checks
} >"$scratch/blocks"
blocks=$(grep -c '^at_line ' "$scratch/blocks")
checks=$(grep -c '^prints ' "$scratch/blocks")
if [ "$blocks" -lt 3 ] || [ "$checks" -lt 1 ]; then
    echo "readme: only $blocks blocks with $checks checks; has the text changed its form?" >&2
    exit 1
fi

env -u GANGER_URL -u GANGER_TOKEN "$scratch/bin/ganger" serve --data "$scratch/data" --listen 127.0.0.1:0 \
    --listen "unix:$scratch/data/ganger.sock" >"$scratch/ready" 2>"$scratch/log" </dev/null &
server=$!
tries=0
until grep -qs "^ready http" "$scratch/ready"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
        echo "readme: the server does not start:" >&2
        cat "$scratch/log" >&2
        exit 1
    fi
    sleep 0.1
done
port=$(sed -n 's,^ready http://.*:\([0-9]*\)/*$,\1,p' "$scratch/ready")
sed -i "s/localhost:7411/localhost:$port/g" "$scratch/blocks"

cd "$scratch/work"
if ! PATH="$scratch/bin:$PATH" GANGER_URL="http://127.0.0.1:$port" GANGER_TOKEN_FILE="$scratch/data/token" \
    env -u GANGER_DATA -u GANGER_TOKEN sh "$scratch/blocks" >"$scratch/out" 2>&1 </dev/null; then
    cat "$scratch/out" >&2
    echo "readme: the server's log ends so:" >&2
    tail -n 20 "$scratch/log" >&2
    exit 1
fi

verbs=$(cd "$root" && ./dev help)
extract console | sed -n 's,^\$ \./dev \([a-z-]*\).*,\1,p' | while read -r verb; do
    printf '%s\n' "$verbs" | grep -q "^  $verb " || {
        echo "readme: ./dev has no verb $verb" >&2
        exit 1
    }
done
grep -o '](\([^)#:]*\))' "$readme" | sed 's/^](//; s/)$//' | sort -u | while read -r path; do
    [ -e "$root/$path" ] || {
        echo "readme: it links to $path, which is not there" >&2
        exit 1
    }
done
echo "readme: $blocks blocks, $checks outputs compared"
echo "result: 1 passed, 0 failed"

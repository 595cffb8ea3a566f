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
who=readme
# shellcheck source=tests/fresh_server.sh
. "$root/tests/fresh_server.sh"

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

# As ./dev run does it.
fresh_server --config "$(registry "$root/examples/native/ganger.conf")"
port=$(printf '%s\n' "$url" | sed 's,.*:\([0-9]*\)/*$,\1,')
sed -i "s/localhost:7411/localhost:$port/g" "$scratch/blocks"

cd "$scratch/work"
if ! PATH="$scratch/bin:$PATH" GANGER_URL="http://127.0.0.1:$port" GANGER_TOKEN_FILE="$scratch/data/token" \
    sh "$scratch/blocks" >"$scratch/out" 2>&1 </dev/null; then
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

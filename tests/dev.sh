#!/bin/sh
# SPDX-License-Identifier: MIT
# What ./dev does with words that it does not know: nothing but to say so. Runs a copy in an empty directory, where a verb
# that went on would find nothing to run, and could install nothing.
set -u
cd "$(dirname "$0")/.." || exit 2

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin"
cp dev "$scratch"
./dev help >"$scratch/help"
for command in apt-get sudo cmake; do
    printf '#!/bin/sh\nexit 1\n' >"$scratch/bin/$command"
    chmod +x "$scratch/bin/$command"
done
PATH=$scratch/bin:$PATH
passed=0
failed=0

# ends STATUS TEXT ARGUMENT...: it ends so, the first line that it writes has the text, and nothing was made.
ends() {
    expected=$1
    text=$2
    shift 2
    status=0
    timeout 10 "$scratch/dev" "$@" >"$scratch/out" 2>&1 </dev/null || status=$?
    if [ "$status" -eq "$expected" ] && head -n 1 "$scratch/out" | grep -qF -e "$text" && [ ! -e "$scratch/build" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: ./dev $* ended with $status instead of $expected and \"$text\": $(head -n 1 "$scratch/out")"
        rm -rf "$scratch/build"
    fi
}

verbs=$(sed -n 's/^  \([a-z-]*\) .*/\1/p' "$scratch/help")
[ -n "$verbs" ] || echo "failed: the help names no verb"
for verb in $verbs; do
    ends 0 "usage: ./dev VERB" "$verb" --help
    ends 0 "usage: ./dev VERB" "$verb" x -h
    case $verb in
    run | bench) ;; # these check what they are given by themselves
    clean-room) ends 2 "there is no verb x" "$verb" x ;;
    crash | fuzz)
        ends 2 "$verb takes a number, not 5x" "$verb" 5x
        ends 2 "$verb takes one number, not 1 2" "$verb" 1 2
        ;;
    *) ends 2 "$verb takes no argument, and was given x" "$verb" x ;;
    esac
done
ends 0 "usage: ./dev VERB"
ends 0 "usage: ./dev VERB" --help
ends 2 "there is no verb tes." tes.
echo "result: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 20 ]

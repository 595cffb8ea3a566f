#!/bin/sh
# SPDX-License-Identifier: MIT
# demo.sh URL TOKEN_FILE: submits real work to a running server and prints each result as it
# completes. Exits 0 when every result is what it must be. Needs sh, the checkout and a release
# build; curl is used if it is there.
set -eu

GANGER_URL=$1
GANGER_TOKEN_FILE=$2
export GANGER_URL GANGER_TOKEN_FILE
root=$(cd "$(dirname "$0")/.." && pwd)
ganger=$root/build/release/ganger
programs=$root/build/release/examples
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# submit NAME COMMAND...: prints the new job's id.
submit() {
    name=$1
    shift
    "$ganger" submit --quiet --name "$name" -- "$@"
}

# report ID LABEL [EXPECTED]: waits for the end of one job, prints one line, remembers a wrong result.
report() {
    if "$ganger" wait --quiet "$1" >/dev/null 2>"$scratch/$1.err" && value=$("$ganger" logs --quiet "$1"); then
        if [ -n "${3-}" ] && [ "$value" != "$3" ]; then
            echo "$2: expected $3" >>"$scratch/wrong"
        fi
        printf '  %-28s %s\n' "$2" "$value"
    else
        echo "$2: job $1 failed: $(cat "$scratch/$1.err")" | tee -a "$scratch/wrong"
    fi
}

# Nine ranges and eleven Fibonacci numbers, each a job of its own, on three workers. The waiters
# below run side by side, so a line appears when its job ends, not when its turn comes.
numbers() {
    echo "1. Primes in nine ranges, and Fibonacci numbers 25 to 35, as $((9 + 11)) jobs on three workers"
    from=0
    for expected in 283146 256631 248283 243070 239477 236515 234308 232385 230447; do
        to=$((from + 4000000))
        id=$(submit primes "$programs/primes" "$from" "$to")
        report "$id" "primes $from..$to" "$expected" &
        from=$to
    done
    n=25
    for expected in 75025 121393 196418 317811 514229 832040 1346269 2178309 3524578 5702887 9227465; do
        id=$(submit fibonacci "$programs/fibonacci" "$n")
        report "$id" "fibonacci $n" "$expected" &
        n=$((n + 1))
    done
    wait
}

# Map and reduce over text that is really here: one job counts the words of each file, a last one
# merges the counts it gets on its standard input.
# shellcheck disable=SC2016  # the jobs' own shells expand these lines
words() {
    cd "$root"
    count='tr -cs "[:alpha:]" "\n" <"$1" | tr "[:upper:]" "[:lower:]" | sort | uniq -c'
    merge='sort -k 2 | awk "{ n[\$2] += \$1 } END { for (w in n) if (length(w) > 4) print n[w], w }" | sort -rn | sed -n 1,8p'
    set -- *.md docs/*.md LICENSE storage/*.sql
    ids=
    files=0
    for file in "$@"; do
        [ -f "$file" ] || continue
        id=$(submit "words-of-$(basename "$file")" sh -c "$count" count "$root/$file")
        ids="$ids $id"
        files=$((files + 1))
    done
    echo "2. The most frequent words of $files files: one job per file, then one job that merges their results"
    for id in $ids; do
        "$ganger" wait --quiet "$id" >/dev/null || echo "words: job $id failed" >>"$scratch/wrong"
        "$ganger" logs --quiet "$id" >>"$scratch/counts"
    done
    "$ganger" run --quiet --name merge --stdin "$scratch/counts" -- sh -c "$merge" >"$scratch/words"
    sed 's/^/  /' "$scratch/words"
    # The same by one pipe in this shell must say the same.
    for file in "$@"; do
        [ ! -f "$file" ] || sh -c "$count" count "$file"
    done | sh -c "$merge" >"$scratch/words.here"
    cmp -s "$scratch/words" "$scratch/words.here" || echo "words: the merge job and the shell disagree" >>"$scratch/wrong"
}

# What any HTTP client can do: submit, wait for the end in the same request, read the result.
by_curl() {
    if ! command -v curl >/dev/null 2>&1; then
        echo "3. (curl is not installed, so the request by curl is left out)"
        return 0
    fi
    echo "3. One request by curl: submit and wait for the end"
    curl --silent --show-error --fail --oauth2-bearer "$(cat "$GANGER_TOKEN_FILE")" -H 'Prefer: wait=10' \
        -H 'Content-Type: application/json' --data '{"command": ["date", "-u"], "name": "date"}' \
        "$GANGER_URL/v1/jobs" >"$scratch/job.json" || echo "curl: the request failed" >>"$scratch/wrong"
    grep -q '"state": *"succeeded"' "$scratch/job.json" || echo "curl: the job did not succeed" >>"$scratch/wrong"
    printf '  %s\n' "$(cut -c 1-220 "$scratch/job.json")"
}

numbers
words
by_curl
if [ -s "$scratch/wrong" ]; then
    echo "The demonstration failed:" >&2
    sed 's/^/  /' "$scratch/wrong" >&2
    exit 1
fi
echo "All results are right."

# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the examples share: requests by curl, and a look into an answer. Source it.
# GANGER_URL and GANGER_TOKEN_FILE name the service, as `./dev run` prints them; `ganger` is in PATH.

# api PATH [CURL OPTIONS...]: the body of an answer. An answer above 399 is a failure.
api() {
    path=$1
    shift
    curl -sf --oauth2-bearer "$(cat "$GANGER_TOKEN_FILE")" "$@" "$GANGER_URL$path"
}

# status PATH [CURL OPTIONS...]: the status code alone.
status() {
    path=$1
    shift
    curl -s -o /dev/null -w '%{http_code}\n' --oauth2-bearer "$(cat "$GANGER_TOKEN_FILE")" "$@" "$GANGER_URL$path"
}

# field NAME: the first member of this name in JSON on stdin, without quotes.
field() {
    grep -o "\"$1\": *\(\"[^\"]*\"\|[^],}]*\)" | head -n 1 | sed 's/^"[^"]*": *//; s/^"//; s/"$//'
}

# begun ID: waits until the job runs, by long polls: each ends when the job has changed.
begun() {
    tag='""'
    while :; do
        answer=$(api "/v1/jobs/$1" -i -H "If-None-Match: $tag" -H 'Prefer: wait=10')
        case $answer in *'"state":"running"'* | *'"done":true'*) return ;; esac
        tag=$(printf '%s\n' "$answer" | tr -d '\r' | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
    done
}

#!/bin/sh
# SPDX-License-Identifier: MIT
# Which directory may include what: the table of docs/architecture.md, held by grep. Exits 1 and
# names each offence. With a directory as argument it checks that tree instead (how the check itself
# is checked: --self-test).
set -u

# check <files> <extended regular expression of the headers they may include>: anything of ours or of a library that is not
# matched is an offence. System headers are free for everybody, except those of libraries with one owner.
check() {
    # shellcheck disable=SC2011,SC2016,SC2086  # a list of words without spaces; awk expands; an unmatched pattern is no file
    ls -d $1 2>/dev/null | xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include' |
        awk -v allowed="^($(printf '%s' "$2" | sed 's/\\/\\\\/g'))\$" '
        {
            place = $0; sub(/:[[:space:]]*#.*/, "", place)
            header = $0; sub(/^[^"<]*["<]/, "", header); sub(/[">].*/, "", header)
            if (place !~ /^service\/base\/libcurl/) sub(/^service\/base\/libcurl\.h$/, "curl/curl.h", header) # the same
            is_owned = header ~ /^(sqlite3\.h|microhttpd\.h|cJSON\.h|ini\.h)$/ || header ~ /^(cjson|curl|nettle)\//
            if ((is_owned || $0 ~ /"/) && header !~ allowed) print place ": may not include " header
        }'
}

without() {
    # shellcheck disable=SC2086  # file names of this tree hold no spaces
    printf '%s\n' $1 | grep -vxF "$2"
}

check_tree() {
    base='service/base/[a-z0-9_]+\.h'
    rest=$(without "$(echo service/base/*.[ch])" service/base/config.c)
    rest=$(without "$rest" service/base/base64.c)
    check "$(without "$rest" service/base/libcurl.h)" "$base"
    check service/base/config.c "$base|ini\.h"
    check service/base/libcurl.h "$base|curl/curl\.h"
    check service/base/base64.c "$base|nettle/base64\.h"
    check "$(echo storage/*.[ch])" "$base|storage/[a-z0-9_]+\.h|sqlite3\.h|nettle/[a-z0-9-]+\.h"
    check "$(echo pool/*.[ch])" "$base|pool/[a-z0-9_]+\.h|include/ganger/plugin\.h|nettle/[a-z0-9-]+\.h"
    lower="$base|service/[a-z0-9_]+\.h|storage/[a-z0-9_]+\.h|pool/[a-z0-9_]+\.h|nettle/[a-z0-9-]+\.h"
    rest=$(without "$(echo service/*.[ch])" service/main.c)
    check "$(without "$rest" service/callbacks.c)" "$lower"
    check service/callbacks.c "$lower|curl/curl\.h"
    upper="$base|service/[a-z0-9_]+\.h|api/[a-z0-9_]+\.h|microhttpd\.h|nettle/[a-z0-9-]+\.h"
    check "$(without "$(echo api/*.[ch])" api/codec.c)" "$upper"
    check api/codec.c "$upper|cJSON\.h|cjson/cJSON\.h"
    client="$base|cli/[a-z0-9_]+\.h|curl/curl\.h"
    check "$(without "$(echo cli/*.[ch])" cli/json.c)" "$client"
    check cli/json.c "$client|cJSON\.h|cjson/cJSON\.h"
}

# A check that cannot fail proves nothing: plant one offence per rule and demand that each is seen.
self_test() {
    dir=$(mktemp -d) || exit 1
    trap 'rm -rf "$dir"' EXIT
    cd "$dir" || exit 1
    mkdir -p service/base storage pool api cli
    plant() { echo "#include $2" >>"$1"; }
    plant service/base/buf.c '"storage/store.h"'
    plant service/base/buf.c '<ini.h>'
    plant service/base/buf.c '<nettle/base64.h>'
    plant storage/store.c '"pool/pool.h"'
    plant storage/store.c '"service/engine.h"'
    plant pool/pool.c '"storage/store.h"'
    plant pool/pool.c '<sqlite3.h>'
    plant service/engine.c '"api/http.h"'
    plant service/engine.c '<cJSON.h>'
    plant service/engine.c '<curl/curl.h>'
    plant service/turn.c '"service/base/libcurl.h"'
    plant service/base/buf.c '"service/base/libcurl.h"'
    plant api/http.c '"storage/store.h"'
    plant api/http.c '<cJSON.h>'
    plant api/http.c '"http.h"'
    plant cli/run.c '"service/engine.h"'
    plant cli/run.c '<cJSON.h>'
    planted=$(cat ./*/*.c ./*/*/*.c | wc -l)
    # What is allowed must pass.
    plant service/base/config.c '<ini.h>'
    plant service/base/libcurl.h '<curl/curl.h>'
    plant service/callbacks.c '"service/base/libcurl.h"'
    plant cli/client.c '"service/base/libcurl.h"'
    plant service/base/base64.c '<nettle/base64.h>'
    plant storage/sql.c '<sqlite3.h>'
    plant api/codec.c '<cJSON.h>'
    plant service/main.c '"api/http.h"'
    plant cli/json.c '"service/base/buf.h"'
    seen=$(check_tree | wc -l)
    if [ "$seen" -ne "$planted" ]; then
        echo "layering: planted $planted offences, saw $seen" >&2
        check_tree >&2
        exit 1
    fi
}

case ${1-} in
--self-test) self_test && exit 0 ;;
esac
(self_test) || exit 1
cd "${1-$(dirname "$0")/..}" || exit 2
offences=$(check_tree)
if [ -n "$offences" ]; then
    printf '%s\n' "$offences" >&2
    exit 1
fi
# The map of pool/ in the document: each module once, and none that is gone.
if [ -f docs/architecture.md ]; then
    # shellcheck disable=SC2016  # the marks of code in Markdown
    named=$(sed -n '/^## The files of the pool/,/^## The life/s/^| //p' docs/architecture.md | grep -o '`[a-z_]*`' | tr -d '`' | sort)
    there=$(basename -s .c pool/*.c | sort)
    if [ "$named" != "$there" ]; then
        echo "docs/architecture.md does not name the modules of pool/ once each; named: $named; there: $there" >&2
        exit 1
    fi
fi
echo "result: 1 passed, 0 failed"

#!/bin/sh
# SPDX-License-Identifier: MIT
# What must not appear in the tree: functions that cannot be used safely, fork outside pool/, words
# that promise later work, and files that break the rules of style. Exits 1 and names each offence.
# Checks itself first.
set -u

unsafe='strcpy|stpcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|system|popen|rand|srand|sleep|usleep|alloca'

# All C files in one go, since a process for each of them would take longer than what it looks for.
# Code is a line without its comments and without what stands in strings and character constants.
# shellcheck disable=SC2016  # awk expands it
c_files='
function code_of(line,    out, n, i, c, two) {
    if (!in_comment && line !~ /["\047\/]/) return line
    if (in_comment && line !~ /\*\//) return ""
    out = ""; n = length(line); quote = ""
    for (i = 1; i <= n; i++) {
        c = substr(line, i, 1); two = substr(line, i, 2)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++ }
        } else if (quote != "") {
            if (c == "\\") i++
            else if (c == quote) { quote = ""; out = out c }
        } else if (two == "/*") { in_comment = 1; i++; out = out " " }
        else if (two == "//") { out = out two; break }
        else { if (c == "\"" || c == "\047") quote = c; out = out c }
    }
    return out
}
function offence(pattern, why) {
    if (code ~ pattern) {
        sub(/^ */, "", code)
        print FILENAME ":" FNR ": " why ": " code
    }
}
function end_of_file() {
    if (last > 500) print file ": " last " lines; the limit is 500"
}
FNR == 1 {
    end_of_file()
    file = FILENAME; in_comment = 0
    may_fork = file ~ /^(pool|tests|bench)\//
    is_test = file ~ /^tests\//
    if ($0 != "/* SPDX-License-Identifier: MIT */") print file ":1: the first line is not the SPDX line"
}
{
    last = FNR
    code = code_of($0)
    if (code ~ /\(/) {
        offence("(^|[^A-Za-z0-9_])(" unsafe ")[ \t]*\\(", "banned function")
        offence("(^|[^A-Za-z0-9_])assert[ \t]*\\(0", "assert(0 is not an error path")
        if (!may_fork) offence("(^|[^A-Za-z0-9_])v?fork[ \t]*\\(", "only pool/ may fork")
        if (is_test)
            offence("(^|[^A-Za-z0-9_])(gt|ge)[ \t]*\\((int|sz|u?i[0-9]+|u[0-9]+|dbl)",
                    "gt and ge of Criterion 2.4.1 are wrong; use cr_assert_gt")
    }
    if (code ~ /\/\//) offence("//", "comments are written /* so */")
}
END { end_of_file() }
'

# each COMMAND...: runs it on the files whose names come on standard input; no file, no run.
each() {
    tr '\n' '\0' | xargs -0 -r "$@"
}

check_c_files() {
    grep '\.[ch]$' "$1" | each awk -v unsafe="$unsafe" "$c_files"
}

check_text_files() {
    texts=$1.texts
    grep -vE '^tests/(data|fuzz/corpus)/' "$1" |
        grep -E '\.([ch]|sh|sql|md|cmake|json|yml|yaml|service)$|CMakeLists\.txt$|^dev$|^\.ci/run$|Dockerfile$' >"$texts"
    # Written in two halves so that this file passes its own check.
    each grep -HnwE 'TO''DO|FIX''ME|XX''X|HA''CK' <"$texts" | sed -E 's/^([^:]*:[0-9]*:)/\1 a promise instead of work: /'
    # In Markdown two spaces at a line's end mean something.
    grep -v '\.md$' "$texts" | each grep -HnE '[[:space:]]+$' |
        sed -E 's/^([^:]*:[0-9]*:).*/\1 white space at the end of the line/'
    grep -E '\.([ch]|sh|sql|cmake)$|CMakeLists\.txt$' "$texts" | each grep -Hn "$(printf '\t')" |
        sed -E 's/^([^:]*:[0-9]*:).*/\1 a tab/'
}

# Files of the tree: what git knows, or, in an exported tree, everything but build products.
list_files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard
    else
        find . -path ./build -prune -o -path ./.git -prune -o -type f -print | sed 's,^\./,,'
    fi
}

check_tree() {
    files=$(mktemp) || exit 1
    list_files | while IFS= read -r file; do
        [ -f "$file" ] && printf '%s\n' "$file"
    done >"$files"
    check_c_files "$files"
    check_text_files "$files"
    rm -f "$files" "$files.texts"
}

self_test() {
    dir=$(mktemp -d) || exit 1
    trap 'rm -rf "$dir"' EXIT
    cd "$dir" || exit 1
    mkdir -p service pool tests
    {
        echo '/* SPDX-License-Identifier: MIT */'
        echo 'void f(char *a) { strcpy(a, "x"); }'
        echo 'int g(void) { return system ("ls"); }'
        echo 'int h(void) { return fork(); }'
        echo 'int i; // not so'
        echo '/* TO''DO later */'
        printf 'int j; \n'
        printf '\tint k;\n'
    } >service/bad.c
    echo 'int no_licence;' >service/bare.c
    {
        echo '/* SPDX-License-Identifier: MIT */'
        echo 'cr_assert(gt(int, 2, 2));'
    } >tests/test_bad.c
    {
        echo '/* SPDX-License-Identifier: MIT */'
        echo '/* Never call strcpy() or system(3), nor sleep( */'
        echo 'const char *s = "rand() // \" sleep(1)"; int snprintf_sleep(int); int c = '\''"'\''; int x = fork();'
    } >pool/good.c
    awk 'BEGIN { print "/* SPDX-License-Identifier: MIT */"; for (i = 0; i < 500; i++) print "int a" i ";" }' >pool/long.c
    seen=$(check_tree | wc -l)
    if [ "$seen" -ne 10 ]; then
        echo "banned: planted 10 offences, saw $seen:" >&2
        check_tree >&2
        exit 1
    fi
}

(self_test) || exit 1
cd "$(dirname "$0")/.." || exit 2
offences=$(check_tree)
if [ -n "$offences" ]; then
    printf '%s\n' "$offences" >&2
    exit 1
fi
echo "result: 1 passed, 0 failed"

#!/bin/sh
# SPDX-License-Identifier: MIT
# What must not appear in the tree: functions that cannot be used safely, fork outside pool/, words
# that promise later work, and files that break the rules of style. Exits 1 and names each offence.
# Checks itself first.
set -u

unsafe='strcpy|stpcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|system|popen|rand|srand|sleep|usleep|alloca'

# Prints the C file with comments, strings and character constants emptied; line numbers stay.
code_of() {
    awk '
    {
        out = ""; n = length($0)
        for (i = 1; i <= n; i++) {
            c = substr($0, i, 1); two = substr($0, i, 2)
            if (in_comment) {
                if (two == "*/") { in_comment = 0; i++ }
            } else if (quote != "") {
                if (c == "\\") i++
                else if (c == quote) { quote = ""; out = out c }
            } else if (two == "/*") { in_comment = 1; i++; out = out " " }
            else if (two == "//") { out = out two; break }
            else { if (c == "\"" || c == "\047") quote = c; out = out c }
        }
        quote = ""
        print out
    }' "$1"
}

# offence <file> <pattern> <why>: looks at code only.
offence() {
    code_of "$1" | grep -nE "$2" | while IFS=: read -r line rest; do
        echo "$1:$line: $3: $(printf '%s' "$rest" | sed 's/^ *//')"
    done
}

check_c_file() {
    file=$1
    offence "$file" "(^|[^A-Za-z0-9_])($unsafe)[[:space:]]*\\(" "banned function"
    offence "$file" '(^|[^A-Za-z0-9_])assert[[:space:]]*\(0' "assert(0 is not an error path"
    offence "$file" '//' "comments are written /* so */"
    case $file in
    pool/* | tests/* | bench/*) ;;
    *) offence "$file" '(^|[^A-Za-z0-9_])v?fork[[:space:]]*\(' "only pool/ may fork" ;;
    esac
    case $file in
    tests/*) offence "$file" '(^|[^A-Za-z0-9_])(gt|ge)[[:space:]]*\((int|sz|u?i[0-9]+|u[0-9]+|dbl)' \
        "gt and ge of Criterion 2.4.1 are wrong; use cr_assert_gt" ;;
    esac
    case $(head -n 1 "$file") in
    '/* SPDX-License-Identifier: MIT */') ;;
    *) echo "$file:1: the first line is not the SPDX line" ;;
    esac
    lines=$(wc -l <"$file")
    [ "$lines" -le 500 ] || echo "$file: $lines lines; the limit is 500"
}

check_text_file() {
    file=$1
    # Written in two halves so that this file passes its own check.
    grep -nwE 'TO''DO|FIX''ME|XX''X|HA''CK' "$file" | while IFS=: read -r line rest; do
        echo "$file:$line: a promise instead of work: $rest"
    done
    case $file in
    *.md) ;; # two spaces at a line's end mean something there
    *) grep -nE '[[:space:]]+$' "$file" | while IFS=: read -r line _; do
        echo "$file:$line: white space at the end of the line"
    done ;;
    esac
    case $file in
    *.[ch] | *.sh | *.sql | *.cmake | *CMakeLists.txt)
        grep -n "$(printf '\t')" "$file" | while IFS=: read -r line _; do
            echo "$file:$line: a tab"
        done
        ;;
    esac
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
    list_files | while IFS= read -r file; do
        [ -f "$file" ] || continue
        case $file in
        *.[ch]) check_c_file "$file" && check_text_file "$file" ;;
        tests/data/* | tests/fuzz/corpus/*) ;;
        *.sh | *.sql | *.md | *.cmake | *CMakeLists.txt | *.json | *.yml | *.yaml | dev | .ci/run | *Dockerfile | *.service)
            check_text_file "$file"
            ;;
        esac
    done
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

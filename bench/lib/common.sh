# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: MIT
# Samples, medians and the table. Every sample is a line `key value` of $samples, every program's own line is kept in $raw.

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(dirname "$bench")
tools=${GANGER_BENCH_BUILD:-$root/build/bench}
ganger=${GANGER_BIN:-$root/build/release/ganger}
work=${GANGER_BENCH_DIR:-$tools/data}
rounds=${GANGER_BENCH_ROUNDS:-5}
seconds=${GANGER_BENCH_SECONDS:-2}
samples=$work/samples
raw=$work/raw
table=$work/table

say()
{
    printf '%s\n' "$*" >&2
}

die()
{
    say "bench: $*"
    exit 1
}

have()
{
    command -v "$1" >/dev/null 2>&1
}

# The k-th number of a line `name: value unit  other: value unit`.
number_at()
{
    awk -v k="$1" '{ n = 0; for (i = 2; i <= NF; i++) if ($i ~ /^[0-9.]+$/ && ++n == k) { print $i; exit } }'
}

record()
{
    [ -n "$2" ] || die "no value for $1"
    printf '%s %s\n' "$1" "$2" >>"$samples"
}

# Waits until the processors have been nine tenths idle for half a second, but for GANGER_BENCH_CALM seconds at most (0: not
# at all): on a machine with other work a measurement starts in a pause of it.
calm()
{
    local tries busy idle busy_before idle_before
    for ((tries = 0; tries < ${GANGER_BENCH_CALM:-0} * 2; tries++)); do
        read -r busy_before idle_before < <(busy_and_idle)
        sleep 0.5
        read -r busy idle < <(busy_and_idle)
        if [ $((9 * (busy - busy_before))) -le $((idle - idle_before)) ]; then
            return
        fi
    done
}

busy_and_idle()
{
    awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $5 + $6 }' /proc/stat
}

# measure KEY COMMAND...: runs it and records the first number of its last line; $line keeps that line for more.
measure()
{
    local key=$1
    shift
    local output
    calm
    output=$("$@") || die "$key: failed: $*"
    line=$(printf '%s\n' "$output" | tail -n 1)
    printf '%s\n' "$line" | tee -a "$raw" >&2
    record "$key" "$(printf '%s\n' "$line" | number_at 1)"
}

# rate NAME COUNT COMMAND...: for programs that print nothing: count / wall time.
rate()
{
    local name=$1 count=$2 start end
    shift 2
    start=$EPOCHREALTIME
    "$@" >/dev/null || return 1
    end=$EPOCHREALTIME
    awk -v n="$name" -v k="$count" -v a="$start" -v b="$end" 'BEGIN { printf "%s: %.0f jobs/s\n", n, k / (b - a) }'
}

calc()
{
    awk "BEGIN { print $* }"
}

# Prints `median min max n` of a key; fails when it has no samples.
median_of()
{
    awk -v k="$1" '$1 == k { print $2 }' "$samples" | sort -g | awk '
        { v[NR] = $1 }
        END {
            if (NR == 0) exit 1
            m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
            print m, v[1], v[NR], NR
        }'
}

has_samples()
{
    median_of "$1" >/dev/null
}

readable()
{
    awk -v x="$1" 'BEGIN { if (x >= 100) printf "%.0f", x; else if (x >= 10) printf "%.1f", x; else printf "%.2f", x }'
}

# row GOAL WHAT UNIT GANGER_KEY LIMIT_KEY LIMIT_NAME OPERATOR FACTOR: one line of the table.
# The ratio is that of the medians; OPERATOR is >= or <=. Skipped by name when either side was not measured.
row()
{
    local goal=$1 what=$2 unit=$3 limit_name=$6 operator=$7 factor=$8
    local g g_min g_max l ratio reached
    if ! has_samples "$4" || ! has_samples "$5"; then
        printf '| %s | %s | not measured | %s | | %s %s | |\n' "$goal" "$what" "$limit_name" "$operator" "$factor" >>"$table"
        return
    fi
    read -r g g_min g_max _ < <(median_of "$4")
    read -r l _ < <(median_of "$5")
    ratio=$(calc "$g / $l")
    reached=$(calc "($ratio $operator $factor) ? \"yes\" : \"no\"")
    printf '| %s | %s | %s (%s..%s) %s | %s %s (%s) | %s | %s %s | %s |\n' "$goal" "$what" \
        "$(readable "$g")" "$(readable "$g_min")" "$(readable "$g_max")" "$unit" \
        "$(readable "$l")" "$unit" "$limit_name" "$(awk -v r="$ratio" 'BEGIN { printf r < 0.1 ? "%.3f" : "%.2f", r }')" \
        "$operator" "$factor" "$reached" >>"$table"
}

# row_bound GOAL WHAT UNIT KEY OPERATOR BOUND: for goals that are a number of their own.
row_bound()
{
    local goal=$1 what=$2 unit=$3 operator=$5 bound=$6 g g_min g_max
    if ! has_samples "$4"; then
        printf '| %s | %s | not measured | | | %s %s %s | |\n' "$goal" "$what" "$operator" "$bound" "$unit" >>"$table"
        return
    fi
    read -r g g_min g_max _ < <(median_of "$4")
    printf '| %s | %s | %s (%s..%s) %s | | | %s %s %s | %s |\n' "$goal" "$what" "$(readable "$g")" "$(readable "$g_min")" \
        "$(readable "$g_max")" "$unit" "$operator" "$bound" "$unit" \
        "$(calc "($g $operator $bound) ? \"yes\" : \"no\"")" >>"$table"
}

table_head()
{
    echo '| goal | what | ganger, median (min..max) | limit, median | ratio | goal | reached |'
    echo '|---|---|---|---|---|---|---|'
}

# What was measured on what; no names of machines or users.
describe_machine()
{
    printf 'ganger %s; %s x %s; Linux %s; %s on %s; %s; %s rounds, %s s per HTTP run; load before: %s\n' \
        "$("$ganger" --version | cut -d " " -f 2)" "$(nproc)" \
        "$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)" "$(uname -r)" \
        "$(stat -f -c %T "$work")" "$(df --output=source "$work" | tail -n 1)" "$(cc --version | head -n 1)" \
        "$rounds" "$seconds" "$(cut -d ' ' -f 1-3 /proc/loadavg)"
}

# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: MIT
# Starting and stopping ganger, the limits and the peers. Everything is on loopback and ends with this script.

declare -A server_port server_pid server_token server_fd
children=()

# server_start NAME [OPTION...]: an empty data directory $work/NAME unless it exists; returns when the server is ready.
server_start()
{
    local name=$1 fd line
    shift
    mkdir -p "$work/$name"
    exec {fd}< <(exec "$ganger" serve --data "$work/$name" --listen 127.0.0.1:0 --workers 2 --sync full \
        --log-level warn "$@" 2>>"$work/$name.log")
    server_pid[$name]=$!
    server_fd[$name]=$fd
    while read -r -t 60 -u "$fd" line; do
        case $line in
        'ready http://'*)
            line=${line%/}
            server_port[$name]=${line##*:}
            server_token[$name]=$(cat "$work/$name/token")
            server_use "$name"
            return 0
            ;;
        esac
    done
    die "ganger does not start: $(tail -n 3 "$work/$name.log")"
}

# The server that load, wrk_post and the like speak to.
server_use()
{
    server=$1
    port=${server_port[$1]}
    export GANGER_TOKEN=${server_token[$1]}
}

server_stop()
{
    local name=$1 fd=${server_fd[$1]}
    kill -TERM "${server_pid[$name]}" 2>/dev/null
    wait "${server_pid[$name]}" 2>/dev/null
    exec {fd}<&-
    unset "server_pid[$name]"
}

# Stopped as by a power failure of the process; returns when its whole tree has ended.
server_kill()
{
    local name=$1 fd=${server_fd[$1]} pid
    local tree
    tree=$(tree_of "${server_pid[$name]}")
    kill -KILL "${server_pid[$name]}"
    wait "${server_pid[$name]}" 2>/dev/null
    for pid in $tree; do
        while [ -d "/proc/$pid" ]; do
            sleep 0.01
        done
    done
    exec {fd}<&-
    unset "server_pid[$name]"
}

server_forget()
{
    rm -rf "${work:?}/$1" "$work/$1.log"
}

server_end()
{
    server_stop "$1"
    server_forget "$1"
}

load()
{
    local mode=$1
    shift
    "$tools/load" "$mode" -p "$port" "$@"
}

# A process and all that descend from it.
tree_of()
{
    local child children=()
    echo "$1"
    read -r -d '' -a children < <(cat "/proc/$1/task/"*/children 2>/dev/null)
    for child in "${children[@]}"; do
        tree_of "$child"
    done
}

# CPU time of a tree and of what it has reaped, in microseconds; the kernel counts in steps of 10 ms.
tree_cpu_us()
{
    local pid hz
    hz=$(getconf CLK_TCK)
    for pid in $(tree_of "$1"); do
        sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null
    done | awk -v hz="$hz" '{ t += $12 + $13 + $14 + $15 } END { printf "%.0f\n", t * 1000000 / hz }'
}

tree_pss_kib()
{
    local pid
    for pid in $(tree_of "$1"); do
        cat "/proc/$pid/smaps_rollup" 2>/dev/null
    done | awk '/^Pss:/ { t += $2 } END { print t + 0 }'
}

# status_kib PID FIELD: VmRSS, VmHWM.
status_kib()
{
    awk -v f="$2:" '$1 == f { print $2 }' "/proc/$1/status"
}

# background COMMAND...: a limit or peer that listens; its pid is in $!. It is ended by `stop PID` or at the end.
background()
{
    "$@" >>"$work/peers.log" 2>&1 &
    children+=($!)
}

stop()
{
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# Returns when something listens on the port of 127.0.0.1.
await_port()
{
    local tries
    for tries in {1..500}; do
        if (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
            return 0
        fi
        sleep 0.02
    done
    die "nothing listens on port $1 after $tries tries"
}

# A port that is free now, for programs that cannot choose one themselves.
free_port()
{
    local candidate
    for candidate in $(seq "$((20000 + RANDOM % 8000))" 65000); do
        if ! (: <"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# Sets durpost_port and durpost_pid. MODE sqlite or log.
durpost_start()
{
    mkdir -p "$work/durpost"
    durpost_port=$(free_port)
    background "$tools/durpost" "$durpost_port" "$1" "$work/durpost"
    durpost_pid=$!
    await_port "$durpost_port"
}

durpost_stop()
{
    stop "$durpost_pid"
    rm -rf "$work/durpost"
}

# Sets webhook_port and webhook_pid; fails when webhook is not installed.
webhook_start()
{
    have webhook || return 1
    webhook_port=$(free_port)
    printf '[{"id":"true","execute-command":"/bin/true","include-command-output-in-response":true,%s}]\n' \
        '"command-working-directory":"/tmp"' >"$work/hooks.json"
    background webhook -hooks "$work/hooks.json" -ip 127.0.0.1 -port "$webhook_port"
    webhook_pid=$!
    await_port "$webhook_port"
}

# The one request of P3, the same bytes for ganger and for its limit (which reads no more than the body's length).
write_post_lua()
{
    {
        echo 'wrk.method = "POST"'
        echo 'wrk.headers["Content-Type"] = "application/json"'
        printf 'wrk.headers["Authorization"] = "Bearer %s"\n' "$GANGER_TOKEN"
        printf 'wrk.body = %s .. string.rep("a", 150) .. %s\n' \
            "'{\"command\":[\"/bin/true\"],\"delay\":\"1h\",\"metadata\":\"'" "'\"}'"
    } >"$work/post.lua"
}

# wrk_post NAME PORT CONNECTIONS: prints `NAME: N req/s p50: N us p99: N us`; fails on any answer that is not a 2xx.
wrk_post()
{
    wrk -t1 -c"$3" -d"${seconds}s" --latency -s "$work/post.lua" "http://127.0.0.1:$2/v1/jobs" | awk -v n="$1" '
        function us(x) { return x ~ /us$/ ? x + 0 : x ~ /ms$/ ? x * 1000 : x * 1000000 }
        $1 == "50%" { p50 = us($2) }
        $1 == "99%" { p99 = us($2) }
        /^Requests\/sec/ { rate = $2 }
        /Socket errors|Non-2xx/ { bad = $0 }
        END {
            if (bad != "" || rate == 0) { print n ": " bad > "/dev/stderr"; exit 1 }
            printf "%s: %d req/s p50: %d us p99: %d us\n", n, rate, p50, p99
        }'
}

cleanup()
{
    local name pid
    for name in "${!server_pid[@]}"; do
        kill -TERM "${server_pid[$name]}" 2>/dev/null
    done
    for pid in "${children[@]}"; do
        kill "$pid" 2>/dev/null
    done
    wait
    if [ -z "${GANGER_BENCH_KEEP-}" ]; then
        find "$work" -mindepth 1 -maxdepth 1 ! -name samples ! -name raw ! -name table -exec rm -rf {} +
    fi
}

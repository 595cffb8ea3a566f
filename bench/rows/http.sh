# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: MIT
# P3 durable submits and P9 many connections, by wrk.

connection_memories=(2048 8192)

# p3_once KEY CONNECTIONS: the server in use, then its limit, with the same request.
p3_once()
{
    write_post_lua
    measure "$1.ganger" wrk_post "ganger_submit_c$2" "$port" "$2"
    record "$1.ganger_p99" "$(printf '%s\n' "$line" | number_at 3)"
    measure "$1.limit" wrk_post "durpost_sqlite_c$2" "$durpost_port" "$2"
    record "$1.limit_p99" "$(printf '%s\n' "$line" | number_at 3)"
}

# Both sides start empty in every round.
bench_P3()
{
    local r n
    for r in $(seq "$rounds"); do
        server_start "submit"
        durpost_start sqlite
        for n in 8 64 256; do
            p3_once "P3.$n" "$n"
        done
        durpost_stop
        durpost_start log
        for n in 8 64 256; do
            measure "P3.$n.log" wrk_post "durpost_log_c$n" "$durpost_port" "$n"
        done
        durpost_stop
        server_end submit
    done
    for n in 8 64 256; do
        row P3 "durable submits, $n connections" req/s "P3.$n.ganger" "P3.$n.limit" durpost_sqlite '>=' 0.80
        row P3 "the same, p99" us "P3.$n.ganger_p99" "P3.$n.limit_p99" durpost_sqlite '<=' 1.5
    done
    row "P3 stretch" "durable submits, 64 connections" req/s P3.64.ganger P3.64.log durpost_log '>=' 0.6
}

# idle_kib_per_connection KEY PORT PID PATH: growth of the resident memory by 10,000 idle connections.
idle_kib_per_connection()
{
    local output
    output=$("$tools/idle" "$2" 10000 "$3" "$1" "$4") || die "$1: not every connection was answered"
    printf '%s\n' "$output" | tee -a "$raw" >&2
    record "$1" "$(printf '%s\n' "$output" | awk '{ print ($2 - $6) / 10000 }')"
}

# P3 at 64 connections with and without 10,000 idle ones beside them.
p9_beside_idle()
{
    local memory=$1 holder fd
    write_post_lua
    measure "P9.$memory.alone" wrk_post ganger_submit_c64_alone "$port" 64
    mkfifo "$work/hold"
    "$tools/idle" "$port" 10000 "${server_pid[$server]}" ganger_held /livez hold <"$work/hold" >"$work/held" &
    holder=$!
    children+=("$holder")
    exec {fd}>"$work/hold"
    while [ ! -s "$work/held" ]; do
        kill -0 "$holder" 2>/dev/null || die "the idle connections could not be opened"
        sleep 0.05
    done
    measure "P9.$memory.beside" wrk_post ganger_submit_c64_beside_10000_idle "$port" 64
    exec {fd}>&-
    wait "$holder"
    rm -f "$work/hold" "$work/held"
}

p9_memory()
{
    local memory=$1 mhd_port mhd_pid
    mhd_port=$(free_port)
    background "$tools/mhd" "$mhd_port" 1 12000 "$memory"
    mhd_pid=$!
    await_port "$mhd_port"
    idle_kib_per_connection "P9.$memory.limit" "$mhd_port" "$mhd_pid" /
    stop "$mhd_pid"
    server_start idle --http-connection-memory "$memory" --http-idle-timeout 10m
    idle_kib_per_connection "P9.$memory.ganger" "$port" "${server_pid[idle]}" /livez
    p9_beside_idle "$memory"
    server_end idle
}

# One client's submissions without and with 5,000 requests that wait for another job.
p9_beside_waiters()
{
    server_start waiters
    measure P9.nobody_waits load beside -n 300 -N ganger_submit_alone 0
    measure P9.many_wait load beside -n 300 -N ganger_submit_beside_5000_waiters 5000
    server_end waiters
}

p9_neighbours()
{
    local n
    server_start counts
    write_post_lua
    for n in 127 128 129 255 256 257 512; do
        measure "P9.c$n" wrk_post "ganger_submit_c$n" "$port" "$n"
    done
    server_end counts
}

bench_P9()
{
    local r memory n
    for r in $(seq "$rounds"); do
        for memory in "${connection_memories[@]}"; do
            p9_memory "$memory"
        done
        p9_neighbours
        p9_beside_waiters
    done
    for memory in "${connection_memories[@]}"; do
        row P9 "memory per idle connection, $memory bytes of connection memory" KiB "P9.$memory.ganger" "P9.$memory.limit" \
            libmicrohttpd '<=' 1.15
        row P9 "durable submits at 64 beside 10,000 idle, $memory bytes" req/s "P9.$memory.beside" "P9.$memory.alone" \
            "ganger without them" '>=' 0.95
    done
    row_bound P9 "memory per idle connection at 2,048 bytes" KiB P9.2048.ganger '<=' 3.0
    row P9 "durable submits, 128 connections" req/s P9.c128 P9.c127 "ganger at 127" '>=' 0.90
    row P9 "durable submits, 128 connections" req/s P9.c128 P9.c129 "ganger at 129" '>=' 0.90
    row P9 "durable submits, 256 connections" req/s P9.c256 P9.c255 "ganger at 255" '>=' 0.90
    row P9 "durable submits, 256 connections" req/s P9.c256 P9.c257 "ganger at 257" '>=' 0.90
    row P9 "one client's submission beside 5,000 waiting requests, p50" us P9.many_wait P9.nobody_waits "ganger without them" \
        '<=' 2.0
    row P9 "durable submits, 512 connections" req/s P9.c512 P9.c257 "ganger at 257" '>=' 0.90
}

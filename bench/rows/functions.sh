# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: MIT
# Native functions: P4 single calls, P5 batches and their streams, P6 chunks, P7 (a) latency at rest, P12 Fibonacci numbers.

call_jobs=100000

# Sets functions_conf: the examples that the build of $ganger has made, and the no-op once more without the promise that it
# is pure.
write_functions_conf()
{
    local modules
    modules=$(dirname "$ganger")/examples/native
    [ -f "$modules/noop.so" ] || die "$modules/noop.so is missing; ./dev build makes it"
    functions_conf=$work/functions.conf
    sed "s,build/dev/examples/native,$modules," "$root/examples/native/ganger.conf" >"$functions_conf"
    printf '[function effect]\nkind = native\nmodule = %s/noop.so\nsymbol = ganger_noop\n' "$modules" >>"$functions_conf"
}

# functions_start NAME: a server that has them.
functions_start()
{
    write_functions_conf
    server_start "$1" --config "$functions_conf"
}

# peer_calls KEY WHAT: one number of CPython's pools; the row says so when there is no python3.
peer_calls()
{
    have python3 || return 0
    measure "$1" python3 "$bench/peers/calls.py" "$2" "$seconds"
}

bench_P4()
{
    local r
    functions_start calls
    for r in $(seq "$rounds"); do
        measure P4.limit "$tools/sqlq" "$work" full 100 "$seconds" 0 life
        measure P4.ganger load calls -c 64 -n "$call_jobs" -q "calls-$r" -f noop -N ganger_calls_c64
        measure P4.effect load calls -c 64 -n "$call_jobs" -q "effects-$r" -f effect -N ganger_effects_c64
        peer_calls P4.python submit
    done
    server_end calls
    row P4 "a native no-op, registered as pure, POST with Prefer: wait, 64 connections" calls/s P4.ganger P4.limit \
        sqlite_life_full_batch100 '>=' 0.50
    row P4 "the same, not registered as pure" calls/s P4.effect P4.limit sqlite_life_full_batch100 '>=' 0.50
    row P4 "a native no-op, registered as pure" calls/s P4.ganger P4.python "CPython submit + as_completed, in memory" '>=' 2.0
}

bench_P5()
{
    local r
    functions_start batches
    for r in $(seq "$rounds"); do
        measure P5.limit "$tools/sqlq" "$work" full 100 "$seconds" 0 life
        measure P5.ganger load batches -c 8 -n "$call_jobs" -q "batches-$r" -f noop -N ganger_batches_c8
        peer_calls P5.python imap1
    done
    server_end batches
    row P5 "a native no-op, batches of 100 and their streams, 8 connections" calls/s P5.ganger P5.limit \
        sqlite_life_full_batch100 '>=' 1.0
    row P5 "the same" calls/s P5.ganger P5.python "CPython Pool.imap_unordered, in memory" '>=' 1.5
}

bench_P6()
{
    local r
    functions_start chunks
    for r in $(seq "$rounds"); do
        measure P6.ganger load imap -n "$call_jobs" -k 100 -q "chunks-$r" -f noop -N ganger_chunks_of_100
        peer_calls P6.map1 map1
        peer_calls P6.imap100 imap100
    done
    server_end chunks
    row P6 "a native no-op, one batch of $call_jobs in chunks of 100, its results read while its items go in" calls/s P6.ganger P6.map1 \
        "CPython Executor.map(chunksize=1)" '>=' 12
    row P6 "the same" calls/s P6.ganger P6.imap100 "CPython Pool.imap_unordered(chunksize=100)" '>=' 0.2
}

# Two commits, or one, and the way to a worker and back.
p7_calls()
{
    local r sum
    functions_start call-latency
    durpost_start sqlite
    write_post_lua
    for r in $(seq "$rounds"); do
        measure P7.durpost wrk_post durpost_sqlite_c1 "$durpost_port" 1
        sum=$(printf '%s\n' "$line" | number_at 2)
        measure P7.overwrite "$tools/overwrite" "$work" 2000
        sum="$sum + $(printf '%s\n' "$line" | number_at 1)"
        measure P7.pipe "$tools/pingpong" "$seconds" pipe
        record P7.call_limit "$(calc "$sum + $(printf '%s\n' "$line" | number_at 1)")"
        measure P7.call load wait -n 2000 -q "call-$r" -f noop -N ganger_wait_noop
        measure P7.effect load wait -n 2000 -q "effect-$r" -f effect -N ganger_wait_effect
        peer_calls P7.python call
    done
    durpost_stop
    server_end call-latency
    row "P7 (a)" "a native no-op, registered as pure, POST with Prefer: wait, one connection, p50" us P7.call P7.call_limit \
        "durpost_sqlite_c1 + fdatasync_overwrite + ipc_pipe_split" '<=' 1.3
    row "P7 (a)" "the same, not registered as pure" us P7.effect P7.call_limit \
        "durpost_sqlite_c1 + fdatasync_overwrite + ipc_pipe_split" '<=' 1.3
    row "P7 (a)" "a native no-op, registered as pure" us P7.call P7.python "CPython submit + result, in memory" '<=' 2.0
}

# fib(25) to fib(35) on two workers: in C over a pipe, as one batch of native calls, in CPython.
p12_fib()
{
    local r call_ms
    functions_start fib
    for r in $(seq "$rounds"); do
        measure P12.call load wait -n 500 -q "call-$r" -f noop -N ganger_wait_noop
        call_ms=$(calc "$(printf '%s\n' "$line" | number_at 1) / 1000")
        measure P12.c_seconds "$tools/fib" 2
        record P12.fib_limit "$(calc "$(printf '%s\n' "$line" | number_at 1) * 1000 * 1.05 + $call_ms")"
        measure P12.fib_rate load through -n 11 -q "fib-$r" -f fib -N ganger_fib25_35 25 26 27 28 29 30 31 32 33 34 35
        record P12.fib "$(printf '%s\n' "$line" | number_at 2)"
        record P12.fib_times40 "$(calc "40 * $(printf '%s\n' "$line" | number_at 2)")"
        peer_calls P12.fib_python fib
    done
    server_end fib
    row P12 "fib(25) to fib(35) as 11 native calls" ms P12.fib P12.fib_limit "1.05 x fib.c on 2 workers + one P7 (a)" '<=' 1.0
    row P12 "40 times that" ms P12.fib_times40 P12.fib_python "CPython ProcessPoolExecutor(2)" '<=' 1.0
}

# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: MIT
# P8: a queue of a million jobs must cost nothing: two servers, one empty and one deep, measured in turn.

depth_jobs=${GANGER_BENCH_DEPTH:-1000000}

# Both workers of the deep server sleep, so that its million stays where it is between the measurements.
p8_block()
{
    blockers=()
    local i
    for i in 1 2; do
        blockers+=("$(load call POST /v1/jobs '{"command":["sleep","3600"],"queue":"blockers","priority":100}' |
            sed 's/.*"id": *"\([^"]*\)".*/\1/')")
    done
    for i in 1 2; do
        until load call GET "/v1/jobs/${blockers[$((i - 1))]}" | grep -q '"state": *"running"'; do
            sleep 0.02
        done
    done
}

p8_unblock()
{
    local id
    for id in "${blockers[@]}"; do
        load call POST "/v1/jobs/$id/cancel?wait=10" '{"grace":0}' >/dev/null || die "P8: cancel failed"
    done
}

p8_round()
{
    local r=$1
    server_use empty
    write_post_lua
    measure P8.submit_empty wrk_post ganger_submit_c64_depth0 "$port" 64
    measure P8.latency_empty_rate wrk_post ganger_submit_c1_depth0 "$port" 1
    record P8.latency_empty "$(printf '%s\n' "$line" | number_at 2)"
    measure P8.calls_empty load calls -c 64 -n 50000 -q "p8c-$r" -P 50 -f noop -N ganger_calls_depth0
    measure P8.batches_empty load batches -c 8 -n 50000 -q "p8b-$r" -f noop -N ganger_batches_depth0
    measure P8.bulk_empty load bulk -n 4000 -q "p8-$r" -P 50 -N ganger_bulk_depth0 /bin/true
    server_use deep
    write_post_lua
    measure P8.submit_deep wrk_post ganger_submit_c64_depth"$depth_jobs" "$port" 64
    measure P8.latency_deep_rate wrk_post ganger_submit_c1_depth"$depth_jobs" "$port" 1
    record P8.latency_deep "$(printf '%s\n' "$line" | number_at 2)"
    p8_unblock
    # Whoever waits for each answer leaves workers idle, which would begin one of the million, a command, instead.
    load call PUT /v1/queues/depth '{"paused":true}' >/dev/null || die "P8: pause failed"
    measure P8.calls_deep load calls -c 64 -n 50000 -q "p8c-$r" -P 50 -f noop -N ganger_calls_depth"$depth_jobs"
    measure P8.batches_deep load batches -c 8 -n 50000 -q "p8b-$r" -f noop -N ganger_batches_depth"$depth_jobs"
    load call PUT /v1/queues/depth '{"paused":false}' >/dev/null || die "P8: resume failed"
    measure P8.bulk_deep load bulk -n 4000 -q "p8-$r" -P 50 -N ganger_bulk_depth"$depth_jobs" /bin/true
    p8_block
}

# kill -9, then the time from the start of the program to its ready line; the limit reopens a WAL of the same size.
p8_restart()
{
    local start end wal_bytes wal_rows
    server_use deep
    write_post_lua
    seconds=1 wrk_post ganger_submit_before_kill "$port" 64 >>"$raw" || die "P8: submits failed"
    server_kill deep
    wal_bytes=$(find "$work/deep" -name '*-wal' -printf '%s\n' | sort -n | tail -n 1)
    start=$EPOCHREALTIME
    server_start deep --config "$functions_conf"
    end=$EPOCHREALTIME
    printf 'ganger_restart_depth%s: %s ms  wal: %s bytes\n' "$depth_jobs" "$(calc "($end - $start) * 1000")" "${wal_bytes:-0}" |
        tee -a "$raw" >&2
    record P8.ready "$(calc "($end - $start) * 1000")"
    wal_rows=$(calc "int(${wal_bytes:-0} / 291)") # measured: 291 bytes of WAL per row of `reopen`
    measure P8.reopen_only "$tools/reopen" "$work" 1000000 "$wal_rows"
    record P8.reopen "$(calc "1.2 * $(printf '%s\n' "$line" | number_at 1) + 100")"
}

bench_P8()
{
    local r before
    functions_start empty
    functions_start deep
    before=$(status_kib "${server_pid[deep]}" VmRSS)
    p8_block
    say "P8: submitting $depth_jobs jobs"
    load fill -n "$depth_jobs" -q depth -P -100 -N ganger_fill /bin/true | tee -a "$raw" >&2
    record P8.rss "$(calc "($(status_kib "${server_pid[deep]}" VmRSS) - $before) / 1024")"
    for r in $(seq "$rounds"); do
        p8_round "$r"
    done
    record P8.rss_after "$(calc "($(status_kib "${server_pid[deep]}" VmRSS) - $before) / 1024")"
    server_stop empty
    for r in $(seq "$rounds"); do
        p8_restart
    done
    server_stop deep
    server_forget empty
    server_forget deep
    row P8 "P1 bulk with $depth_jobs jobs waiting" jobs/s P8.bulk_deep P8.bulk_empty "ganger, empty" '>=' 0.90
    row P8 "P4 with $depth_jobs jobs waiting in a paused queue" calls/s P8.calls_deep P8.calls_empty "ganger, empty" '>=' 0.90
    row P8 "P5 with $depth_jobs jobs waiting in a paused queue" calls/s P8.batches_deep P8.batches_empty "ganger, empty" '>=' 0.90
    row P8 "P3 at 64 with $depth_jobs jobs waiting" req/s P8.submit_deep P8.submit_empty "ganger, empty" '>=' 0.90
    row P8 "submit p50 at 1 connection" us P8.latency_deep P8.latency_empty "ganger, empty" '<=' 1.5
    row_bound P8 "growth of the server's RSS by $depth_jobs jobs" MiB P8.rss '<=' 64
    row_bound P8 "the same after P1 and P3 on top" MiB P8.rss_after '<=' 64
    row P8 "kill -9 to ready with $depth_jobs jobs" ms P8.ready P8.reopen "1.2 x reopen + 100 ms" '<=' 1.0
}

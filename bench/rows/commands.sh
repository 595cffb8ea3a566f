# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: MIT
# P1 commands per second, P2 own cost, P7 (b) latency of a command at rest: ganger beside bare spawn loops and other runners.

bulk_jobs=4000

p1_peers()
{
    if webhook_start; then
        port=$webhook_port measure P1.webhook load get -c 8 -n 2000 -N webhook_true_c8 /hooks/true
        stop "$webhook_pid"
    fi
    measure P1.xargs rate xargs_P2 "$bulk_jobs" xargs -P2 -n1 -a "$work/numbers" /bin/true
    if have make; then
        measure P1.make rate make_j2 "$bulk_jobs" make -s -j2 -f "$work/Makefile"
    fi
    if have tsp; then
        measure P1.tsp rate tsp_S2 300 p1_tsp 300
    fi
}

p1_tsp()
{
    local i
    export TS_SOCKET=$work/tsp.sock TMPDIR=$work TS_MAXFINISHED=1
    tsp -S 2
    for ((i = 0; i < $1; i++)); do
        tsp -n /bin/true >/dev/null
    done
    while tsp -l | awk '$2 == "running" || $2 == "queued" { found = 1 } END { exit !found }'; do
        tsp -w >/dev/null 2>&1
    done
    tsp -K
}

p1_prepare_peers()
{
    seq "$bulk_jobs" >"$work/numbers"
    {
        echo "all:$(seq -f ' t%.0f' 1 "$bulk_jobs" | tr -d '\n')"
        echo ".PHONY: all"
        seq "$bulk_jobs" | awk '{ printf "t%d:\n\t@/bin/true\n", $1 }'
    } >"$work/Makefile"
}

# CPU per job: server, zygote, workers and the jobs themselves, between the POST and the end of the last job.
p1_bulk()
{
    local queue=$1 before after
    calm
    before=$(tree_cpu_us "${server_pid[$server]}")
    load submit -n "$bulk_jobs" -q "$queue" -N ganger_bulk /bin/true >>"$raw" || die "P1: submit failed"
    after=$(tree_cpu_us "${server_pid[$server]}")
    GANGER_BENCH_CALM=0 measure P1.bulk load verify -n "$bulk_jobs" -q "$queue" -N ganger_bulk
    record P2.cpu "$(calc "($after - $before) / $bulk_jobs")"
}

bench_P1()
{
    local r
    p1_prepare_peers
    server_start commands
    for r in $(seq "$rounds"); do
        measure P1.limit "$tools/spawn" clone3 1 1 "$seconds" 2 0 /bin/true
        record P2.cpu_limit "$(printf '%s\n' "$line" | number_at 2)"
        p1_bulk "bulk-$r"
        measure P1.through load through -n "$bulk_jobs" -q "through-$r" -N ganger_through /bin/true
        measure P1.pairs load pairs -c 8 -n "$bulk_jobs" -q "pairs-$r" -N ganger_pairs_c8 /bin/true
        p1_peers
    done
    server_end commands
    row P1 "\`/bin/true\`, one NDJSON POST of $bulk_jobs" jobs/s P1.bulk P1.limit "spawn clone3, 2 spawners" '>=' 0.90
    row P1 "\`/bin/true\`, one batch of $bulk_jobs, POST to the end of its stream" jobs/s P1.through P1.limit \
        "spawn clone3, 2 spawners" '>=' 0.90
    row P1 "\`/bin/true\`, one POST and one GET per job, 8 connections" jobs/s P1.pairs P1.limit \
        "spawn clone3, 2 spawners" '>=' 0.80
    row P1 "the bulk run" jobs/s P1.bulk P1.webhook "webhook, 8 clients" '>=' 1.35
    row P1 "the bulk run" jobs/s P1.bulk P1.xargs "xargs -P2" '>=' 1.5
    row P1 "the bulk run" jobs/s P1.bulk P1.make "make -j2" '>=' 1.0
    row P1 "the bulk run" jobs/s P1.bulk P1.tsp "task-spooler, 2 slots" '>=' 3.5
    row "P2 (b)" "CPU per \`/bin/true\`: server, zygote, workers, jobs" us P2.cpu P2.cpu_limit "spawn clone3" '<=' 1.12
}

bench_P2()
{
    local r jobs=20000
    server_start tiny
    for r in $(seq "$rounds"); do
        measure P2.tiny_limit "$tools/spawn" vfork 1 1 "$seconds" 2 0 "$tools/tiny"
        measure P2.tiny load bulk -n "$jobs" -q "tiny-$r" -N ganger_bulk_tiny "$tools/tiny"
    done
    server_end tiny
    row "P2 (a)" "a static program of one system call, bulk" jobs/s P2.tiny P2.tiny_limit "spawn vfork, 2 spawners" '>=' 0.60
}

bench_P7()
{
    local r
    p7_calls
    if ! webhook_start; then
        row "P7 (b)" "\`/bin/true\`, POST with Prefer: wait, one connection, p50" us P7.ganger P7.webhook webhook '<=' 1.25
        return
    fi
    server_start latency
    for r in $(seq "$rounds"); do
        measure P7.ganger load wait -n 300 -q "latency-$r" -N ganger_wait_true /bin/true
        port=$webhook_port measure P7.webhook load get -c 1 -n 300 -N webhook_true_c1 /hooks/true
        record P7.webhook_p50 "$(printf '%s\n' "$line" | number_at 2)"
    done
    server_end latency
    stop "$webhook_pid"
    row "P7 (b)" "\`/bin/true\`, POST with Prefer: wait, one connection, p50" us P7.ganger P7.webhook_p50 webhook '<=' 1.25
}

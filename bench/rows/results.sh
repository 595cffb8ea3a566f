# shellcheck shell=bash disable=SC2154,SC2034
# SPDX-License-Identifier: MIT
# P10 big results, P11 streams and cancelling, P12 memory at rest.

p10_spool_files()
{
    find "$work/big" -type f -path '*spool*' | wc -l
}

# memory_begin, memory_end KEY: records the server's peak memory in between over what it held before, in MiB.
memory_begin()
{
    echo 5 >"/proc/${server_pid[$server]}/clear_refs" # the high-water mark starts again
    memory_before=$(status_kib "${server_pid[$server]}" VmRSS)
}

memory_end()
{
    record "$1" "$(calc "($(status_kib "${server_pid[$server]}" VmHWM) - $memory_before) / 1024")"
}

# Sets big_id to a job whose stdout is 1 GiB.
p10_command()
{
    memory_begin
    measure P10.ganger load big -n 1024 -q "$1" -N ganger_1GiB "$tools/bigpipe" 1024 write
    big_id=${line##*id: }
    memory_end P10.memory
}

p10_curl()
{
    curl -sSf -H "Authorization: Bearer $GANGER_TOKEN" "$@"
}

p10_id()
{
    sed -n 's/.*"id": *"\([0-9a-f-]\{36\}\)".*/\1/p' | head -n 1
}

# GiB/s of one call of a runner with a blob of 1 GiB, from the request to its end; prints its id last.
p10_call()
{
    local start=$EPOCHREALTIME end answer
    answer=$(p10_curl -H 'Prefer: wait=55' --json "{\"function\":\"relay\",\"inputs\":{\"data\":{\"blob\":\"$1\"}},
        \"limits\":{\"output\":\"2GiB\"}}" "http://127.0.0.1:$port/v1/jobs")
    end=$EPOCHREALTIME
    case $answer in
    *'"state":"succeeded"'*) ;;
    *) die "P10: the call of the runner has not succeeded: $answer" ;;
    esac
    awk -v a="$start" -v b="$end" -v id="$(printf '%s' "$answer" | p10_id)" \
        'BEGIN { printf "ganger_runner_1GiB: %.3f GiB/s id: %s\n", 1 / (b - a), id }'
}

# 1 GiB as the argument and as the result of a runner: the same bytes, which the server never holds.
p10_runner()
{
    local r blob
    have curl && have python3 || return 0
    cat >"$work/relay.conf" <<CONF
[blobs]
memory = 2GiB
[function relay]
kind = runner
runner = ["python3", "$root/runners/ganger_runner.py"]
call = relay:relay
env = {"PYTHONPATH": "$bench/peers", "PYTHONDONTWRITEBYTECODE": "1"}
CONF
    server_start relay --config "$work/relay.conf"
    "$tools/bigpipe" 1024 write >"$work/1GiB"
    for r in $(seq "$rounds"); do
        memory_begin
        blob=$(p10_curl -H 'Content-Type: application/octet-stream' -T "$work/1GiB" -X POST "http://127.0.0.1:$port/v1/blobs" | p10_id)
        measure P10.runner p10_call "$blob"
        p10_curl "http://127.0.0.1:$port/v1/jobs/${line##*id: }/result" | cmp - "$work/1GiB" || die "P10: other bytes"
        memory_end P10.runner_memory
        load call DELETE "/v1/jobs/${line##*id: }" >/dev/null || die "P10: delete failed"
        load call DELETE "/v1/blobs/$blob" >/dev/null || die "P10: delete failed"
    done
    rm -f "$work/1GiB"
    server_end relay
}

# curl_rate NAME URL [OPTION...]: GiB/s of one download; fails unless it is 1 GiB.
curl_rate()
{
    local name=$1 url=$2
    shift 2
    curl -sS -o /dev/null -w '%{size_download} %{time_total} %{http_code}\n' "$@" "$url" | awk -v n="$name" '
        $1 != 1073741824 || $3 != 200 { print n ": " $0 > "/dev/stderr"; exit 1 }
        { printf "%s: %.3f GiB/s\n", n, 1 / $2 }'
}

# The same file, served by nginx.
p10_nginx_start()
{
    local user
    user=$(id -un)
    nginx_port=$(free_port)
    mkdir -p "$work/nginx"
    cat >"$work/nginx/nginx.conf" <<CONF
$([ "$(id -u)" -ne 0 ] || echo "user $user;")
worker_processes 2;
daemon off;
pid $work/nginx/pid;
error_log $work/nginx/error.log;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path $work/nginx/a; proxy_temp_path $work/nginx/b; fastcgi_temp_path $work/nginx/c;
    uwsgi_temp_path $work/nginx/d; scgi_temp_path $work/nginx/e;
    server { listen 127.0.0.1:$nginx_port; location = /file { alias $1; } }
}
CONF
    background nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log"
    nginx_pid=$!
    await_port "$nginx_port"
}

p10_download()
{
    local file
    have curl || return 0
    measure P10.get curl_rate ganger_get_1GiB "http://127.0.0.1:$port/v1/jobs/$big_id/stdout" \
        -H "Authorization: Bearer $GANGER_TOKEN"
    have nginx || return 0
    file=$(find "$work/big" -type f -size 1048576k | head -n 1)
    [ -n "$file" ] || die "P10: no file of 1 GiB in the data directory"
    p10_nginx_start "$file"
    measure P10.nginx curl_rate nginx_get_1GiB "http://127.0.0.1:$nginx_port/file"
    stop "$nginx_pid"
}

bench_P10()
{
    local r files
    PATH=$PATH:/usr/sbin
    server_start big
    files=$(p10_spool_files)
    load bulk -n 10 -q small -N ganger_1_byte printf x >>"$raw" || die "P10: small jobs failed"
    record P10.small_files "$(($(p10_spool_files) - files))"
    for r in $(seq "$rounds"); do
        measure P10.limit_unsynced "$tools/bigpipe" 1024 splice 1048576 "$work"
        record P10.limit "$(printf '%s\n' "$line" | number_at 2)"
        p10_command "big-$r"
        p10_download
        load call DELETE "/v1/jobs/$big_id" >/dev/null || die "P10: delete failed"
    done
    server_end big
    row "P10 (a)" "a command that writes 1 GiB, until succeeded" GiB/s P10.ganger P10.limit "bigpipe splice + fdatasync" '>=' 0.85
    row_bound "P10 (a)" "the server's peak memory over its RSS before" MiB P10.memory '<=' 4
    row "P10 (b)" "GET of that stdout, one curl" GiB/s P10.get P10.nginx "nginx, same file" '>=' 0.8
    p10_runner
    row_bound "P10 (c)" "1 GiB as argument and result of a runner: the server's peak memory over its RSS before" MiB \
        P10.runner_memory '<=' 32
    row_bound P10 "files made by ten results of 1 byte" files P10.small_files '<=' 0
}

# (a) and (b): a stream of results that is over, and one that waits for the next end. Each comes right after its limit, and what
# leaves the disk busy behind it comes last.
p11_streams()
{
    local r=$1
    server_use lag
    measure P11.rest "$tools/pingpong" "$seconds" rest
    measure P11.rest_lag load lag -n 100 -q "rest-$r" -N ganger_rest_lag sh -c 'exec sleep 0.02'
    measure P11.roundtrip "$tools/pingpong" "$seconds"
    record P11.oneway "$(printf '%s\n' "$line" | number_at 2)"
    measure P11.lag load lag -n 400 -q "lag-$r" -N ganger_lag /bin/true
    server_use results
    measure P11.results load results -n 100000 -q "results-$r" -N ganger_results "$tools/tiny"
}

# (d): waiting jobs that one call cancels, beside rows that are only inserted.
p11_drop()
{
    local r
    server_start drop
    for r in $(seq "$rounds"); do
        measure P11.insert "$tools/sqlq" "$work" full 1000 "$seconds" 0 insert
        measure P11.drop load drop -n 100000 -q "drop-$r" -N ganger_drop /bin/true
    done
    server_end drop
    row "P11 (d)" "100,000 queued jobs cancelled by one call" jobs/s P11.drop P11.insert \
        "sqlite_insert_full_batch1000" '>=' 0.5
}

bench_P11()
{
    local r kill_us
    export GANGER_SYNC_TIME=$work/sync-time
    server_start results
    LD_PRELOAD=$tools/synctime.so server_start lag
    for r in $(seq "$rounds"); do
        p11_streams "$r"
    done
    server_end results
    server_end lag
    row "P11 (a)" "results of a finished batch of 100,000 as NDJSON" events/s P11.results P11.oneway \
        "pingpong, one way, 128 B" '>=' 1.0
    row "P11 (b)" "commit of an end to its line on an open stream, p50, one \`/bin/true\` after the other" us P11.lag P11.roundtrip \
        "pingpong, round trip" '<=' 1.5
    row "P11 (b)" "the same, 20 ms apart" us P11.rest_lag P11.rest "pingpong, round trips 20 ms apart" '<=' 1.5
    server_start cancel
    durpost_start sqlite
    write_post_lua
    for r in $(seq "$rounds"); do
        measure P11.kill "$tools/killlat" 200
        kill_us=$(printf '%s\n' "$line" | number_at 1)
        measure P11.durpost wrk_post durpost_sqlite_c1 "$durpost_port" 1
        record P11.limit "$(calc "$kill_us + $(printf '%s\n' "$line" | number_at 2)")"
        measure P11.ganger load cancel -n 100 -q "cancel-$r" -N ganger_cancel sleep 60
    done
    durpost_stop
    server_end cancel
    row "P11 (c)" "cancel of a running job with grace 0 until the 200, p50" us P11.ganger P11.limit \
        "kill_to_reaped + durpost_sqlite_c1" '<=' 1.5
    p11_drop
}

# Whoever gives memory back does it in this time, on all sides.
rest_seconds=10

p12_python()
{
    local version
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') || return 0
    python3 "$bench/peers/pool_pss.py" >"$work/python" &
    local pid=$!
    children+=("$pid")
    while [ ! -s "$work/python" ]; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.05
    done
    sleep "$rest_seconds"
    record P12.python "$(tree_pss_kib "$pid")"
    printf 'python%s_pool_pss: %s KiB\n' "$version" "$(tree_pss_kib "$pid")" | tee -a "$raw" >&2
    stop "$pid"
    rm -f "$work/python"
}

# All sides at rest for ten seconds after 1,000 pieces of work. PSS shares each page of a library among all that map it, so no other
# ganger may run on the machine.
bench_P12()
{
    local r
    for r in $(seq "$rounds"); do
        server_start rest
        load pairs -c 8 -n 1000 -q warm -N ganger_warm /bin/true >>"$raw" || die "P12: jobs failed"
        sleep "$rest_seconds"
        record P12.ganger "$(tree_pss_kib "${server_pid[rest]}")"
        printf 'ganger_pss: %s KiB\n' "$(tree_pss_kib "${server_pid[rest]}")" | tee -a "$raw" >&2
        server_end rest
        if webhook_start; then
            port=$webhook_port load get -c 8 -n 1000 -N webhook_warm /hooks/true >>"$raw" || die "P12: webhook failed"
            sleep "$rest_seconds"
            record P12.webhook "$(tree_pss_kib "$webhook_pid")"
            printf 'webhook_pss: %s KiB\n' "$(tree_pss_kib "$webhook_pid")" | tee -a "$raw" >&2
            stop "$webhook_pid"
        fi
        if have python3; then
            p12_python
        fi
    done
    p12_fib
    row P12 "PSS of server, zygote and 2 idle workers, after 1,000 commands" KiB P12.ganger P12.webhook webhook '<=' 0.5
    row P12 "the same" KiB P12.ganger P12.python "CPython ProcessPoolExecutor(2)" '<=' 0.2
}

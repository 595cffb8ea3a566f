#!/bin/sh
# SPDX-License-Identifier: MIT
# ./dev container: builds docker/Dockerfile without a Docker engine and runs the image as a careful
# operator would: read-only root, no capabilities, limits, a volume. Needs root, apt and about 1 GB
# in build/container, which is kept as a cache (remove it to start afresh). Ends with "N passed, N
# failed".
set -eu
cd "$(dirname "$0")/../.."
. tests/container/base.sh

[ "$(id -u)" -eq 0 ] || {
    echo "container: chroot isolation needs root" >&2
    exit 1
}
state=$PWD/build/container
mkdir -p "$state"
CONTAINERS_CONF=$PWD/tests/container/containers.conf
export CONTAINERS_CONF
base=docker.io/library/debian:bookworm-slim
image=localhost/ganger:test
port=18911
passed=0
failed=0

# Images and containers of this test stay out of the machine's own storage.
pod() {
    podman --root "$state/storage" --runroot "$state/run" "$@"
}

check() {
    what=$1
    shift
    if "$@" >"$state/check.log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
        sed 's/^/        /' "$state/check.log" | tail -n 12
    fi
}

leave() {
    pod kube down docker/pod.yaml >/dev/null 2>&1 || :
    pod rm --force --time 0 ganger-test ganger-init ganger-net >/dev/null 2>&1 || :
    pod volume rm --force ganger-test >/dev/null 2>&1 || :
}
trap leave EXIT
trap 'exit 130' INT TERM
leave

if ! pod image exists "$base"; then
    echo "container: making the base image from this machine's package sources"
    make_root "$state/base.tar"
    pod import --quiet "$state/base.tar" "$base" >/dev/null
    rm -f "$state/base.tar"
fi
echo "container: building the image"
buildah --root "$state/storage" --runroot "$state/run" bud --isolation chroot --pull-never --format docker --layers \
    --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" --tag "$image" -f docker/Dockerfile . \
    >"$state/build.log" 2>&1 </dev/null || {
    tail -n 30 "$state/build.log" >&2
    echo "container: the image could not be built" >&2
    exit 1
}

# start NAME OPTION...: in the background, ready when its own health check says so.
start() {
    name=$1
    shift
    pod run --detach --name "$name" --network host --read-only --tmpfs /tmp --cap-drop all \
        --security-opt no-new-privileges --memory 256m --pids-limit 200 --health-interval disable \
        --volume ganger-test:/var/lib/ganger --env "GANGER_LISTEN=127.0.0.1:$port,unix:/var/lib/ganger/ganger.sock" \
        "$@" "$image"
    until_healthy "$name"
}

until_healthy() {
    for _ in $(seq 100); do
        pod exec "$1" ganger health >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    pod logs "$1" 2>&1 | tail -n 20
    return 1
}

# job COMMAND...: its output; fails when the job does.
job() {
    pod exec ganger-test ganger run -- "$@"
}

same() {
    [ "$1" = "$2" ] || {
        echo "got: $1"
        echo "expected: $2"
        return 1
    }
}

stops_with_0() {
    pod stop --time 15 "$1" && same "$(pod inspect --format '{{.State.ExitCode}}' "$1")" 0
}

ends_as() {
    same "$(pod exec ganger-test ganger show --json "$1" | sed -nE 's/.*"state": *"([a-z]+)".*/\1/p' | head -n 1)" "$2"
}

# A job whose child outlives it in a session of its own; then no process of it may be left, and no zombie.
leaves_nothing() {
    job sh -c 'setsid sleep 987654 >/dev/null 2>&1 & (sleep 987654 >/dev/null 2>&1 &) ; exit 0' || return 1
    # shellcheck disable=SC2016  # expanded in the container
    pod exec ganger-test sh -c 'for p in /proc/[0-9]*; do
            grep -q "^State:.Z" "$p/status" 2>/dev/null && { echo "zombie $p"; exit 1; }
            tr "\0" " " <"$p/cmdline" 2>/dev/null | grep -q "^sleep 987654" && { echo "left $p"; exit 1; }
        done; exit 0'
}

check "starts read-only, without capabilities, as an ordinary user" start ganger-test
check "health check of the image" pod healthcheck run ganger-test
check "ganger is process 1" same "$(pod exec ganger-test cat /proc/1/comm)" ganger
check "a job runs as uid 10001" same "$(job id -u)" 10001
capabilities=$(job sh -c 'sed -n "s/^CapEff:[^0-9a-f]*//p" /proc/self/status')
check "a job has no capabilities" same "$capabilities" 0000000000000000
check "a job can write to /tmp" job sh -c 'echo 1 >/tmp/x && rm /tmp/x'
check "a job cannot write to the root" job sh -c '! touch /x 2>/dev/null'
check "nothing is left of a job that forks daemons" leaves_nothing
id=$(pod exec ganger-test ganger submit --quiet -- echo kept) || id=none
check "a job is accepted and ends" pod exec ganger-test ganger wait "$id"
check "SIGTERM drains and ends with status 0" stops_with_0 ganger-test
check "starts again on the same volume" sh -c "CONTAINERS_CONF='$CONTAINERS_CONF' podman --root '$state/storage' \
    --runroot '$state/run' start ganger-test"
check "is healthy again" until_healthy ganger-test
check "remembers the job of the first run" ends_as "$id" succeeded
check "stops again with status 0" stops_with_0 ganger-test
pod rm --force ganger-test >/dev/null 2>&1
check "works below an init as well" start ganger-init --init
check "stops below an init with status 0" stops_with_0 ganger-init
check "starts on a network of its own" pod run --detach --name ganger-net --read-only --tmpfs /tmp --cap-drop all \
    --publish "127.0.0.1:$port:7411" --health-interval disable "$image"
check "is healthy there" until_healthy ganger-net
check "answers on the published port" pod run --rm --network host --env "GANGER_URL=http://127.0.0.1:$port" "$image" health
check "starts as a Kubernetes pod" pod kube play docker/pod.yaml
check "the pod is healthy" until_healthy ganger-ganger
check "the pod runs a job" pod exec ganger-ganger ganger run -- true

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

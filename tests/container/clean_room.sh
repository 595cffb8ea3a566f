#!/bin/sh
# SPDX-License-Identifier: MIT
# ./dev clean-room [VERB...]: makes a minimal Debian 12 root, copies the checkout into it, and runs
# `./dev run --once` and `./dev test` there (or the given verbs). Nothing but sh, apt and the
# checkout may be assumed, and this proves it. Needs root. The root is removed afterwards; with
# GANGER_KEEP_ROOM=1 it stays.
set -eu
cd "$(dirname "$0")/../.."
. tests/container/base.sh

[ "$(id -u)" -eq 0 ] || {
    echo "clean-room: chroot and mount need root" >&2
    exit 1
}
# Mounts and processes of the room live in namespaces of their own, so nothing of it can stay behind
# or be seen outside.
[ -n "${GANGER_ROOM-}" ] ||
    exec env GANGER_ROOM="$(mktemp -d /var/tmp/ganger-room.XXXXXX)" \
        unshare --mount --pid --fork --kill-child sh tests/container/clean_room.sh "$@"
room=$GANGER_ROOM

leave() {
    awk -v room="$room" '$2 == room || index($2, room "/") == 1 { print $2 }' /proc/self/mounts |
        sort -r | xargs -r umount -l
    if [ "${GANGER_KEEP_ROOM-}" = 1 ]; then
        echo "clean-room: kept $room"
    else
        rm -rf --one-file-system "$room"
    fi
}
trap leave EXIT
trap 'exit 130' INT TERM

echo "clean-room: making a minimal Debian 12 root"
make_root "$room"
# A root that is a mount point, as every real one: tests make mount namespaces of their own.
mount --bind "$room" "$room"
mkdir -p "$room/src"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - |
        tar -C "$room/src" -xf -
else
    tar --exclude=./build --exclude=./.git -cf - . | tar -C "$room/src" -xf -
fi
cp -L /etc/resolv.conf "$room/etc/resolv.conf"
[ ! -e /etc/hosts ] || cp -L /etc/hosts "$room/etc/hosts"
# What decides on this machine whether packages can be reached at all.
grep -lis proxy /etc/apt/apt.conf.d/* | while read -r setting; do
    cp -L "$setting" "$room/etc/apt/apt.conf.d/"
done
mount -t proc proc "$room/proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$room/dev"
for device in null zero full random urandom tty; do
    : >"$room/dev/$device"
    mount --bind "/dev/$device" "$room/dev/$device"
done
ln -s /proc/self/fd "$room/dev/fd"
ln -s fd/0 "$room/dev/stdin"
ln -s fd/1 "$room/dev/stdout"
ln -s fd/2 "$room/dev/stderr"
mkdir "$room/dev/shm" "$room/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$room/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$room/dev/pts"
ln -s pts/ptmx "$room/dev/ptmx"

inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} chroot "$room" sh -c "cd /src && $1"
}

# shellcheck disable=SC2016  # expanded in the room
inside 'test "$(dpkg-query -f . -W | wc -c)" -lt 120' || {
    echo "clean-room: the root is not minimal" >&2
    exit 1
}
if [ $# -eq 0 ]; then
    set -- 'run --once' test
fi
for verb in "$@"; do
    echo "clean-room: ./dev $verb"
    began=$(date +%s)
    status=0
    inside "./dev $verb" </dev/null || status=$?
    echo "clean-room: ./dev $verb ended with status $status after $(($(date +%s) - began)) s"
    [ "$status" -eq 0 ] || {
        mkdir -p build/logs/clean-room
        cp -r "$room/src/build/logs/." build/logs/clean-room/ 2>/dev/null || :
        exit "$status"
    }
done

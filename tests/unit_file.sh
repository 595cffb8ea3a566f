#!/bin/sh
# SPDX-License-Identifier: MIT
# unit_file.sh BINARY: checks docker/ganger.service with systemd's own tools; skipped by name where they are missing.
set -eu
cd "$(dirname "$0")/.."

if ! command -v systemd-analyze >/dev/null 2>&1; then
    echo "skipped: systemd-unit: systemd-analyze is not installed"
    echo "result: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The unit names the place of an installed binary; the check wants one that exists.
sed "s,/usr/bin/ganger,$1,g" docker/ganger.service >"$scratch/ganger.service"
failed=0
systemd-analyze verify --man=no "$scratch/ganger.service" 2>"$scratch/verify" || failed=1
# Warnings about the unit itself are failures too; those about units of this machine are not ours.
if [ "$failed" -ne 0 ] || grep -q 'ganger\.service' "$scratch/verify"; then
    cat "$scratch/verify" >&2
    failed=1
fi
exposure=0
systemd-analyze security --offline=yes --threshold=40 "$scratch/ganger.service" >"$scratch/security" 2>&1 || exposure=1
tail -n 1 "$scratch/security"
[ "$exposure" -eq 0 ] || cat "$scratch/security" >&2
failed=$((failed + exposure))
echo "result: $((2 - failed)) passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]

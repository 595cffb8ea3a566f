#!/bin/sh
# SPDX-License-Identifier: MIT
# copier.sh FROM TO: a multi-process file copier with a percentage. Row 101. Each file is one job of a
# batch; its results, as they come, are the names of what is copied.
# shellcheck disable=SC2016  # the jobs' own shells expand what is in single quotes
set -eu
from=$(cd "$1" && pwd)
mkdir -p "$2"
to=$(cd "$2" && pwd)

total=$(find "$from" -type f | wc -l)
find "$from" -type f | sed "s,^$from/,," |
    ganger map -j 3 --name 'copy {}' -- \
        sh -c 'mkdir -p "$(dirname "$2/$0")" && cp -p "$1/$0" "$2/$0" && printf "%s\n" "$0"' {} "$from" "$to" |
    awk -v total="$total" '{ printf "%.2f%% (%s)\n", 100 * NR / total, $0; fflush() }'

#!/bin/sh
# SPDX-License-Identifier: MIT
# A pipeline of pipes: create_items, multiply_items, main. Row 74.
# shellcheck disable=SC2016  # awk expands it
set -eu

echo "# 74: squares of 0 to 9 through two processes, then the end"
ganger pipe -- seq 0 9 ::: awk '{ print $1 * $1; fflush() }'
echo End

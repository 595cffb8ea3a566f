/* SPDX-License-Identifier: MIT */
#include "service/turn.h"

void turn_begin(struct turn *turn)
{
    turn->now_us = clock_wall_us();
    turn->now_ns = clock_mono_ns();
    turn->n_wakes = 0;
    turn->n_files = 0;
    turn->submitted = 0;
    turn->retried = 0;
    memset(turn->finished, 0, sizeof turn->finished);
}

void turn_wake(struct turn *turn, int64_t no, bool ended)
{
    if (turn->n_wakes == turn->cap_wakes) {
        /* Bounded by what one turn may change: its commands' jobs, timers and ends. */
        turn->cap_wakes = MAX(turn->cap_wakes * 2, (size_t)256);
        turn->wakes = must_realloc(turn->wakes, turn->cap_wakes * sizeof *turn->wakes);
    }
    turn->wakes[turn->n_wakes++] = (struct turn_wake){no, ended};
}

void turn_release(struct turn *turn)
{
    free(turn->wakes);
    turn->wakes = NULL;
    turn->cap_wakes = 0;
}

/* SPDX-License-Identifier: MIT */
#include "service/turn.h"

void turn_begin(struct turn *turn)
{
    turn->now_us = clock_wall_us();
    turn->now_ns = clock_mono_ns();
    turn->n_seen = 0;
    turn->n_until_landed = 0;
    turn->n_files = 0;
    turn->n_blobs = 0;
    turn->n_told = 0;
    turn->n_ends = 0;
    turn->submitted = 0;
    turn->retried = 0;
    turn->owes = false;
    turn->refuses_one = false;
}

struct turn_mark turn_mark(const struct turn *turn)
{
    return (struct turn_mark){turn->n_files, turn->n_blobs, turn->n_ends};
}

void turn_back(struct turn *turn, struct turn_mark mark)
{
    turn->n_files = mark.n_files;
    turn->n_blobs = mark.n_blobs;
    turn->n_ends = mark.n_ends;
}

void turn_drop_files(struct turn *turn, const struct output_ref *files, size_t n)
{
    for (size_t i = 0; i < n && turn->n_files < TURN_MAX_FILES; i++)
        turn->files[turn->n_files++] = files[i];
}

void turn_drop_blob(struct turn *turn, uint64_t file)
{
    PRE(turn->n_blobs < TURN_MAX_BLOBS);
    turn->blobs[turn->n_blobs++] = file;
}

void turn_note_end(struct turn *turn, int64_t batch, const struct result_row *row)
{
    struct turn_end *end = &turn->ends[turn->n_ends];
    if (turn->n_ends == TURN_MAX_ENDS || !told_set(&end->told, row))
        return;
    end->batch = batch;
    turn->n_ends++;
}

const struct told_end *turn_find_end(const struct turn *turn, int64_t batch, int64_t seq)
{
    for (size_t i = 0; i < turn->n_ends; i++)
        if (turn->ends[i].batch == batch && turn->ends[i].told.row.seq == seq)
            return &turn->ends[i].told;
    return NULL;
}

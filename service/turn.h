/* SPDX-License-Identifier: MIT */
/* What one turn of the engine has decided inside its transaction. It leaves in `publish`, after the
 * commit, or is forgotten with a rollback. */
#ifndef GANGER_SERVICE_TURN_H
#define GANGER_SERVICE_TURN_H

#include "service/command.h"
#include "storage/jobs.h"

/* Spool files that a turn may free: OUTPUT_STREAMS for each of the rows that retention or FORGET
 * touch. */
#define TURN_MAX_FILES 4096
#define TURN_FILES_OF_ENDS 2048
#define TURN_FILES_OF_TIME 1024
/* Files of blobs: of ends, of those whose time is over, and one of each command. What has no room
 * is left to the next turn. */
#define TURN_BLOBS_OF_ENDS 448
#define TURN_BLOBS_OF_TIME 64
#define TURN_MAX_BLOBS 1024

#define TURN_MAX_ENDS 8 /* a turn with more of them is read by streams in one piece anyway */

struct turn {
    int64_t now_us;
    uint64_t now_ns;
    int64_t newest;        /* the number of the newest job when the transaction began */
    size_t n_seen;         /* of the store's changes: those that apply_changes has reacted to */
    size_t n_until_landed; /* … and those that were made before all ends were applied */
    struct output_ref files[TURN_MAX_FILES];
    size_t n_files;
    uint64_t blobs[TURN_MAX_BLOBS]; /* files of blobs that go */
    size_t n_blobs;
    size_t n_told; /* children that have heard of an end */
    /* Newest ends of followed batches. */
    struct turn_end {
        int64_t batch;
        struct told_end told;
    } ends[TURN_MAX_ENDS];
    size_t n_ends;
    uint64_t submitted, retried;
    bool owes;        /* a callback has become due */
    bool refuses_one; /* of the command at hand: the disk is low, and nothing of it was tried */
};

void turn_begin(struct turn *turn);
/* What goes after the commit, as far as it is decided: a step that is undone decides nothing. */
struct turn_mark {
    size_t n_files, n_blobs, n_ends;
};
struct turn_mark turn_mark(const struct turn *turn);
void turn_back(struct turn *turn, struct turn_mark mark);
/* They go after the commit. Output that a turn has no room for is left to the sweep at the next
 * start; for blobs there is room. */
void turn_drop_files(struct turn *turn, const struct output_ref *files, size_t n);
void turn_drop_blob(struct turn *turn, uint64_t file);
/* An end that may be told after the commit, as far as there is room. */
void turn_note_end(struct turn *turn, int64_t batch, const struct result_row *row);
/* The end of the batch with this place in the order of ends; NULL: it was not noted. */
const struct told_end *turn_find_end(const struct turn *turn, int64_t batch, int64_t seq);

#endif

/* SPDX-License-Identifier: MIT */
/* Blobs, inside the turn's transaction and after it: rows of files that are there, and files whose
 * rows have gone. */
#include "service/engine_state.h"
#include "service/outcome.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

/* The names of what one job takes. */
#define MAX_INPUT_BYTES ((size_t)4 << 20)

static bool has_room(struct engine *e, uint64_t bytes, struct err *err)
{
    return apply_admits(e, err) &&
           blob_total_allows(store_blobs(e->store).bytes, bytes, e->parts.cfg->blob_max_total, err);
}

bool apply_blob(struct engine *e, struct command *cmd, struct err *err)
{
    struct blob_ask *ask = &cmd->blob;
    bool is_new;
    if (!key_check(e, cmd, &is_new, err))
        return false;
    if (!is_new)
        return true;
    const struct blob_new blob = {.file = ask->file,
                                  .bytes = ask->bytes,
                                  .sha256 = ask->sha256,
                                  .now_us = e->turn.now_us,
                                  .keep_us = ask->keep_us,
                                  .salt = apply_salt(e)};
    if (!has_room(e, ask->bytes, err) || !blob_insert(e->store, &blob, &ask->id, err) ||
        !key_keep(e, &cmd->key, ask->id.no, 1, err))
        return false;
    apply_due_at(e, blob.now_us + blob.keep_us);
    return true;
}

bool apply_blob_delete(struct engine *e, struct command *cmd, struct err *err)
{
    uint64_t file;
    if (!blob_delete(e->store, &cmd->blob.id, &file, err))
        return false;
    turn_drop_blob(&e->turn, file);
    return true;
}

bool apply_blobs_prune(struct engine *e, struct err *err)
{
    struct turn *turn = &e->turn;
    struct blob_prune prune = {
        .now_us = turn->now_us, .files = &turn->blobs[turn->n_blobs], .max = TURN_BLOBS_OF_TIME};
    if (!blobs_prune(e->store, &prune, err))
        return err_wrap(err, "let blobs go");
    turn->n_blobs += prune.n;
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * what jobs leave */

void drop_outputs(struct engine *e, const struct task_outcome *outcome)
{
    for (uint32_t i = 0; i < outcome->n_blobs; i++)
        turn_drop_blob(&e->turn, outcome->blobs[i].file);
}

/* A file that is a blob already is not this job's to keep, or to lose. */
static bool take_new_ones(struct engine *e, struct task_outcome *outcome, struct task_blob *kept,
                          bool *ret_sound, struct err *err)
{
    uint32_t n = 0;
    *ret_sound = outcome_take_blobs(outcome, kept);
    for (uint32_t i = 0; i < outcome->n_blobs; i++) {
        bool is_kept;
        if (!blob_has_row(e->store, kept[i].file, &is_kept, err))
            return false;
        if (!is_kept)
            kept[n++] = kept[i];
    }
    *ret_sound = *ret_sound && n == outcome->n_blobs;
    outcome->n_blobs = n;
    return true;
}

bool apply_outputs_take(struct engine *e, struct task_outcome *outcome,
                        struct task_blob kept[TASK_MAX_OUTPUTS], struct err *err)
{
    uint64_t bytes = store_blobs(e->store).bytes;
    bool is_sound;
    if (outcome->n_blobs == 0)
        return true;
    if (!take_new_ones(e, outcome, kept, &is_sound, err))
        return err_wrap(err, "look at the files of a job");
    for (uint32_t i = 0; i < outcome->n_blobs; i++)
        bytes += kept[i].bytes;
    if ((is_sound && bytes <= e->parts.cfg->blob_max_total) || outcome->end != TASK_EXITED)
        return true; /* of a task that has not ended well they are only removed */
    outcome->end = TASK_FUNCTION_FAILED;
    (void)snprintf(outcome->error_text, sizeof outcome->error_text, "OutputError: %s",
                   is_sound ? "with the files of this job the blobs would pass blobs.max_total"
                            : "what the worker says of the files is damaged");
    return true;
}

bool apply_outputs(struct engine *e, int64_t no, const struct task_outcome *outcome,
                   const struct job_end *end, struct err *err)
{
    if (outcome->n_blobs == 0)
        return true;
    if (end->state != JOB_SUCCEEDED) {
        drop_outputs(e, outcome);
        return true;
    }
    for (uint32_t i = 0; i < outcome->n_blobs; i++) {
        const struct task_blob *left = &outcome->blobs[i];
        struct job_id ignored;
        const struct blob_new blob = {.file = left->file,
                                      .bytes = left->bytes,
                                      .sha256 = left->sha256,
                                      .now_us = e->turn.now_us,
                                      .keep_us = end->keep_us,
                                      .salt = apply_salt(e),
                                      .job = no,
                                      .k = i,
                                      .name = slice_of(left->name)};
        if (!blob_insert(e->store, &blob, &ignored, err))
            return err_wrap(err, "keep what job %lld has left", (long long)no);
    }
    apply_due_at(e, e->turn.now_us + end->keep_us);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * who needs them */

/* One that is gone meanwhile is missed when the job begins. */
static bool use_again(struct engine *e, int64_t no, struct err *err)
{
    AUTO_ARENA struct arena a = {0};
    struct input_list list;
    arena_init(&a, MAX_INPUT_BYTES);
    if (!inputs_get(e->store, no, &a, &list, err))
        return false;
    for (uint32_t i = 0; i < list.n; i++) {
        struct err missing = {0};
        struct blob blob;
        if (list.rows[i].stream != INPUT_OF_BLOB)
            continue;
        if (blob_find_by_no(e->store, list.rows[i].parent, &blob, &missing)) {
            if (!blob_use(e->store, blob.id.no, no, err))
                return false;
        } else if (missing.code != ERR_NOT_FOUND) {
            return err_set(err, missing.code, "%s", missing.detail);
        }
    }
    return true;
}

/* All elements of a batch take the same, which is therefore the batch's. */
bool apply_blob_change(struct engine *e, const struct job_change *change, struct err *err)
{
    const bool is_element = (change->flags & JOB_ITEM) != 0;
    bool is_gone = false;
    /* What was left by an earlier run is not what this one leaves. */
    if ((change->flags & JOB_OUTPUTS) != 0 && !change->is_batch && change->from != JOB_BIRTH &&
        job_state_is_end(change->from) && change->to != JOB_GONE && !job_change_is_end(change) &&
        !blobs_disown(e->store, change->no, err))
        return false;
    if ((change->flags & JOB_INPUTS) == 0 || change->from == JOB_BIRTH || change->to == JOB_GONE)
        return true;
    if (job_change_is_end(change)) {
        if (is_element)
            return true;
        if (!blob_unuse(e->store, change->no, e->turn.now_us, &is_gone, err))
            return false;
        if (is_gone)
            apply_due_at(e, e->turn.now_us);
        return true;
    }
    return !job_state_is_end(change->from) ||
           use_again(e, is_element ? change->batch : change->no, err);
}

/* ------------------------------------------------------------------------------------------------
 * files */

static bool sweep_one(struct engine *e, int dir_fd, const char *name, uint32_t *n, struct err *err)
{
    uint64_t file;
    bool is_kept;
    if (!blob_parse_name(name, &file))
        return true;
    if (!blob_has_row(e->store, file, &is_kept, err))
        return false;
    if (!is_kept && unlinkat(dir_fd, name, 0) == 0)
        (*n)++;
    return true;
}

bool blobs_sweep(struct engine *e, struct err *err)
{
    const int fd = openat(e->spool_fd, BLOB_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint32_t n = 0;
    bool ok = true;
    if (fd < 0 && errno == ENOENT)
        return true;                   /* there has never been one */
    if (SEEDED_BUG("no-blob-sweep")) { /* negative control of tests/crash/blobs.c */
        (void)close(fd);
        return true;
    }
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        (void)err_sys(err, ERR_STORAGE, "open the directory of blobs");
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    for (const struct dirent *entry; ok && (entry = readdir(dir)) != NULL;)
        ok = sweep_one(e, fd, entry->d_name, &n, err);
    (void)closedir(dir);
    if (n > 0)
        log_event(e->parts.log, LOG_INFO, "removed blobs that had not become one",
                  LOG_INT("files", n));
    return ok;
}

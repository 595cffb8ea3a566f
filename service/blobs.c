/* SPDX-License-Identifier: MIT */
/* Blobs, inside the turn's transaction and after it: rows of files that are there, and files whose
 * rows have gone. */
#include "service/engine_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

static bool has_room(const struct engine *e, uint64_t bytes, struct err *err)
{
    const struct config *cfg = e->parts.cfg;
    const struct blob_totals all = store_blobs(e->store);
    if (!apply_admits(e, err))
        return false;
    if (all.bytes + bytes > cfg->blob_max_total)
        return err_set(
            err, ERR_DISK_FULL,
            "All blobs together may have %llu bytes (the option blobs.max_total); delete "
            "some, or keep them for a shorter time",
            (unsigned long long)cfg->blob_max_total);
    return true;
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
    struct blob_prune prune = {.now_us = turn->now_us,
                               .files = &turn->blobs[turn->n_blobs],
                               .max = (TURN_MAX_BLOBS - turn->n_blobs) / 4};
    if (!blobs_prune(e->store, &prune, err))
        return err_wrap(err, "let blobs go");
    turn->n_blobs += prune.n;
    return true;
}

void publish_blob_unlinks(struct engine *e)
{
    char path[BLOB_PATH_SIZE];
    for (size_t i = 0; i < e->turn.n_blobs; i++) {
        blob_path(e->turn.blobs[i], path);
        (void)unlinkat(e->spool_fd, path, 0);
    }
}

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
    AUTO_CLOSE int fd = openat(e->spool_fd, BLOB_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint32_t n = 0;
    bool ok = true;
    if (fd < 0 && errno == ENOENT)
        return true; /* there has never been one */
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return err_sys(err, ERR_STORAGE, "open the directory of blobs");
    for (const struct dirent *entry; ok && (entry = readdir(dir)) != NULL;)
        ok = sweep_one(e, fd, entry->d_name, &n, err);
    fd = -1; /* the stream's */
    (void)closedir(dir);
    if (n > 0)
        log_event(e->parts.log, LOG_INFO, "removed blobs that had not become one",
                  LOG_INT("files", n));
    return ok;
}

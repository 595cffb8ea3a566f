/* SPDX-License-Identifier: MIT */
/* A VFS between SQLite and the real one that writes down what happens to the database and its log,
 * so that a test can build what a disk may hold after a power cut at any point; and that fails a
 * chosen call. One at a time per process. */
#ifndef GANGER_TESTS_STORAGE_VFS_H
#define GANGER_TESTS_STORAGE_VFS_H

#include "service/base/util.h"

#include <sqlite3.h>

enum io_kind { IO_WRITE, IO_TRUNCATE, IO_SYNC, IO_MARK };
enum io_file { IO_DB, IO_WAL, IO_FILES };

struct io {
    enum io_kind kind;
    enum io_file file;
    int64_t offset; /* IO_WRITE: where; IO_TRUNCATE: new size; IO_MARK: the test's number */
    size_t len;
    unsigned char *bytes;
};

struct io_log {
    struct io *ops; /* of a write, one for each piece that reached the disk */
    size_t n, cap;
    size_t n_writes[IO_FILES]; /* calls */
};

/* From now on new connections go through the recorder; each write, truncation and sync is appended
 * to the log. */
void vfs_record(struct io_log *log);
/* New connections use the real VFS again. Those of the recorder must have been closed. */
void vfs_stop(void);
void io_log_release(struct io_log *log);
void io_log_mark(struct io_log *log, int64_t number);
size_t io_log_count(const struct io_log *log, enum io_kind kind, enum io_file file);

/* The nth call of this kind from now on (1 = the next) fails with `rc`, once. */
void vfs_fail(enum io_kind kind, int nth, int rc);
/* Whether it has happened; disarms it. */
bool vfs_failed(void);

/* What is on the disk when the power goes after `cut` operations. What was synced is there. Of the
 * rest either nothing, or (torn) some writes, and of these some sectors of 512 bytes, chosen by
 * `seed`. */
struct image {
    unsigned char *bytes[IO_FILES];
    size_t len[IO_FILES], cap[IO_FILES];
};
void image_build(struct image *image, const struct io_log *log, size_t cut, bool torn,
                 uint64_t seed);
void image_release(struct image *image);

#endif

/* SPDX-License-Identifier: MIT */
/* Between SQLite and the system, for the log (WAL) and the database file of the writing connection
 * alone: what SQLite writes page by page gathers here, and neighbours go to the system together,
 * before they can be seen, synced or read. A commit writes each page by two calls, its header and
 * itself; a checkpoint writes pages in their order, most of them side by side. Owner: the store. */
#ifndef GANGER_STORAGE_GATHER_VFS_H
#define GANGER_STORAGE_GATHER_VFS_H

#include "service/base/util.h"

#include <sqlite3.h>

#define GATHER_VFS_NAME "ganger-gather"

struct gather_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
};

/* To be registered under its name while a connection is opened, and to stay where it is until that
 * one is closed. */
void gather_vfs_init(struct gather_vfs *vfs);

/* A checkpoint of a connection of this VFS, as sqlite3_wal_checkpoint_v2 makes it in the mode FULL,
 * but waiting for nobody: SQLITE_BUSY when readers let it go only so far. Neighbours gather only
 * when it goes to the end: then SQLite syncs the file before anybody may read it instead of the
 * log, while a checkpoint in part is neither synced nor asked whether its last write went well.
 * Takes the busy handler away. */
int gather_vfs_checkpoint(sqlite3 *handle);

#endif

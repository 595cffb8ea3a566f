/* SPDX-License-Identifier: MIT */
/* Between SQLite and the system, for the log (WAL) of the writing connection alone: SQLite writes
 * each page of a commit by two calls, its header and itself; here they gather and go to the system
 * together, before the commit can be seen or synced. Owner: the store. */
#ifndef GANGER_STORAGE_WAL_VFS_H
#define GANGER_STORAGE_WAL_VFS_H

#include "service/base/util.h"

#include <sqlite3.h>

#define WAL_VFS_NAME "ganger-wal"

struct wal_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
};

/* To be registered under its name while a connection is opened, and to stay where it is until that
 * one is closed. */
void wal_vfs_init(struct wal_vfs *vfs);

#endif

/* SPDX-License-Identifier: MIT */
/* Brings a file to the schema that this program knows. */
#ifndef GANGER_STORAGE_MIGRATE_H
#define GANGER_STORAGE_MIGRATE_H

#include "storage/db.h"

#define SCHEMA_VERSION 2
/* PRAGMA application_id: file(1) and we tell our file from anybody else's by it. "gngr" */
#define APPLICATION_ID 0x676e6772

/* Each step and its version number are one transaction: a crash in between repeats the step.
 * Refuses a newer schema and a file that is not ganger's, changing nothing. */
MUST_CHECK bool migrate_schema(struct db *db, struct err *err);

#endif

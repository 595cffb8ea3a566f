/* SPDX-License-Identifier: MIT */
/* schema.sql, embedded at build time. */
#ifndef GANGER_STORAGE_SCHEMA_H
#define GANGER_STORAGE_SCHEMA_H

extern const char storage_schema_sql[];

#endif

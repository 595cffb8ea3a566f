/* SPDX-License-Identifier: MIT */
/* The steps of the schema, embedded at build time. */
#ifndef GANGER_STORAGE_SCHEMA_H
#define GANGER_STORAGE_SCHEMA_H

extern const char storage_schema_sql[], storage_schema_2_sql[];

#endif

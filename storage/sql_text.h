/* SPDX-License-Identifier: MIT */
/* Pieces that statements share, and the orders of columns that readers of rows know. */
#ifndef GANGER_STORAGE_SQL_TEXT_H
#define GANGER_STORAGE_SQL_TEXT_H

#include "service/base/job.h"

#define TEXT_BLOCKED "1"
#define TEXT_QUEUED "2"
#define TEXT_ENDED "state > 4"
#define TEXT_GATED "flags & 8"
#define TEXT_LISTED "flags & 2056 = 8"
_Static_assert(JOB_BLOCKED == 1, "TEXT_BLOCKED names this state by its number");
_Static_assert(JOB_QUEUED == 2,
               "jobs_ready in schema.sql and TEXT_QUEUED name this state by its number");
_Static_assert(JOB_SUCCEEDED == 5, "TEXT_ENDED names the state before this one by its number");
_Static_assert(JOB_GATED == 8,
               "jobs_gated in schema_2.sql and TEXT_GATED name this flag by its number");
_Static_assert((JOB_GATED | JOB_CHUNKED) == 2056, "jobs_gated and TEXT_LISTED name these flags");
_Static_assert(JOB_STATE_COUNT == 8,
               "the CHECK of jobs.state and the columns of ledger list the states");

/* The hot row; row_read knows the order. */
#define TEXT_ROW                                                                             \
    "SELECT no, state, queue, priority, attempt, version, created_us, salt, keep_us, terms," \
    " output_flags, batch, idx, flags, ran FROM jobs "

/* A result; result_read knows the order. A cancelled element without words shows its batch's. The
 * side tables are looked into only when there is something: a CASE without ELSE is NULL, and no row
 * has that number. 5 = succeeded, 512 = OUTPUT_ASIDE. */
#define TEXT_RESULT                                                             \
    " j.no, j.created_us, j.salt, j.idx, j.state, j.terms, j.ran, j.attempt,"   \
    " j.output_flags, o.stdout, coalesce(j.value, o.value),"                    \
    " CASE WHEN j.state = 7 THEN coalesce(r.detail, (SELECT detail FROM errors" \
    " WHERE no = j.batch)) ELSE r.detail END FROM "
#define TEXT_RESULT_SIDES                                                           \
    " LEFT JOIN outputs o ON o.no = CASE WHEN j.state = 5 AND j.output_flags & 512" \
    " THEN j.no END AND o.attempt = j.attempt"                                      \
    " LEFT JOIN errors r ON r.no = CASE WHEN j.state > 5 THEN j.no END "
_Static_assert(JOB_SUCCEEDED == 5 && JOB_FAILED > JOB_SUCCEEDED && JOB_CANCELLED == 7,
               "TEXT_RESULT and TEXT_RESULT_SIDES name states by their numbers");

/* The item of element ?1: its own, or the row where it lies among others; item_row_of knows the
 * order. */
#define TEXT_ITEM                                 \
    "SELECT task, no, 0 FROM specs WHERE no = ?1" \
    " UNION ALL SELECT bytes, no, n FROM items"   \
    " WHERE no = (SELECT no FROM items WHERE no <= ?1 ORDER BY no DESC LIMIT 1)"

/* What an attempt has left in the database: one row, or none. */
#define TEXT_OUTPUT                                                                \
    "SELECT stdout, stderr, value FROM outputs WHERE no = ?1 AND attempt = ?2"     \
    " UNION ALL SELECT NULL, NULL, value FROM jobs WHERE no = ?1 AND attempt = ?2" \
    " AND value IS NOT NULL"

/* What a row has when it is born, beside salt and key; row_bind_born knows the order, which is that
 * of the table. */
#define TEXT_BORN                                                                    \
    "no, state, queue, priority, timer, wake_us, created_us, keep_us, terms, batch," \
    " idx, flags"

/* A row with all that the end of an attempt may say. */
#define TEXT_ROW_MOVE                                                     \
    "UPDATE jobs SET state = ?3, version = ?4, timer = ?5, wake_us = ?6," \
    " attempt = ?7, keep_us = ?8, terms = ?9, ran = ?10,"                 \
    " output_flags = ?11, flags = ?12, value = ?13"                       \
    " WHERE no = ?1 AND (?2 >> state) & 1"

/* The jobs [?1, ?2) go from behind the gate to their ends; ?8 is the one with a timer. What they
 * have returned comes from leap() row by row, or all have returned the same: 3 = TIMER_KEEP. */
#define TEXT_LEAP(VALUE)                                                          \
    "UPDATE jobs SET state = ?5, version = ?3 + 1,"                               \
    " timer = CASE no WHEN ?8 THEN 3 END, wake_us = CASE no WHEN ?8 THEN ?9 END," \
    " attempt = ?6, ran = leap(no, 2), output_flags = ?7, flags = ?4 & ~8,"       \
    " value = " VALUE " WHERE no >= ?1 AND no < ?2"                               \
    " AND state = " TEXT_BLOCKED " AND version = ?3 AND flags = ?4"

/* Those of the jobs [?1, ?2) that wait in state ?3, or behind a gate, at the time ?7; row_swept
 * knows the order. */
#define TEXT_CANCEL                                                       \
    "UPDATE jobs SET state = ?5, version = version + 1, timer = ?6,"      \
    " wake_us = ?7 + min(keep_us, ?8), ran = ended(ran, created_us, ?7)," \
    " flags = flags & ~8"                                                 \
    " WHERE no >= ?1 AND no < ?2 AND +state = ?3 AND (flags & 8) = ?4"
#define TEXT_CANCELLED " no, queue, salt, version, created_us, idx, attempt, flags"

/* A batch; batch_read knows the order. */
#define TEXT_BATCH                                                                         \
    "SELECT no, created_us, salt, version, kind, phase, work, place, queue, n, ended, "    \
    "failed_first, max_parallel, max_failures, chunksize, keep_us, finished_us, flags,"    \
    " scheduled, blocked, queued, running, stopping, succeeded, failed, cancelled, gated," \
    " gone_us, remaining FROM batches "

/* A queue, its numbers in the order of enum job_state, its settings; queue_read knows the order. */
#define TEXT_QUEUE                                                                              \
    "SELECT name, scheduled, blocked, queued, running, stopping, succeeded, failed, cancelled," \
    " queues.id, version, gone, paused, concurrency, rate_n, rate_us, weight, max_length,"      \
    " defaults FROM queues LEFT JOIN ledger ON ledger.k = queues.id"                            \
    " LEFT JOIN queue_settings ON queue_settings.id = queues.id "

/* A pool with its settings, twice; entry_read and pools_put know the order. */
#define TEXT_POOL                                                                             \
    "name, version, made, phase, place, up_to, why, runner, size, min, idle_us, max_jobs,"    \
    " start_failures, start_timeout_us, max_rss, on_death, isolation, base_size, base_min,"   \
    " base_idle_us, base_max_jobs, base_start_failures, base_start_timeout_us, base_max_rss," \
    " base_on_death, base_isolation"

/* A blob; blob_read knows the order. */
#define TEXT_BLOB "SELECT no, created_us, salt, file, bytes, sha256, gone_us FROM blobs "
/* The same with the job that has left it. */
#define TEXT_BLOB_VIEW                                                                       \
    "SELECT b.no, b.created_us, b.salt, b.file, b.bytes, b.sha256, b.gone_us, b.name, j.no," \
    " j.created_us, j.salt FROM blobs b LEFT JOIN jobs j ON j.no = b.job "

/* clang-format off */
/* So many elements are inserted by one statement: AT_ONCE when there are as many, else AT_LEAST, and
 * fewer one by one. Their numbers and indexes are consecutive; what one of them has of its own is
 * ?13 and so on, as each ? is the next parameter. */
#define ELEMENTS_AT_ONCE 48
#define ELEMENTS_AT_LEAST 16
#define TEXT_ELEMENT(k) "(?1+" #k ",?2,?3,?4,?5,?6,?7,?8,?9,?10,?11+" #k ",?12,?)"
#define TEXT_ELEMENTS_4(k, a, b, c, d)                                                             \
    TEXT_ELEMENT(k##a) "," TEXT_ELEMENT(k##b) "," TEXT_ELEMENT(k##c) "," TEXT_ELEMENT(k##d)
#define TEXT_ELEMENTS_16(k)                                                                        \
    TEXT_ELEMENTS_4(k, 0, 1, 2, 3) "," TEXT_ELEMENTS_4(k, 4, 5, 6, 7) ","                          \
    TEXT_ELEMENTS_4(k, 8, 9, a, b) "," TEXT_ELEMENTS_4(k, c, d, e, f)
/* clang-format on */

#endif

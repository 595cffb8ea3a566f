/* SPDX-License-Identifier: MIT */
/* Every statement, by name. `HOT` ones must not scan a table or sort (tests/unit/test_sql.c holds
 * them to it); `COLD` ones touch tables that are small by construction, or run once at the start.
 * State numbers are literals because a partial index is used only when its WHERE is found word for
 * word. For the same reason no comparison is written as one in the WHERE of an index, with a
 * parameter in place of its number: SQLite would prepare that statement anew each time it is bound,
 * in case the number is the one. */
#ifndef GANGER_STORAGE_SQL_H
#define GANGER_STORAGE_SQL_H

#include "storage/sql_text.h"

/* clang-format off */
#define WRITER_SQL(X)                                                                              \
    /* transactions */                                                                             \
    X(BEGIN,           HOT,  "BEGIN IMMEDIATE")                                                    \
    X(COMMIT,          HOT,  "COMMIT")                                                             \
    X(ROLLBACK,        HOT,  "ROLLBACK")                                                           \
    X(SAVEPOINT,       HOT,  "SAVEPOINT one")                                                      \
    X(RELEASE,         HOT,  "RELEASE one")                                                        \
    X(UNDO,            HOT,  "ROLLBACK TO one")                                                    \
    /* the row */                                                                                  \
    X(ROW_INSERT,      HOT,  "INSERT INTO jobs (" TEXT_BORN ", salt, ukey)"                        \
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"    \
                             " ?14)")                                                              \
    X(ROW_BEGUN,       HOT,  "INSERT INTO jobs (" TEXT_BORN ", salt, version, attempt, ran)"       \
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"    \
                             " ?14, ?15, ?16)")                                                    \
    X(ROWS_INSERT,     HOT,  "INSERT INTO jobs (" TEXT_BORN ", salt) VALUES "                      \
                             TEXT_ELEMENTS_16(0x0))                                                \
    X(ROWS_INSERT_MANY, HOT, "INSERT INTO jobs (" TEXT_BORN ", salt) VALUES "                      \
                             TEXT_ELEMENTS_16(0x0) "," TEXT_ELEMENTS_16(0x1) ","                   \
                             TEXT_ELEMENTS_16(0x2))                                                \
    X(ROW_GET,         HOT,  TEXT_ROW "WHERE no = ?1")                                             \
    X(ROW_START,       HOT,  "UPDATE jobs SET state = ?3, version = ?4, timer = NULL,"             \
                             " wake_us = NULL, attempt = ?5, ran = ?6"                             \
                             " WHERE no = ?1 AND (?2 >> state) & 1")                               \
    X(ROW_MOVE,        HOT,  TEXT_ROW_MOVE)                                                        \
    X(ROWS_LEAP,       HOT,  TEXT_LEAP("leap(no, 3)"))                                             \
    X(ROWS_LEAP_ALIKE, HOT,  TEXT_LEAP("?10"))                                                     \
    X(ROWS_PASS,       HOT,  "UPDATE jobs SET state = ?3, version = ?4, timer = leap(no, 0),"      \
                             " wake_us = leap(no, 1), attempt = ?5, keep_us = ?6,"                 \
                             " ran = leap(no, 2), output_flags = ?7, value = leap(no, 3)"          \
                             " WHERE no >= ?1 AND no < ?2 AND +state = " TEXT_QUEUED               \
                             " AND leap(no, 4)")                                                   \
    X(ROW_CHANGE,      HOT,  "UPDATE jobs SET version = ?2, timer = ?3, wake_us = ?4, queue = ?5," \
                             " priority = ?6, keep_us = ?7, terms = ?8, ran = ?9 WHERE no = ?1")   \
    X(ROW_FLAGS,       HOT,  "UPDATE jobs SET flags = ?2 WHERE no = ?1")                           \
    X(ROW_EXPIRE,      HOT,  "UPDATE jobs SET timer = ?2, wake_us = ?3, output_flags = ?4,"        \
                             " value = NULL WHERE no = ?1")                                        \
    X(ROW_DELETE,      HOT,  "DELETE FROM jobs WHERE no = ?1")                                     \
    X(KEY_HOLDER,      HOT,  "SELECT no FROM key_holders WHERE key = ?1")                          \
    X(KEY_TAKE,        HOT,  "INSERT INTO key_holders (key, no)"                                   \
                             " SELECT ukey, no FROM jobs WHERE no = ?1")                           \
    X(KEY_FREE,        HOT,  "DELETE FROM key_holders"                                             \
                             " WHERE key = (SELECT ukey FROM jobs WHERE no = ?1) AND no = ?1")     \
    X(KEY_ENDING,      HOT,  "SELECT old.no FROM jobs AS new JOIN deps ON deps.child = new.no"     \
                             " JOIN jobs AS old ON old.no = deps.parent"                           \
                             " WHERE new.no = ?1 AND old.ukey = new.ukey LIMIT 1")                 \
    X(KEY_GET,         HOT,  "SELECT ukey FROM jobs WHERE no = ?1")                                \
    X(ROW_LAST,        HOT,  "SELECT no, created_us FROM jobs WHERE no > 0"                        \
                             " ORDER BY no DESC LIMIT 1")                                          \
    /* its side tables */                                                                          \
    X(SPEC_INSERT,     HOT,  "INSERT INTO specs (no, name, labels, metadata, traceparent, policy," \
                             " task) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                         \
    X(SPEC_START,      HOT,  "SELECT name, traceparent, task FROM specs WHERE no = ?1")            \
    X(SPEC_POLICY,     HOT,  "SELECT policy FROM specs WHERE no = ?1")                             \
    X(SPEC_CHANGE,     HOT,  "UPDATE specs SET name = coalesce(?2, name),"                         \
                             " labels = coalesce(?3, labels), metadata = coalesce(?4, metadata),"  \
                             " policy = coalesce(?5, policy), task = coalesce(?6, task)"           \
                             " WHERE no = ?1")                                                     \
    X(SPEC_EXPIRE,     HOT,  "UPDATE specs SET task = NULL, policy = NULL WHERE no = ?1")          \
    X(SPEC_DELETE,     HOT,  "DELETE FROM specs WHERE no = ?1")                                    \
    X(ITEM_GET,        HOT,  TEXT_ITEM)                                                            \
    X(ITEM_OWN,        HOT,  "INSERT INTO specs (no, task) VALUES (?1, ?2)")                       \
    X(ITEMS_PUT,       HOT,  "INSERT INTO items (no, n, bytes) VALUES (?1, ?2, ?3)")               \
    /* The last one is looked at first: it expires last, as a rule. 16 = OUTPUT_EXPIRED. */        \
    X(ITEMS_EXPIRE,    HOT,  "DELETE FROM items WHERE no = (SELECT no FROM items WHERE no <= ?1"   \
                             " ORDER BY no DESC LIMIT 1) AND no + n > ?1 AND (SELECT j.no"         \
                             " FROM jobs j WHERE j.no >= items.no AND j.no < items.no + items.n"   \
                             " AND NOT j.output_flags & 16 ORDER BY j.no DESC LIMIT 1) IS NULL")   \
    X(OUTPUT_PUT,      HOT,  "INSERT OR REPLACE INTO outputs (no, attempt, stdout, stderr, value)" \
                             " VALUES (?1, ?2, ?3, ?4, ?5)")                                           \
    X(OUTPUT_DELETE,   HOT,  "DELETE FROM outputs WHERE no = ?1")                                  \
    X(ERROR_PUT,       HOT,  "INSERT OR REPLACE INTO errors (no, detail) VALUES (?1, ?2)")         \
    X(ERROR_DELETE,    HOT,  "DELETE FROM errors WHERE no = ?1")                                   \
    X(ATTEMPT_INSERT,  HOT,  "INSERT INTO attempts (no, attempt, reason, exit_code, signal,"       \
                             " started_us, finished_us, wall_us, user_us, system_us,"              \
                             " max_rss_bytes, killed, state)"                                      \
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")   \
    X(ATTEMPTS_DELETE, HOT,  "DELETE FROM attempts WHERE no = ?1")                                 \
    /* order and time */                                                                           \
    X(READY,           HOT,  "SELECT no, priority FROM jobs"                                       \
                             " WHERE queue = ?1 AND state = " TEXT_QUEUED                          \
                             " ORDER BY priority DESC, no LIMIT ?2")                               \
    X(READY_BESIDE,    HOT,  "SELECT no, priority FROM jobs"                                       \
                             " WHERE queue = ?1 AND state = " TEXT_QUEUED                          \
                             " AND priority = ?2 AND no > ?3 AND NOT flags & ?4"                   \
                             " ORDER BY no LIMIT 1")                                               \
    X(READY_BELOW,     HOT,  "SELECT no, priority FROM jobs"                                       \
                             " WHERE queue = ?1 AND state = " TEXT_QUEUED                          \
                             " AND priority < ?2 AND NOT flags & ?3"                               \
                             " ORDER BY priority DESC, no LIMIT 1")                                \
    X(TIMERS,          HOT,  "SELECT no FROM jobs WHERE timer = ?1 AND wake_us <= ?2"              \
                             " ORDER BY wake_us LIMIT ?3")                                         \
    X(TIMER_HAND_ON,   HOT,  "UPDATE jobs SET timer = ?3, wake_us = expiry(ran, created_us,"       \
                             " keep_us)"                                                           \
                             " WHERE no = ?1 AND batch = ?2 AND timer IS NULL AND " TEXT_ENDED)    \
    X(TIMER_NEXT,      HOT,  "SELECT wake_us FROM jobs WHERE timer = ?1 ORDER BY wake_us LIMIT 1") \
    X(INFLIGHT_PUT,    HOT,  "INSERT OR REPLACE INTO ledger (k, entries) VALUES (-1 - ?1, ?2)")    \
    X(INFLIGHT_DELETE, COLD, "DELETE FROM ledger WHERE k < 0")                                     \
    X(INFLIGHT_ALL,    COLD, "SELECT entries FROM ledger WHERE k < 0 ORDER BY k DESC")             \
    X(INFLIGHT_DELETE_OLD, COLD, "DELETE FROM inflight")                                           \
    X(INFLIGHT_OLD,    COLD, "SELECT no, attempt FROM inflight ORDER BY k")                        \
    /* batches */                                                                                  \
    X(BATCH_INSERT,    HOT,  "INSERT INTO batches (no, created_us, salt, kind, phase, work, queue,"\
                             " max_parallel, max_failures, chunksize, keep_us, flags)"             \
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")        \
    X(BATCH_SPEC_INSERT, HOT,"INSERT INTO batch_specs (no, name, labels, metadata, traceparent,"   \
                             " policy, template) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")             \
    X(BATCH_GET,       HOT,  TEXT_BATCH "WHERE no = ?1")                                           \
    X(BATCH_PUT,       HOT,  "UPDATE batches SET version = ?2, phase = ?3, work = ?4, place = ?5," \
                             " n = ?6, ended = ?7, failed_first = ?8, finished_us = ?9,"           \
                             " flags = ?10, scheduled = ?11, blocked = ?12, queued = ?13,"         \
                             " running = ?14, stopping = ?15, succeeded = ?16, failed = ?17,"      \
                             " cancelled = ?18, gated = ?19, gone_us = ?20, remaining = ?21"       \
                             " WHERE no = ?1")                                                     \
    X(BATCH_GONE,      HOT,  "SELECT no FROM batches WHERE gone_us <= ?1 ORDER BY gone_us LIMIT 1")\
    X(BATCH_NEXT_GONE, HOT,  "SELECT gone_us FROM batches WHERE gone_us IS NOT NULL"               \
                             " ORDER BY gone_us LIMIT 1")                                          \
    X(BATCH_DELETE,    HOT,  "DELETE FROM batches WHERE no = ?1")                                  \
    X(BATCH_SPEC_DELETE, HOT,"DELETE FROM batch_specs WHERE no = ?1")                              \
    X(PART_NTH,        HOT,  "SELECT first_index FROM batch_parts WHERE batch = ?1"                \
                             " ORDER BY first_index LIMIT 1 OFFSET ?2")                            \
    X(PARTS_DELETE,    HOT,  "DELETE FROM batch_parts WHERE batch = ?1 AND first_index <= ?2")     \
    X(END_NTH,         HOT,  "SELECT seq FROM ends WHERE batch = ?1 ORDER BY seq LIMIT 1 OFFSET ?2")\
    X(ENDS_DELETE,     HOT,  "DELETE FROM ends WHERE batch = ?1 AND seq <= ?2")                    \
    X(BATCH_GATED,     HOT,  "SELECT no FROM jobs WHERE batch = ?1 AND " TEXT_LISTED               \
                             " AND idx >= ?2 ORDER BY idx LIMIT ?3")                               \
    /* Who has ended is not gated, and the state is found sooner in a row than its flags. */       \
    X(BATCH_GATED_IN,  HOT,  "SELECT no FROM jobs WHERE no >= ?1 AND no < ?2 AND NOT " TEXT_ENDED  \
                             " AND " TEXT_GATED " ORDER BY no LIMIT 1")                            \
    /* IS, since a comparison as that of jobs_gated must not be written with a parameter. */       \
    X(BATCH_MATES,     HOT,  "SELECT board(no, salt, created_us, version, keep_us, terms, flags)"  \
                             " FROM jobs"                                                          \
                             " WHERE no > ?1 AND no < ?2 AND state = " TEXT_BLOCKED                \
                             " AND flags & ?3 IS 8 AND +batch = ?4"                                \
                             " AND queue = ?5 AND priority = ?6 AND attempt = ?7"                  \
                             " AND no - idx = ?8")                                                 \
    X(BATCH_FIND,      HOT,  "SELECT no FROM jobs WHERE no >= ?1 AND no < ?2 AND (?3 >> state) & 1" \
                             " ORDER BY no LIMIT ?4")                                              \
    X(BATCH_CANCEL,    HOT,  TEXT_CANCEL " RETURNING" TEXT_CANCELLED)                              \
    X(JOBS_CANCEL,     HOT,  TEXT_CANCEL " AND batch IS NULL RETURNING" TEXT_CANCELLED)            \
    X(BATCH_SPEC,      HOT,  "SELECT name, traceparent, policy, template FROM batch_specs"         \
                             " WHERE no = ?1")                                                     \
    X(BATCH_LAST,      HOT,  "SELECT no, created_us FROM batches WHERE no > 0"                     \
                             " ORDER BY no DESC LIMIT 1")                                          \
    X(BATCH_WORK,      HOT,  "SELECT no FROM batches WHERE work <> 0 AND no > ?1"                  \
                             " ORDER BY no LIMIT 1")                                               \
    X(PART_LAST,       HOT,  "SELECT first_index, first_no, n FROM batch_parts WHERE batch = ?1"   \
                             " ORDER BY first_index DESC LIMIT 1")                                 \
    X(PART_PUT,        HOT,  "INSERT OR REPLACE INTO batch_parts (batch, first_index, first_no, n)"\
                             " VALUES (?1, ?2, ?3, ?4)")                                           \
    X(PART_OF_INDEX,   HOT,  "SELECT first_index, first_no, n FROM batch_parts WHERE batch = ?1"   \
                             " AND first_index <= ?2 ORDER BY first_index DESC LIMIT 1")           \
    X(END_INSERT,      HOT,  "INSERT INTO ends (batch, seq, no, version, n)"                       \
                             " VALUES (?1, ?2, ?3, ?4, ?5)")                                       \
    /* dependencies */                                                                             \
    X(DEP_ADD,         HOT,  "INSERT OR IGNORE INTO deps (parent, child) VALUES (?1, ?2)")         \
    X(DEP_DELETE,      HOT,  "DELETE FROM deps WHERE parent = ?1 AND child = ?2")                  \
    X(DEP_CHILDREN,    HOT,  "SELECT child FROM deps WHERE parent = ?1 ORDER BY child LIMIT ?2")   \
    X(WAIT_PUT,        HOT,  "INSERT INTO waits (child, n, policy) VALUES (?1, ?2, ?3)")           \
    X(WAIT_GET,        HOT,  "SELECT n, policy FROM waits WHERE child = ?1")                       \
    X(WAIT_LESS,       HOT,  "UPDATE waits SET n = n - 1 WHERE child = ?1")                        \
    X(WAIT_DELETE,     HOT,  "DELETE FROM waits WHERE child = ?1")                                 \
    X(INPUT_PUT,       HOT,  "INSERT INTO inputs (no, k, kind, parent, stream, argument, at, len," \
                             " name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                 \
    X(INPUTS_GET,      HOT,  "SELECT kind, parent, stream, argument, at, len, name FROM inputs"    \
                             " WHERE no = ?1 ORDER BY k")                                          \
    X(INPUTS_DELETE,   HOT,  "DELETE FROM inputs WHERE no = ?1")                                   \
    X(OUTPUT_GET,      HOT,  TEXT_OUTPUT)                                                          \
    X(TELLING_PUT,     HOT,  "INSERT OR REPLACE INTO telling (parent, state, is_batch, created_us,"\
                             " salt) VALUES (?1, ?2, ?3, ?4, ?5)")                                 \
    X(TELLING_FIRST,   HOT,  "SELECT parent, state, is_batch, created_us, salt FROM telling"       \
                             " WHERE parent > 0 ORDER BY parent LIMIT 1")                          \
    X(TELLING_DELETE,  HOT,  "DELETE FROM telling WHERE parent = ?1")                              \
    /* callbacks */                                                                                \
    X(CALLBACK_INSERT, HOT,  "INSERT INTO callbacks (no, url, receiver, states)"                   \
                             " VALUES (?1, ?2, ?3, ?4)")                                           \
    X(OFFSPRING_PUT,   HOT,  "INSERT INTO offspring (child, parent, parent_ms, parent_salt)"       \
                             " VALUES (?1, ?2, ?3, ?4)")                                           \
    X(OFFSPRING_DELETE, HOT, "DELETE FROM offspring WHERE child = ?1")                             \
    X(CALLBACK_DELETE, HOT,  "DELETE FROM callbacks WHERE no = ?1")                                \
    X(DELIVERY_INSERT, HOT,  "INSERT INTO deliveries (no, is_batch, receiver, state, version,"     \
                             " due_us, created_us)"                                                \
                             " SELECT ?1, ?2, receiver, ?3, ?4, ?5, ?5 FROM callbacks"             \
                             " WHERE no = ?1 AND (states >> ?3) & 1")                              \
    X(DELIVERY_AGAIN,  HOT,  "UPDATE deliveries SET tries = tries + 1, due_us = ?2 WHERE id = ?1") \
    X(DELIVERY_DELETE, HOT,  "DELETE FROM deliveries WHERE id = ?1")                               \
    X(DELIVERIES_DROP, HOT,  "DELETE FROM deliveries WHERE no = ?1")                               \
    X(TRY_INSERT,      HOT,  "INSERT INTO delivery_tries (no, seq, at_us, took_us, http_status,"   \
                             " outcome, error) VALUES (?1, coalesce((SELECT seq"                   \
                             " FROM delivery_tries WHERE no = ?1 ORDER BY seq DESC LIMIT 1), 0)"   \
                             " + 1, ?2, ?3, ?4, ?5, ?6)")                                          \
    X(TRIES_DELETE,    HOT,  "DELETE FROM delivery_tries WHERE no = ?1")                           \
    /* blobs */                                                                                    \
    X(BLOB_INSERT,     HOT,  "INSERT INTO blobs (no, created_us, salt, file, bytes, sha256,"       \
                             " gone_us, job, k, name)"                                             \
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")                  \
    X(BLOB_GET,        HOT,  TEXT_BLOB "WHERE no = ?1")                                            \
    X(BLOB_LAST,       HOT,  "SELECT no, created_us FROM blobs WHERE no > 0"                       \
                             " ORDER BY no DESC LIMIT 1")                                          \
    X(BLOB_DELETE,     HOT,  "DELETE FROM blobs WHERE no = ?1")                                    \
    X(BLOB_GONE_AT,    HOT,  "UPDATE blobs SET gone_us = ?2 WHERE no = ?1")                        \
    X(BLOB_GONE,       HOT,  "SELECT no FROM blobs WHERE gone_us <= ?1 ORDER BY gone_us LIMIT 1")  \
    X(BLOB_NEXT_GONE,  HOT,  "SELECT gone_us FROM blobs WHERE gone_us IS NOT NULL"                 \
                             " ORDER BY gone_us LIMIT 1")                                          \
    X(BLOB_OF_FILE,    HOT,  "SELECT 1 FROM blobs WHERE file = ?1")                                \
    X(BLOBS_DISOWN,    HOT,  "UPDATE blobs SET job = NULL WHERE job = ?1")                         \
    X(BLOB_USE,        HOT,  "INSERT OR IGNORE INTO blob_uses (blob, no) VALUES (?1, ?2)")         \
    X(BLOB_USED,       HOT,  "SELECT 1 FROM blob_uses WHERE blob = ?1 LIMIT 1")                    \
    X(BLOB_USED_BY,    HOT,  "SELECT blob FROM blob_uses WHERE no = ?1 LIMIT 1")                   \
    X(BLOB_UNUSE,      HOT,  "DELETE FROM blob_uses WHERE blob = ?1 AND no = ?2")                  \
    /* queues and counts */                                                                        \
    X(QUEUES_ALL,      COLD, "SELECT id, name, scheduled, blocked, queued, running, stopping,"     \
                             " succeeded, failed, cancelled FROM queues"                           \
                             " LEFT JOIN ledger ON k = id")                                        \
    X(QUEUE_NAME,      HOT,  "INSERT INTO queues (id, name) VALUES (?1, ?2)"                       \
                             " ON CONFLICT (id) DO UPDATE SET name = excluded.name")               \
    X(QUEUE_LEDGER,    HOT,  "INSERT OR IGNORE INTO ledger (k) VALUES (?1)")                       \
    X(QUEUE_COUNTS,    HOT,  "UPDATE ledger SET scheduled = ?2, blocked = ?3, queued = ?4,"        \
                             " running = ?5, stopping = ?6, succeeded = ?7, failed = ?8,"          \
                             " cancelled = ?9 WHERE k = ?1")                                       \
    X(SETTINGS_ALL,    COLD, "SELECT id, version, gone, paused, concurrency, rate_n, rate_us,"     \
                             " weight, max_length, defaults IS NOT NULL FROM queue_settings")      \
    X(SETTINGS_PUT,    HOT,  "INSERT INTO queue_settings (id, version, gone, paused, concurrency," \
                             " rate_n, rate_us, weight, max_length)"                               \
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"                        \
                             " ON CONFLICT (id) DO UPDATE SET version = excluded.version,"         \
                             " gone = excluded.gone, paused = excluded.paused,"                    \
                             " concurrency = excluded.concurrency, rate_n = excluded.rate_n,"      \
                             " rate_us = excluded.rate_us, weight = excluded.weight,"              \
                             " max_length = excluded.max_length")                                  \
    X(SETTINGS_DEFAULTS, HOT, "UPDATE queue_settings SET defaults = ?2 WHERE id = ?1")             \
    X(SETTINGS_STARTS, HOT,  "UPDATE queue_settings SET starts = ?2 WHERE id = ?1")                \
    X(SETTINGS_STARTED, HOT, "SELECT starts FROM queue_settings WHERE id = ?1")                    \
    X(SETTINGS_DELETE, HOT,  "DELETE FROM queue_settings WHERE id = ?1")                           \
    /* idempotency keys */                                                                         \
    X(IDEM_FIND,       HOT,  "SELECT body, first_no, n, created_us FROM idem WHERE key = ?1")      \
    X(IDEM_PUT,        HOT,  "INSERT OR REPLACE INTO idem (key, body, first_no, n, created_us)"    \
                             " VALUES (?1, ?2, ?3, ?4, ?5)")                                       \
    X(IDEM_OLD,        HOT,  "SELECT key FROM idem WHERE created_us < ?1"                          \
                             " ORDER BY created_us LIMIT 1")                                       \
    X(IDEM_DELETE,     HOT,  "DELETE FROM idem WHERE key = ?1")                                    \
    /* pools */                                                                                    \
    X(POOLS_ALL,       COLD, "SELECT " TEXT_POOL " FROM pools")                                    \
    X(POOL_PUT,        HOT,  "INSERT OR REPLACE INTO pools (" TEXT_POOL ")"                        \
                             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"         \
                             " ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25,"     \
                             " ?26)")                                                              \
    X(POOL_DELETE,     HOT,  "DELETE FROM pools WHERE name = ?1")                                  \
    X(JOBS_WALK,       HOT,  "SELECT no, state, queue FROM jobs WHERE no > ?1 AND no <= ?2"        \
                             " ORDER BY no LIMIT ?3")                                              \
    /* verbs on many jobs; 16 bytes are a struct index_range */                                    \
    X(CHORE_INSERT,    HOT,  "INSERT INTO chores (range, place, up_to, changed, expired, flags,"   \
                             " kind, target, why, ranges)"                                         \
                             " VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")                 \
    X(CHORE_PUT,       HOT,  "UPDATE chores SET range = ?2, place = ?3, up_to = ?4, changed = ?5," \
                             " expired = ?6, flags = ?7 WHERE id = ?1")                            \
    X(CHORE_REFUSE,    COLD, "UPDATE chores SET flags = flags | ?1 WHERE kind = ?2 AND target = ?3")\
    X(CHORE_DELETE,    HOT,  "DELETE FROM chores WHERE id = ?1")                                   \
    X(CHORE_NEXT,      HOT,  "SELECT id, range, place, up_to, changed, expired, flags, kind,"      \
                             " target, why, length(ranges) / 16,"                                  \
                             " substr(ranges, 1 + 16 * range, ?2)"                                 \
                             " FROM chores WHERE id > ?1 ORDER BY id LIMIT 1")                     \
    X(CHORE_READY,     HOT,  "SELECT no FROM jobs WHERE queue = ?1 AND state = " TEXT_QUEUED       \
                             " AND no <= ?2 ORDER BY priority DESC, no LIMIT ?3")                  \
    /* small values */                                                                             \
    X(META_GET,        HOT,  "SELECT value FROM meta WHERE key = ?1")                              \
    X(META_SET,        HOT,  "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")

#define READER_SQL(X)                                                                              \
    X(READ_ROW,        HOT,  TEXT_ROW "WHERE no = ?1")                                             \
    X(READ_BATCH,      HOT,  TEXT_BATCH "WHERE no = ?1")                                           \
    X(READ_BATCH_SPEC, HOT,  "SELECT name, labels, metadata FROM batch_specs WHERE no = ?1")       \
    X(READ_BATCH_NOS,  HOT,  "SELECT no FROM batches WHERE no < ?1 ORDER BY no DESC LIMIT ?2")     \
    X(READ_TEMPLATE,   HOT,  "SELECT template FROM batch_specs WHERE no = ?1")                     \
    X(READ_ITEM,       HOT,  TEXT_ITEM)                                                            \
    X(READ_BATCH_ID,   HOT,  "SELECT created_us, salt, flags FROM batches WHERE no = ?1")          \
    X(READ_PARTS,      HOT,  "SELECT first_index, first_no, n FROM batch_parts WHERE batch = ?1"   \
                             " AND first_index >= ?2 ORDER BY first_index")                        \
    X(READ_PART_OF,    HOT,  "SELECT first_index, first_no, n FROM batch_parts WHERE batch = ?1"   \
                             " AND first_index <= ?2 ORDER BY first_index DESC LIMIT 1")           \
    /* One lower bound: of two SQLite seeks to the first it finds and tests the rest row by row. */ \
    X(READ_RESULTS,    HOT,  "SELECT e.seq - e.n + 1 + j.no - e.no," TEXT_RESULT "ends e"          \
                             " CROSS JOIN jobs j ON j.no >= e.no + max(0, ?2 - e.seq + e.n)"       \
                             " AND j.no < e.no + e.n AND j.version = e.version"                    \
                             TEXT_RESULT_SIDES "WHERE e.batch = ?1 AND e.seq > ?2"                 \
                             " ORDER BY e.seq, j.no")                                              \
    X(READ_RESULTS_OF, HOT,  "SELECT 0," TEXT_RESULT "jobs j" TEXT_RESULT_SIDES                    \
                             "WHERE j.no >= ?1 AND j.no < ?2 ORDER BY j.no")                       \
    X(READ_END_OF,     HOT,  "SELECT created_us, salt, state, ran FROM jobs WHERE no = ?1")        \
    X(READ_LABELS,     HOT,  "SELECT coalesce((SELECT labels FROM specs WHERE no = ?1),"           \
                             " (SELECT labels FROM batch_specs WHERE no = ifnull("                 \
                             "(SELECT CASE WHEN flags & 1 THEN batch ELSE no END FROM jobs"        \
                             " WHERE no = ?1), ?1)))")                                             \
    X(READ_JOB_ID,     HOT,  "SELECT created_us, salt FROM jobs WHERE no = ?1")                    \
    X(READ_MARK,       HOT,  "SELECT created_us, salt, state, attempt, version FROM jobs"          \
                             " WHERE no = ?1")                                                     \
    X(READ_SPEC,       HOT,  "SELECT name, labels, metadata FROM specs WHERE no = ?1")              \
    X(READ_ERROR,      HOT,  "SELECT detail FROM errors WHERE no IN (?1, ?2)"                      \
                             " ORDER BY no DESC LIMIT 1")                          \
    X(READ_ATTEMPTS,   HOT,  "SELECT attempt, reason, exit_code, signal, started_us,"              \
                             " finished_us, wall_us, user_us, system_us, max_rss_bytes, killed,"   \
                             " state FROM attempts WHERE no = ?1 ORDER BY attempt")                      \
    X(READ_QUEUE,      HOT,  "SELECT name FROM queues WHERE id = ?1")                              \
    X(READ_QUEUE_ID,   HOT,  "SELECT id FROM queues WHERE name = ?1")                              \
    X(READ_COUNTS,     HOT,  TEXT_QUEUE "WHERE name = ?1")                                         \
    X(READ_QUEUES,     HOT,  TEXT_QUEUE "WHERE name > ?1 ORDER BY name")                           \
    X(READ_WAITING,    HOT,  "SELECT priority, created_us, ran FROM jobs"                          \
                             " WHERE queue = ?1 AND state = " TEXT_QUEUED                          \
                             " AND priority < ?2 ORDER BY priority DESC, no LIMIT 1")              \
    X(READ_ORDER,      HOT,  "SELECT no FROM jobs WHERE queue = ?1 AND state = " TEXT_QUEUED       \
                             " ORDER BY priority DESC, no LIMIT ?2")                               \
    X(READ_DEFAULTS,   HOT,  "SELECT defaults FROM queues JOIN queue_settings"                     \
                             " ON queue_settings.id = queues.id WHERE name = ?1")                  \
    X(READ_CALLBACK,   HOT,  "SELECT receiver, states FROM callbacks WHERE no = ?1")               \
    X(READ_URL,        HOT,  "SELECT url FROM callbacks WHERE no = ?1")                            \
    X(READ_PENDING,    HOT,  "SELECT 1 FROM deliveries WHERE no = ?1 LIMIT 1")                     \
    X(READ_LAST_TRY,   HOT,  "SELECT seq, http_status, outcome FROM delivery_tries"                \
                             " WHERE no = ?1 ORDER BY seq DESC LIMIT 1")                           \
    X(READ_TRIES,      HOT,  "SELECT seq, at_us, took_us, http_status, outcome, error"             \
                             " FROM delivery_tries WHERE no = ?1 AND seq > ?2 ORDER BY seq")       \
    X(READ_RECEIVER,   HOT,  "SELECT receiver FROM deliveries WHERE receiver > ?1"                 \
                             " ORDER BY receiver LIMIT 1")                                         \
    X(READ_LINE,       HOT,  "SELECT id, no, is_batch, state, version, tries, created_us"          \
                             " FROM deliveries WHERE receiver = ?1 AND due_us <= ?2"               \
                             " ORDER BY due_us LIMIT ?3")                                          \
    X(READ_NEXT_DUE,   HOT,  "SELECT due_us FROM deliveries WHERE due_us > ?1"                     \
                             " ORDER BY due_us LIMIT 1")                                           \
    X(READ_OUTPUT,     HOT,  TEXT_OUTPUT)                                                          \
    X(READ_NEWEST,     HOT,  TEXT_ROW "WHERE no < ?1 ORDER BY no DESC")                            \
    X(READ_OLDEST,     HOT,  TEXT_ROW "WHERE no > ?1 ORDER BY no")                                 \
    X(READ_OFFSPRING_NEWEST, HOT, TEXT_ROW "JOIN offspring ON child = no"                          \
                             " WHERE parent = ?2 AND child < ?1 ORDER BY child DESC")              \
    X(READ_OFFSPRING_OLDEST, HOT, TEXT_ROW "JOIN offspring ON child = no"                          \
                             " WHERE parent = ?2 AND child > ?1 ORDER BY child")                   \
    X(READ_SUBMITTER,  HOT,  "SELECT parent, parent_ms, parent_salt FROM offspring"               \
                             " WHERE child IN (?1, (SELECT batch FROM jobs WHERE no = ?1))")       \
    X(READ_LAST,       HOT,  "SELECT no FROM jobs WHERE no > 0 ORDER BY no DESC LIMIT 1")          \
    X(READ_AT,         HOT,  "SELECT no, created_us FROM jobs WHERE no >= ?1 ORDER BY no LIMIT 1") \
    X(READ_WAIT,       HOT,  "SELECT n FROM waits WHERE child = ?1")                               \
    X(READ_PARENTS,    HOT,  "SELECT parent FROM deps WHERE child = ?1 ORDER BY parent LIMIT ?2")  \
    X(READ_BLOB,       HOT,  TEXT_BLOB_VIEW "WHERE b.no = ?1")                                     \
    X(READ_BLOBS,      HOT,  TEXT_BLOB_VIEW "WHERE b.no < ?1 ORDER BY b.no DESC LIMIT ?2")         \
    X(READ_BLOBS_OF,   HOT,  TEXT_BLOB_VIEW "WHERE b.job = ?1 ORDER BY b.k LIMIT ?2")
/* clang-format on */

enum writer_sql {
#define X(name, heat, text) SQL_##name,
    WRITER_SQL(X)
#undef X
        WRITER_SQL_COUNT
};

enum reader_sql {
#define X(name, heat, text) SQL_##name,
    READER_SQL(X)
#undef X
        READER_SQL_COUNT
};

#endif

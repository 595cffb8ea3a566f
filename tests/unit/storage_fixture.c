/* SPDX-License-Identifier: MIT */
#include "storage_fixture.h"

#include "service/base/template.h"

#include <dirent.h>
#include <sys/statvfs.h>

/* In memory where possible: these tests commit often, and what they test is not the disk. The
 * /dev/shm of a container may be small, though. */
static bool memory_has_room(void)
{
    struct statvfs fs;

    return access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &fs) == 0 &&
           (uint64_t)fs.f_bavail * fs.f_frsize >= (uint64_t)256 << 20;
}

void fixture_make_dir(char dir[64])
{
    (void)snprintf(dir, 64, "%s/ganger-store-XXXXXX", memory_has_room() ? "/dev/shm" : "/tmp");
    cr_assert_not_null(mkdtemp(dir));
}

void fixture_remove_dir(const char *dir)
{
    DIR *list = opendir(dir);
    struct dirent *entry;

    if (list == NULL)
        return;
    while ((entry = readdir(list)) != NULL) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(list), entry->d_name, 0);
    }
    (void)closedir(list);
    (void)rmdir(dir);
}

void fixture_path(const struct fixture *f, const char *name, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", f->dir, name);
}

/* clang-format off */
/*    column             NULL unless            value */
#define FACTS(X)                                                                                \
    X(due_us,            row.due_us != 0,            row.due_us)                                \
    X(queue_deadline_us, row.queue_deadline_us != 0, row.queue_deadline_us)                     \
    X(deadline_us,       row.deadline_us != 0,       row.deadline_us)                           \
    X(max_attempts,      true,                       row.max_attempts)                          \
    X(result,            true,                       row.result)                                \
    X(retry,             true,                       row.retry)                                 \
    X(queued_us,         row.queued_us != 0,         row.queued_us)                             \
    X(started_us,        row.started_us != 0,        row.started_us)                            \
    X(finished_us,       row.finished_us != 0,       row.finished_us)                           \
    X(slot,              row.slot >= 0,              row.slot)                                  \
    X(reason,            row.reason != REASON_NONE,  row.reason)                                \
    X(exit_code,         row.has_exit_code,          row.exit_code)                             \
    X(signal,            true,                       row.signal)                                \
    X(wall_us,           true,                       row.usage.wall_us)                         \
    X(user_us,           true,                       row.usage.user_us)                         \
    X(system_us,         true,                       row.usage.system_us)                       \
    X(max_rss_bytes,     true,                       row.usage.max_rss_bytes)                   \
    X(killed,            true,                       row.usage.processes_killed)                \
    X(stdout_bytes,      true,                       row.output.bytes[0])                       \
    X(stderr_bytes,      true,                       row.output.bytes[1])                       \
    X(value_bytes,       row.output.has_value,       row.output.bytes[STREAM_VALUE])
/* clang-format on */

/* fact(which, terms, ran, created_us) */
static void fact(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const char *which = (const char *)sqlite3_value_text(argv[0]);
    struct row row = {.created_us = argc == 4 ? sqlite3_value_int64(argv[3]) : 0};

    cr_assert(row_unpack_terms(value_slice(argv[1]), &row));
    cr_assert(row_unpack_ran(value_slice(argv[2]), &row));
#define X(column, is_there, value)                 \
    if (strcmp(which, #column) == 0 && (is_there)) \
        sqlite3_result_int64(context, (sqlite3_int64)(value));
    FACTS(X)
#undef X
}

void facts_make(struct fixture *f)
{
    cr_assert_eq(sqlite3_create_function(f->store->db.handle, "fact", 4, SQLITE_UTF8, NULL, fact,
                                         NULL, NULL),
                 SQLITE_OK);
#define X(column, is_there, value) ", fact('" #column "', terms, ran, created_us) AS " #column
    must(db_exec(&f->store->db, "CREATE TEMP VIEW facts AS SELECT *" FACTS(X) " FROM jobs", err));
#undef X
}

void fixture_open(struct fixture *f)
{
    *f = (struct fixture){0};
    fixture_make_dir(f->dir);
    f->cfg = (struct store_config){
        .data_dir = f->dir,
        .sync_full = true,
        .cache_bytes = 4 << 20,
        .row_keep_us = 100 * SECOND_US,
        .max_queues = 8,
    };
    must(store_open(&f->cfg, &f->store, err));
    facts_make(f);
}

void fixture_reopen(struct fixture *f)
{
    store_close(f->store);
    must(store_open(&f->cfg, &f->store, err));
    facts_make(f);
}

void fixture_close(struct fixture *f)
{
    store_close(f->store);
    fixture_remove_dir(f->dir);
}

void tx_begin(struct fixture *f)
{
    must(store_begin(f->store, err));
}

void tx_commit(struct fixture *f)
{
    struct err err = {0};

    cr_assert_eq(store_commit(f->store, &err), COMMIT_STORED, "%s", err.detail);
}

struct job_id job_add_as(struct fixture *f, const struct job_new *job)
{
    struct job_id id;

    must(jobs_insert(f->store, job, &id, err));
    return id;
}

struct job_id job_add(struct fixture *f, const char *queue, int32_t priority)
{
    struct job_spec spec = {.queue = slice_of(queue),
                            .priority = priority,
                            .max_attempts = 1,
                            .keep_us = 10 * SECOND_US};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("task"), .now_us = NOW_US, .salt = 0x9e3779b9};

    return job_add_as(f, &job);
}

int64_t batch_add_as(struct fixture *f, const struct batch_new *batch)
{
    static const struct template_head head = {.version = 1, .max_attempts = 1};
    struct batch_new made = *batch;
    char bytes[sizeof head + 1] = "";
    struct job_id id;

    memcpy(bytes, &head, sizeof head);
    made.task = (struct slice){bytes, sizeof bytes};
    made.now_us = NOW_US;
    must(batch_insert(f->store, &made, &id, err));
    return id.no;
}

struct batch batch_see(struct fixture *f, int64_t no)
{
    const struct batch *b;

    must(batch_get_by_no(f->store, no, &b, err));
    return *b;
}

struct job_end job_end_ok(void)
{
    return (struct job_end){
        .state = JOB_SUCCEEDED,
        .reason = REASON_NONE,
        .has_exit_code = true,
        .started_us = NOW_US,
        .finished_us = NOW_US + SECOND_US,
        .usage = {.wall_us = SECOND_US, .user_us = 400, .system_us = 300, .max_rss_bytes = 4096},
        .keep_us = 10 * SECOND_US,
    };
}

struct job_id job_add_in(struct fixture *f, enum job_state state)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = 10 * SECOND_US};
    struct job_new job = {.spec = &spec, .task = SLICE_LIT("task"), .now_us = NOW_US};
    struct job_end end = job_end_ok();
    enum job_state now;
    struct job_id id;

    if (state == JOB_SCHEDULED)
        job.due_us = NOW_US + SECOND_US;
    id = job_add_as(f, &job);
    if (state == JOB_SCHEDULED || state == JOB_QUEUED)
        return id;
    if (state == JOB_CANCELLED) {
        must(jobs_cancel(f->store, &(struct job_cancel){id.no, NOW_US, NULL}, &now, err));
        return id;
    }
    must(jobs_start(f->store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    if (state == JOB_STOPPING)
        must(jobs_cancel(f->store, &(struct job_cancel){id.no, NOW_US, NULL}, &now, err));
    if (!job_state_is_end(state))
        return id;
    end.state = state;
    end.reason = state == JOB_FAILED ? REASON_EXIT_CODE : REASON_NONE;
    must(jobs_finish(f->store, id.no, 1, &end, err));
    return id;
}

struct job_row job_see(struct fixture *f, int64_t no)
{
    struct job_row row;

    must(jobs_get_by_no(f->store, no, &row, err));
    return row;
}

void all_is_written(struct fixture *f)
{
    must(newborn_write(f->store, err));
}

int64_t ask(struct fixture *f, const char *sql)
{
    int64_t n = -1;

    all_is_written(f);
    must(db_query_i64(&f->store->db, sql, &n, err));
    return n;
}

#define ALL_COLUMNS                                                                          \
    "state, queue, priority, timer, wake_us, created_us, keep_us, terms, batch, idx, flags," \
    " version, attempt, output_flags, ran, value"

int64_t kinds_of_rows(struct fixture *f, int64_t a, int64_t b)
{
    char sql[1024];

    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM (SELECT DISTINCT " ALL_COLUMNS
                   " FROM jobs WHERE no IN (%lld, %lld))",
                   (long long)a, (long long)b);
    return ask(f, sql);
}

/* Who holds a unique key: its row says so, and no other. */
static void keys_check(struct fixture *f)
{
    static const char living[] = "SELECT count(*) FROM jobs WHERE ukey IS NOT NULL AND state < 4";

    cr_assert_eq(ask(f, "SELECT count(*) FROM key_holders"), ask(f, living));
    cr_assert_eq(ask(f, "SELECT count(*) FROM key_holders h JOIN jobs j ON j.no = h.no"
                        " AND j.ukey = h.key AND j.state < 4"),
                 ask(f, living));
}

void counts_check(struct fixture *f)
{
    struct queue_counts queues[64];
    size_t n = store_queue_counts(f->store, queues, ARRAY_LEN(queues));
    int64_t total[JOB_STATE_COUNT] = {0};

    for (size_t i = 0; i < n; i++) {
        for (int s = 0; s < JOB_STATE_COUNT; s++) {
            char sql[256];

            (void)snprintf(sql, sizeof(sql),
                           "SELECT count(*) FROM jobs WHERE state = %d AND queue = (SELECT id FROM "
                           "queues WHERE name = '%s')",
                           s, queues[i].queue);
            cr_assert_eq(queues[i].count[s], ask(f, sql), "%s %s", queues[i].queue,
                         job_state_name((enum job_state)s));
            (void)snprintf(sql, sizeof(sql),
                           "SELECT %s FROM queues JOIN ledger ON k = id WHERE name = '%s'",
                           job_state_name((enum job_state)s), queues[i].queue);
            cr_assert_eq(queues[i].count[s], ask(f, sql), "stored: %s", sql);
            total[s] += queues[i].count[s];
        }
    }
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        char sql[64];

        (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM jobs WHERE state = %d", s);
        cr_assert_eq(total[s], ask(f, sql));
        cr_assert_eq(store_count(f->store, (enum job_state)s), total[s]);
    }
    keys_check(f);
}

void integrity_check(struct fixture *f)
{
    char word[16];

    must(db_query_word(&f->store->db, "PRAGMA integrity_check", word, err));
    cr_assert_str_eq(word, "ok");
}

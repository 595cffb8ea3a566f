/* SPDX-License-Identifier: MIT */
#include "crash/oracle.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <unistd.h>

void oracle_open(struct oracle *o, const char *dir)
{
    memset(o, 0, sizeof(*o));
    o->fd = open(text_of("%s/acks", dir).s, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(o->fd >= 0, "cannot write in %s", dir);
    (void)snprintf(o->job_log, sizeof(o->job_log), "%s/jobs.log", dir);
}

void oracle_close(struct oracle *o)
{
    (void)close(o->fd);
    free(o->acks);
}

struct ack *oracle_add(struct oracle *o, const char *id, int max_attempts)
{
    if (o->n == o->room) {
        o->room = o->room == 0 ? 4096 : o->room * 2;
        o->acks = need_realloc(o->acks, o->room * sizeof(*o->acks));
    }
    struct ack *ack = &o->acks[o->n++];
    memset(ack, 0, sizeof(*ack));
    (void)snprintf(ack->id, sizeof(ack->id), "%s", id);
    ack->max_attempts = max_attempts;
    dprintf(o->fd, "%s %d\n", id, max_attempts);
    return ack;
}

void oracle_sync(struct oracle *o)
{
    CHECK(fdatasync(o->fd) == 0, "cannot sync the acknowledgements");
}

void oracle_saw(struct ack *ack, struct response *finished)
{
    (void)snprintf(ack->seen_state, sizeof(ack->seen_state), "%s", json_text(finished, "state"));
    ack->seen_attempt = (int)json_int(finished, "attempt");
}

void oracle_violation(struct oracle *o, const char *fmt, ...)
{
    va_list args;
    o->n_violations++;
    printf("VIOLATION: ");
    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    printf("\n");
    (void)fflush(stdout);
}

static struct response *ack_get(struct server *s, const struct ack *ack, const char *tail,
                                int wait_s)
{
    struct text path = text_of("/v1/jobs/%s%s%s", ack->id, tail,
                               wait_s > 0 ? text_of("?wait=%d", wait_s).s : "");
    struct call call = {.method = "GET", .path = path.s};
    return http_try(s, &call);
}

bool oracle_check_known(struct oracle *o, struct server *s)
{
    for (; o->n_checked < o->n; o->n_checked++) {
        AUTO_RESPONSE r = ack_get(s, &o->acks[o->n_checked], "", 0);
        if (r == NULL)
            return false;
        if (r->status == 404)
            oracle_violation(o, "G2: acknowledged job %s is lost", o->acks[o->n_checked].id);
        else
            CHECK(r->status == 200, "GET of a job: %ld %s", r->status, r->body);
    }
    return true;
}

/* What the jobs wrote, sorted so that a job's lines are found by bisection. */
struct mark {
    char id[40];
    int attempt;
    bool is_end;
};

struct marks {
    struct mark *items;
    size_t n;
};

static int mark_compare(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    int by_id = strcmp(x->id, y->id);
    if (by_id != 0)
        return by_id;
    return x->attempt != y->attempt ? x->attempt - y->attempt : (int)x->is_end - (int)y->is_end;
}

static void marks_read(struct marks *m, const char *path)
{
    AUTO_TEXT log = file_read(path, NULL);
    size_t room = 0;
    m->items = NULL;
    m->n = 0;
    char *rest = log;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        struct mark mark = {.attempt = 0};
        char what[8], attempt[12];
        if (sscanf(line, "%7s %39s %11s", what, mark.id, attempt) != 3)
            continue;
        mark.attempt = (int)strtol(attempt, NULL, 10);
        mark.is_end = strcmp(what, "end") == 0;
        if (m->n == room) {
            room = room == 0 ? 4096 : room * 2;
            m->items = need_realloc(m->items, room * sizeof(*m->items));
        }
        m->items[m->n++] = mark;
    }
    if (m->n > 0)
        qsort(m->items, m->n, sizeof(*m->items), mark_compare);
}

static size_t marks_count(const struct marks *m, const char *id, int attempt, bool is_end)
{
    struct mark key = {.attempt = attempt, .is_end = is_end};
    (void)snprintf(key.id, sizeof(key.id), "%s", id);
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (mark_compare(&m->items[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t n = 0;
    while (low + n < m->n && mark_compare(&m->items[low + n], &key) == 0)
        n++;
    return n;
}

/* G3 needs no answer of the server: the jobs' own lines suffice. */
static void check_starts(struct oracle *o, const struct marks *m, const struct ack *ack)
{
    const int beyond = 8; /* attempts that must not exist are looked for, too */
    for (int attempt = 0; attempt <= ack->max_attempts + beyond; attempt++) {
        size_t starts = marks_count(m, ack->id, attempt, false);
        if (starts > 1)
            oracle_violation(o, "G3: attempt %d of %s was started %zu times", attempt, ack->id,
                             starts);
        if (starts > 0 && (attempt < 1 || attempt > ack->max_attempts))
            oracle_violation(o, "G3: %s ran as attempt %d of %d", ack->id, attempt,
                             ack->max_attempts);
    }
}

/* Neither for jobs whose acknowledgement nobody has kept. */
static void check_all_starts(struct oracle *o, const struct marks *m)
{
    for (size_t i = 1; i < m->n; i++) {
        const struct mark *mark = &m->items[i];
        if (!mark->is_end && mark_compare(mark, mark - 1) == 0)
            oracle_violation(o, "G3: attempt %d of %s was started more than once", mark->attempt,
                             mark->id);
    }
}

static void check_success(struct oracle *o, struct server *s, const struct marks *m,
                          const struct ack *ack, int attempt)
{
    o->n_succeeded++;
    if (marks_count(m, ack->id, attempt, false) != 1 || marks_count(m, ack->id, attempt, true) != 1)
        oracle_violation(o, "G4: %s succeeded in attempt %d, but did not run to its end then",
                         ack->id, attempt);
    AUTO_RESPONSE out = ack_get(s, ack, "/stdout", 0);
    struct text want = text_of("out %s\n", ack->id);
    if (out == NULL || out->status != 200 || strcmp(out->body, want.s) != 0)
        oracle_violation(o, "the output of %s is: %ld %s", ack->id, out == NULL ? 0 : out->status,
                         out == NULL ? "" : out->body);
}

static void check_outcome(struct oracle *o, struct server *s, const struct marks *m,
                          const struct ack *ack)
{
    AUTO_RESPONSE r = ack_get(s, ack, "", 0);
    CHECK(r != NULL, "no answer after the crashes");
    if (r->status == 404) {
        oracle_violation(o, "G2: acknowledged job %s is lost", ack->id);
        return;
    }
    const char *state = json_text(r, "state");
    int attempt = (int)json_int(r, "attempt");
    if (!json_bool(r, "done"))
        oracle_violation(o, "G2: %s has no outcome: %s", ack->id, r->body);
    if (attempt > ack->max_attempts)
        oracle_violation(o, "G3: %s has used %d of %d attempts", ack->id, attempt,
                         ack->max_attempts);
    if (ack->seen_state[0] != '\0' &&
        (strcmp(ack->seen_state, state) != 0 || ack->seen_attempt != attempt))
        oracle_violation(o, "G4: %s was %s in attempt %d and is now %s in attempt %d", ack->id,
                         ack->seen_state, ack->seen_attempt, state, attempt);
    if (strcmp(state, "succeeded") == 0) {
        check_success(o, s, m, ack, attempt);
        return;
    }
    o->n_failed++;
    const cJSON *reason = json_find(r, "reason");
    if (cJSON_IsString(reason) && strcmp(reason->valuestring, "lost") == 0) {
        o->n_lost++;
        o->n_lost_silent += marks_count(m, ack->id, attempt, false) == 0 ? 1 : 0;
    }
}

static bool await_one(struct oracle *o, struct server *s, const struct ack *ack, uint64_t until)
{
    for (;;) {
        AUTO_RESPONSE r = ack_get(s, ack, "", 10);
        CHECK(r != NULL, "no answer after the crashes");
        if (r->status == 404 || json_bool(r, "done"))
            return true; /* a job that is not known is a finding of check_outcome */
        if (!deadline_passed(until))
            continue;
        oracle_violation(o, "G2: %s has not ended: %s", ack->id, r->body);
        return false;
    }
}

static void await_all(struct oracle *o, struct server *s)
{
    uint64_t until = deadline_in(120);
    for (size_t i = 0; i < o->n; i++) {
        if (!await_one(o, s, &o->acks[i], until))
            return;
    }
}

void oracle_check_all(struct oracle *o, struct server *s)
{
    struct marks marks;
    await_all(o, s);
    marks_read(&marks, o->job_log);
    check_all_starts(o, &marks);
    for (size_t i = 0; i < o->n; i++) {
        check_starts(o, &marks, &o->acks[i]);
        check_outcome(o, s, &marks, &o->acks[i]);
    }
    free(marks.items);
}

static void check_file(struct oracle *o, const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *check = NULL;
    char verdict[300] = "cannot be opened";
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL) == SQLITE_OK &&
        sqlite3_step(check) == SQLITE_ROW)
        (void)snprintf(verdict, sizeof(verdict), "%s", (const char *)sqlite3_column_text(check, 0));
    (void)sqlite3_finalize(check);
    (void)sqlite3_close(db);
    if (strcmp(verdict, "ok") != 0)
        oracle_violation(o, "integrity of %s: %s", path, verdict);
}

/* The files that begin as every SQLite database does (its file format, section 1.3). */
static bool file_is_database(const char *path)
{
    char magic[16] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, magic, sizeof(magic));
    (void)close(fd);
    return n == 16 && memcmp(magic, "SQLite format 3", 16) == 0;
}

void oracle_check_files(struct oracle *o, const char *dir)
{
    int found = 0;
    DIR *files = opendir(dir);
    CHECK(files != NULL, "cannot read %s", dir);
    for (struct dirent *e = readdir(files); e != NULL; e = readdir(files)) {
        struct text path = text_of("%s/%s", dir, e->d_name);
        if (!file_is_database(path.s))
            continue;
        check_file(o, path.s);
        found++;
    }
    (void)closedir(files);
    if (found == 0)
        oracle_violation(o, "no database in %s", dir);
}

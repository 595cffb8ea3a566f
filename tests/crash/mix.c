/* SPDX-License-Identifier: MIT */
#include "crash/mix.h"

#include "integration/harness_batch.h"

#include <sqlite3.h>

#define KEYS 5

/* ------------------------------------------------------------------------------------------------
 * one request */

/* What is refused must be refused for a reason of the client's. */
static struct response *ask(struct mix_client *c, const char *method, const char *path,
                            const char *body)
{
    static const char *const json[] = {NULL}, *const lines[] = {
                                                  "Content-Type: application/x-ndjson", NULL};
    bool is_lines = body != NULL && strstr(body, "}\n") != NULL;
    struct call call = {.method = method,
                        .path = path,
                        .body = body,
                        .body_len = body == NULL ? 0 : strlen(body),
                        .headers = is_lines ? lines : json,
                        .over_socket = true};
    struct response *r = http_try(&c->server, &call);
    if (r == NULL) {
        pause_ms(5); /* it was killed, and comes back */
        return NULL;
    }
    CHECK(r->status < 500 || r->status == 503, "%s %s %s: %ld %s", method, path,
          body == NULL ? "" : body, r->status, r->body);
    CHECK(r->status != 400 && r->status != 405, "%s %s %s: %ld %s", method, path, body, r->status,
          r->body);
    c->n_done += r->status < 400;
    c->n_refused += r->status >= 400;
    return r;
}

static void keep(char kept[MIX_KNOWN][40], size_t *n, struct response *r)
{
    const cJSON *id = r == NULL || r->status >= 300 ? NULL : json_find(r, "id");
    if (cJSON_IsString(id))
        (void)snprintf(kept[(*n)++ % MIX_KNOWN], sizeof(kept[0]), "%s", id->valuestring);
}

static const char *pick(struct mix_client *c, char kept[MIX_KNOWN][40], size_t n)
{
    return n == 0 ? NULL : kept[dice_below(&c->dice, (uint32_t)(n < MIX_KNOWN ? n : MIX_KNOWN))];
}

static const char *one_of(struct mix_client *c, const char *const *words, size_t n)
{
    return words[dice_below(&c->dice, (uint32_t)n)];
}
#define ONE_OF(c, ...)                            \
    one_of(c, (const char *const[]){__VA_ARGS__}, \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* The members that say what is run: its life, as the oracle wants it. */
static void add_work(struct mix_client *c, struct text_builder *b, const char *more)
{
    text_add(
        b,
        "\"command\":[\"sh\",\"-c\",\"echo start $GANGER_JOB_ID $GANGER_ATTEMPT $$ >> $LOG; "
        "%s echo end $GANGER_JOB_ID $GANGER_ATTEMPT $$ >> $LOG\"%s],"
        "\"env\":{\"LOG\":\"%s\"},\"queue\":\"%s\"",
        ONE_OF(c, "", "sleep 0.01;", "sleep 0.03;", "test $GANGER_ATTEMPT = 1 || exit 0; exit 3;"),
        more, c->job_log, ONE_OF(c, "mix", "mix", "mox"));
    text_add(b, "%s",
             ONE_OF(c, "", ",\"delay\":\"30ms\"",
                    ",\"retry\":{\"max_attempts\":2,\"delay\":\"5ms\"}", ",\"priority\":5",
                    ",\"queue_timeout\":\"300ms\""));
}

static void add_parents(struct mix_client *c, struct text_builder *b)
{
    const char *first = pick(c, c->known, c->n_known), *second = pick(c, c->batches, c->n_batches);
    if (first == NULL || second == NULL || dice_below(&c->dice, 2) == 0)
        return;
    text_add(b, ",\"depends_on\":[\"%s\",\"%s\"],\"on_parent_failure\":\"%s\"", first, second,
             ONE_OF(c, "cancel", "run"));
}

static void post(struct mix_client *c, const char *path, struct text_builder *b, bool is_batch)
{
    AUTO_RESPONSE r = ask(c, "POST", path, b->text);
    if (is_batch)
        keep(c->batches, &c->n_batches, r);
    else
        keep(c->known, &c->n_known, r);
    text_free(b);
}

/* ------------------------------------------------------------------------------------------------
 * the verbs */

/* Brief calls, which the server lets share turns. Nobody retries them, so each begins at most once.
 */
static void new_calls(struct mix_client *c)
{
    struct text_builder b = {0};
    const uint32_t n = 1 + dice_below(&c->dice, 90);
    text_add(&b, "{\"function\":\"note\",\"queue\":\"calls\",\"star\":true,\"items\":[");
    for (uint32_t i = 0; i < n; i++)
        text_add(&b, "%s[\"%s\",%llu]", i == 0 ? "" : ",", c->notes,
                 (unsigned long long)(c->n_calls++ * MIX_CLIENTS + c->index));
    text_add(&b, "]}");
    AUTO_RESPONSE r = ask(c, "POST", "/v1/batches", b.text);
    text_free(&b);
}

/* One, of a function that is called pure (it is not, so that its traces tell), so it may begin
 * before it is on disk. Nobody sends it again when there is no answer: once is enough. */
static void new_early_call(struct mix_client *c)
{
    struct text_builder b = {0};
    text_add(&b, "{\"function\":\"note_early\",\"queue\":\"calls\",\"args\":[\"%s\",%llu]}",
             c->notes, (unsigned long long)(c->n_calls++ * MIX_CLIENTS + c->index));
    AUTO_RESPONSE r = ask(c, "POST", "/v1/jobs", b.text);
    text_free(&b);
}

static void new_batch(struct mix_client *c)
{
    struct text_builder b = {0};
    uint32_t n = 1 + dice_below(&c->dice, 30);
    bool is_upload = dice_below(&c->dice, 4) == 0;
    text_add(&b, "{");
    add_work(c, &b, ",\"{}\"");
    add_parents(c, &b);
    text_add(&b, "%s",
             ONE_OF(c, "", "", ",\"max_parallel\":2", ",\"chunksize\":4", ",\"chunksize\":12",
                    ",\"chunksize\":8,\"max_failures\":3", ",\"max_failures\":2",
                    ",\"open\":true"));
    text_add(&b, is_upload ? "}\n" : ",\"items\":[");
    for (uint32_t i = 0; i < n; i++)
        text_add(&b, "%u%s", i, is_upload ? "\n" : i + 1 < n ? "," : "]}");
    post(c, "/v1/batches", &b, true);
}

static void new_child(struct mix_client *c)
{
    struct text_builder b = {0};
    text_add(&b, "{");
    add_work(c, &b, "");
    add_parents(c, &b);
    text_add(&b, "}");
    post(c, "/v1/jobs", &b, false);
}

static void new_unique(struct mix_client *c)
{
    struct text_builder b = {0};
    text_add(&b, "{");
    add_work(c, &b, "");
    text_add(&b, ",\"unique\":{\"key\":\"k%u\",\"on_conflict\":\"%s\"}}",
             dice_below(&c->dice, KEYS), ONE_OF(c, "return", "reject", "replace"));
    post(c, "/v1/jobs", &b, false);
}

static void new_pipeline(struct mix_client *c)
{
    struct text_builder b = {0};
    text_add(&b,
             "{\"queue\":\"mix\",\"stages\":[{\"command\":[\"echo\",\"a\"]},"
             "{\"command\":[\"%s\"]}]}",
             ONE_OF(c, "cat", "false", "true"));
    post(c, "/v1/pipelines", &b, true);
}

static void new_graph(struct mix_client *c)
{
    struct text_builder b = {0};
    text_add(&b, "{");
    add_work(c, &b, "");
    text_add(&b,
             ",\"jobs\":[{\"ref\":\"a\"},{\"ref\":\"b\"},"
             "{\"ref\":\"c\",\"depends_on\":[\"a\",\"b\"],\"on_parent_failure\":\"%s\"},"
             "{\"depends_on\":[\"c\"],\"stdin_from\":{\"job\":\"a\",\"stream\":\"stdout\"}}]}",
             ONE_OF(c, "cancel", "run", "fail"));
    post(c, "/v1/batches", &b, true);
}

static void on_batch(struct mix_client *c)
{
    static const struct {
        const char *verb, *body;
    } verbs[] = {
        {"cancel", "{}"},
        {"cancel", "{\"indexes\":\"0-3,7\"}"},
        {"retry", "{}"},
        {"retry", "{\"indexes\":\"1-5\"}"},
        {"jobs", "{\"items\":[100,101,102]}"},
        {"close", NULL},
    };
    const char *id = pick(c, c->batches, c->n_batches);
    uint32_t which = dice_below(&c->dice, COUNT_OF(verbs));
    if (id == NULL)
        return;
    AUTO_RESPONSE r = ask(c, "POST", text_of("/v1/batches/%s/%s", id, verbs[which].verb).s,
                          verbs[which].body);
}

static void on_many(struct mix_client *c)
{
    const char *batch = pick(c, c->batches, c->n_batches);
    struct text body = text_of("{\"queue\":\"mox\",\"state\":[\"%s\"]}",
                               ONE_OF(c, "queued", "running", "blocked", "scheduled"));
    AUTO_RESPONSE r = ask(c, "POST", "/v1/jobs/cancel", body.s);
    if (batch == NULL)
        return;
    body = text_of("{\"batch\":\"%s\",\"state\":\"%s\"}", batch,
                   ONE_OF(c, "failed", "cancelled", "succeeded"));
    AUTO_RESPONSE more = ask(c, "POST", ONE_OF(c, "/v1/jobs/retry", "/v1/jobs/delete"), body.s);
}

static void on_job(struct mix_client *c)
{
    const char *id = pick(c, c->known, c->n_known);
    if (id == NULL)
        return;
    struct text path = text_of("/v1/jobs/%s", id), cancel = text_of("%s/cancel", path.s),
                retry = text_of("%s/retry", path.s);
    static const char *const changes[] = {"{\"priority\":9}", "{\"delay\":\"20ms\"}",
                                          "{\"queue\":\"mox\"}", "{\"queue\":\"new\"}",
                                          "{\"timeout\":\"5s\",\"keep\":\"1h\"}"};
    uint32_t roll = dice_below(&c->dice, 8);
    const char *method = roll < 5 ? "PATCH" : roll == 7 ? "DELETE" : "POST";
    AUTO_RESPONSE r = ask(c, method,
                          roll == 5   ? cancel.s
                          : roll == 6 ? retry.s
                                      : path.s,
                          roll < 5 ? changes[roll] : NULL);
}

static void on_queue(struct mix_client *c)
{
    AUTO_RESPONSE r = ask(c, "PUT", ONE_OF(c, "/v1/queues/mix", "/v1/queues/mox"),
                          ONE_OF(c, "{\"concurrency\":1}", "{\"concurrency\":3}",
                                 "{\"rate\":\"50/1s\"}", "{\"max_length\":40}", "{\"weight\":3}",
                                 "{\"paused\":true}", "{}", "{}"));
}

static void *client_main(void *arg)
{
    static void (*const verbs[])(struct mix_client *) = {
        new_batch, new_batch, new_calls,  new_calls,  new_calls,    new_early_call, new_early_call,
        new_child, new_child, new_unique, new_unique, new_pipeline, new_graph,      on_batch,
        on_batch,  on_many,   on_job,     on_job,     on_queue,
    };
    struct mix_client *c = arg;
    while (!*c->stop) {
        verbs[dice_below(&c->dice, COUNT_OF(verbs))](c);
        pause_ms((int)dice_below(&c->dice, 40));
    }
    http_forget(&c->server);
    return NULL;
}

void mix_start(struct mix *m, const struct server *s, const char *job_log, uint64_t seed)
{
    memset(m, 0, sizeof(*m));
    (void)snprintf(m->notes, sizeof(m->notes), "%s.notes", job_log);
    for (size_t i = 0; i < MIX_CLIENTS; i++) {
        struct mix_client *c = &m->clients[i];
        c->server = *s;
        c->server.curl = NULL;
        c->server.schema = NULL;
        c->server.unchecked = true;
        c->dice.state = seed + i;
        c->job_log = job_log;
        c->notes = m->notes;
        c->index = i;
        c->stop = &m->stop;
        CHECK(pthread_create(&c->thread, NULL, client_main, c) == 0, "no thread");
    }
}

void mix_stop(struct mix *m)
{
    uint64_t n_done = 0, n_refused = 0;
    m->stop = true;
    for (size_t i = 0; i < MIX_CLIENTS; i++) {
        (void)pthread_join(m->clients[i].thread, NULL);
        n_done += m->clients[i].n_done;
        n_refused += m->clients[i].n_refused;
    }
    printf("mix: %llu requests done, %llu refused\n", (unsigned long long)n_done,
           (unsigned long long)n_refused);
}

/* ------------------------------------------------------------------------------------------------
 * afterwards */

/* By the counts: a page of a filtered list reads so many rows only, and may be empty though there
 * are more. */
static int64_t n_living(struct server *s)
{
    static const char *const states[] = {"scheduled", "blocked", "queued", "running", "stopping"};
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    int64_t n = 0;
    CHECK(r->status == 200, "stats: %ld %s", r->status, r->body);
    for (size_t i = 0; i < COUNT_OF(states); i++)
        n += json_int(r, text_of("jobs.%s", states[i]).s);
    return n;
}

/* Page by page. */
static void close_all(struct server *s)
{
    struct text path = text_of("/v1/batches?limit=100");
    while (path.s[0] != '\0') {
        AUTO_RESPONSE r = http_get(s, "%s", path.s);
        const cJSON *item;
        CHECK(r->status == 200, "%s: %ld %s", path.s, r->status, r->body);
        cJSON_ArrayForEach(item, json_find(r, "items"))
        {
            const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
            struct text close = text_of("/v1/batches/%s/close", id->valuestring);
            AUTO_RESPONSE closed = http(s, "POST", close.s, NULL, NULL);
        }
        const char *next = header_of(r, "Link");
        path = text_of("%.*s", next == NULL ? 0 : (int)strcspn(next + 1, ">"),
                       next == NULL ? "" : next + 1);
    }
}

/* As long as it changes, those that are left are only slow. */
static int64_t n_ended(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, "jobs.succeeded") + json_int(r, "jobs.failed") +
           json_int(r, "jobs.cancelled");
}

static void await_ends(struct server *s)
{
    const int64_t before = n_ended(s);
    const uint64_t start = now_ns();
    int64_t ended = before;
    for (uint64_t until = deadline_in(60); n_living(s) > 0 && !deadline_passed(until);) {
        const int64_t now = n_ended(s);
        if (now != ended)
            until = deadline_in(60);
        ended = now;
        pause_ms(20);
    }
    printf("mix: the last %lld jobs ended in %.1f s\n", (long long)(n_ended(s) - before),
           seconds_since(start));
}

/* What whoever looks into it needs, while the server still runs. */
static void tell_why(struct server *s, const cJSON *jobs)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, jobs)
    {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
        AUTO_RESPONSE why = http_get(s, "/v1/jobs/%s/explain", id->valuestring);
        printf("mix: %s\n", why->body);
    }
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    AUTO_RESPONSE queues = http_get(s, "/v1/queues");
    printf("mix: %s\nmix: %s\n", pool->body, queues->body);
}

void mix_settle(struct server *s, struct oracle *o)
{
    static const char living[] = "/v1/jobs?state=scheduled,blocked,queued,running,stopping&limit=5";
    s->unchecked = true;
    AUTO_RESPONSE mix = http(s, "PUT", "/v1/queues/mix", "{}", NULL);
    AUTO_RESPONSE mox = http(s, "PUT", "/v1/queues/mox", "{}", NULL);
    CHECK(mix->status < 300 && mox->status < 300, "the limits stay: %s %s", mix->body, mox->body);
    close_all(s);
    await_ends(s);
    if (n_living(s) == 0)
        return;
    AUTO_RESPONSE left = http_get(s, "%s", living);
    oracle_violation(o, "G2: these jobs never end: %.600s", left->body);
    tell_why(s, json_find(left, "items"));
}

/* Each counts rows that must not be there. */
static const char *const rules[] = {
    "jobs WHERE state < 5",
    "telling",
    "waits",
    "deps",
    "queues WHERE id NOT IN (SELECT k FROM ledger)",
    "ledger WHERE k > 0 AND k NOT IN (SELECT id FROM queues)",
    "queues q JOIN ledger ON k = q.id WHERE scheduled + blocked + queued + running + stopping <> 0 "
    "OR succeeded <>"
    " (SELECT count(*) FROM jobs WHERE queue = q.id AND state = 5) OR failed <>"
    " (SELECT count(*) FROM jobs WHERE queue = q.id AND state = 6) OR cancelled <>"
    " (SELECT count(*) FROM jobs WHERE queue = q.id AND state = 7)",
    "batches WHERE scheduled + blocked + queued + running + stopping + gated + work <> 0 OR"
    " finished_us IS NULL OR succeeded + failed + cancelled <> n",
    "batches b WHERE remaining <> (SELECT count(*) FROM jobs WHERE batch = b.no)",
    "batches b WHERE n = remaining AND (succeeded <>"
    " (SELECT count(*) FROM jobs WHERE batch = b.no AND state = 5) OR failed <>"
    " (SELECT count(*) FROM jobs WHERE batch = b.no AND state = 6))",
    "batches b WHERE n <> (SELECT coalesce(sum(n), 0) FROM batch_parts WHERE batch = b.no)",
    "batches b WHERE ended <> (SELECT coalesce(sum(n), 0) FROM ends WHERE batch = b.no) OR"
    " ended <>"
    " (SELECT coalesce(max(seq), 0) FROM ends WHERE batch = b.no)",
    "jobs j WHERE batch IS NOT NULL AND 1 <> (SELECT count(*) FROM ends e WHERE"
    " e.batch = j.batch AND j.no >= e.no AND j.no < e.no + e.n AND e.version = j.version)",
    "jobs j WHERE batch IS NOT NULL AND batch NOT IN (SELECT no FROM batches)",
    "(SELECT 1 FROM jobs WHERE batch IS NOT NULL GROUP BY batch, idx HAVING count(*) > 1)",
    "specs WHERE no NOT IN (SELECT no FROM jobs)",
    "items i WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE no >= i.no AND no < i.no + i.n"
    " AND NOT output_flags & 16)",
    "jobs j WHERE flags & 1 AND NOT output_flags & 16 AND no NOT IN (SELECT no FROM specs) AND"
    " no >= coalesce((SELECT no + n FROM items WHERE no <= j.no ORDER BY no DESC LIMIT 1), 0)",
    "attempts WHERE no NOT IN (SELECT no FROM jobs)",
    "inputs WHERE no NOT IN (SELECT no FROM jobs UNION SELECT no FROM batches)",
    "errors WHERE no NOT IN (SELECT no FROM jobs UNION SELECT no FROM batches)",
    "key_holders",
    "batch_specs WHERE no NOT IN (SELECT no FROM batches)",
};

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void mix_check_notes(const struct mix *m, struct server *s, struct oracle *o)
{
    size_t len = 0, n = 0;
    AUTO_RESPONSE queue = http_get(s, "/v1/queues/calls");
    if (queue->status == 404)
        return; /* none was accepted */
    const int64_t succeeded = json_int(queue, "jobs.succeeded");
    if (succeeded == 0)
        return;
    AUTO_TEXT notes = file_read(m->notes, &len);
    uint64_t *numbers = calloc(len + 1, sizeof *numbers);
    CHECK(numbers != NULL, "no memory");
    for (const char *line = notes; *line != '\0'; line = strchr(line, '\n') + 1)
        numbers[n++] = strtoull(line, NULL, 10);
    qsort(numbers, n, sizeof *numbers, by_number);
    for (size_t i = 1; i < n; i++)
        if (numbers[i] == numbers[i - 1])
            oracle_violation(o, "G3: call %llu has begun twice", (unsigned long long)numbers[i]);
    free(numbers);
    if ((int64_t)n < succeeded)
        oracle_violation(o, "G2: %lld calls have succeeded, %zu have begun", (long long)succeeded,
                         n);
    printf("mix: %zu brief calls\n", n);
}

void mix_check_file(struct oracle *o, const char *dir)
{
    sqlite3 *db = NULL;
    struct text path = text_of("%s/jobs.db", dir);
    CHECK(sqlite3_open_v2(path.s, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, "open %s",
          path.s);
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        sqlite3_stmt *stmt = NULL;
        struct text sql = text_of("SELECT count(*) FROM %s", rules[i]);
        CHECK(sqlite3_prepare_v2(db, sql.s, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql.s,
              sqlite3_errmsg(db));
        CHECK(sqlite3_step(stmt) == SQLITE_ROW, "%s: %s", sql.s, sqlite3_errmsg(db));
        long long n = sqlite3_column_int64(stmt, 0);
        if (n != 0)
            oracle_violation(o, "%lld rows that must not be there: %s", n, rules[i]);
        (void)sqlite3_finalize(stmt);
    }
    (void)sqlite3_close(db);
}

/* SPDX-License-Identifier: MIT */
/* blobs [KILLS] [--seed N] [--seed-bug]
 *
 * The server is killed -9 at random moments while blobs are uploaded and jobs leave some. After
 * each restart the blobs that were acknowledged last, and some of the older ones, are there with
 * their bytes; at the end all are, and no file is there without a row. With --seed-bug a server
 * that does not sweep must be caught by such files, and by nothing else. */
#include "crash/killer.h"
#include "integration/harness_blob.h"

#include <signal.h>

#define MAX_KNOWN 20000
#define MAX_BYTES 900000u
#define LOOKED_AT 8 /* after a kill: of the newest, and of all */

struct known {
    char id[40], sha[65];
    int64_t bytes;
};

struct run {
    struct server s;
    struct killer killer;
    struct dice dice;
    struct known known[MAX_KNOWN];
    size_t n;
    int violations, uploads, left, looks;
    bool has_orphans; /* files without rows */
};

static void violation(struct run *run, const char *what, const char *about)
{
    printf("blobs: %s: %s\n", what, about);
    run->violations++;
}

static void remember(struct run *run, struct response *r, const char *at)
{
    struct known *known = &run->known[run->n];
    if (run->n == MAX_KNOWN)
        return;
    known->bytes = json_int(r, text_of("%sbytes", at).s);
    (void)snprintf(known->id, sizeof known->id, "%s", json_text(r, text_of("%sid", at).s));
    (void)snprintf(known->sha, sizeof known->sha, "%s", json_text(r, text_of("%ssha256", at).s));
    run->n++;
}

/* False: no answer. */
static bool upload(struct run *run)
{
    const size_t n = dice_below(&run->dice, MAX_BYTES);
    const char *headers[] = {BLOB_TYPE, NULL};
    AUTO_TEXT bytes = blob_bytes(n, dice_roll(&run->dice));
    struct call call = {
        .method = "POST", .path = "/v1/blobs", .body = bytes, .body_len = n, .headers = headers};
    AUTO_RESPONSE r = http_try(&run->s, &call);
    if (r == NULL)
        return false;
    if (r->status != 201)
        return true;
    if (strcmp(json_text(r, "sha256"), sha256_of(bytes, n).s) != 0)
        violation(run, "another hash", r->body);
    remember(run, r, "");
    run->uploads++;
    return true;
}

static bool leave(struct run *run)
{
    static const char *const headers[] = {"Prefer: wait=5", NULL};
    AUTO_TEXT body = json_of(
        "{'command':['sh','-c','head -c %u /dev/urandom >a; cp a b'],'outputs':['a','b']}",
        1 + dice_below(&run->dice, 300000));
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = body,
                        .body_len = strlen(body),
                        .headers = headers};
    AUTO_RESPONSE r = http_try(&run->s, &call);
    if (r == NULL)
        return false;
    if (r->status != 200 || strcmp(json_text(r, "state"), "succeeded") != 0)
        return true;
    remember(run, r, "outputs.0.");
    remember(run, r, "outputs.1.");
    run->left++;
    return true;
}

/* False: no answer. */
static bool check_one(struct run *run, const struct known *known)
{
    struct text path = text_of("/v1/blobs/%s", known->id);
    struct call call = {.method = "GET", .path = path.s};
    AUTO_RESPONSE r = http_try(&run->s, &call);
    if (r == NULL)
        return false;
    if (r->status != 200 || (int64_t)r->len != known->bytes ||
        strcmp(sha256_of(r->body, r->len).s, known->sha) != 0)
        violation(run, "an acknowledged blob is not what it was", known->id);
    run->looks++;
    return true;
}

/* The newest ones, which the kill may have met, and as many of all. False: no answer. */
static bool check_some(struct run *run)
{
    bool alive = true;
    for (size_t i = 1; alive && i <= LOOKED_AT && i <= run->n; i++)
        alive = check_one(run, &run->known[run->n - i]);
    for (size_t i = 0; alive && i < LOOKED_AT && run->n > 0; i++)
        alive = check_one(run, &run->known[dice_below(&run->dice, (uint32_t)run->n)]);
    return alive;
}

static void recover(struct run *run)
{
    (void)pthread_mutex_lock(&run->killer.lock);
    int code = server_wait_exit(&run->s, 20);
    run->killer.server = 0;
    if (code != 128 + SIGKILL)
        violation(run, "the server ended by itself", text_of("%d", code).s);
    server_restart(&run->s, NULL);
    run->killer.server = run->s.pid;
    (void)pthread_mutex_unlock(&run->killer.lock);
}

/* Nothing is under way: each file has its row. */
static void check_files(struct run *run)
{
    const size_t files = blob_files(&run->s);
    AUTO_RESPONSE metrics = http_get(&run->s, "/metrics");
    const char *at = strstr(metrics->body, "\nganger_blobs ");
    CHECK(at != NULL, "no such metric");
    const size_t rows = strtoull(at + 14, NULL, 10);
    run->has_orphans = files > rows;
    if (run->has_orphans)
        printf("blobs: files without rows: %zu files, %zu rows\n", files, rows);
    if (files < rows)
        violation(run, "rows without files", text_of("%zu files, %zu rows", files, rows).s);
}

static void storm(struct run *run, int kills, uint64_t seed)
{
    static const uint32_t server_only[VICTIM_COUNT] = {1, 0, 0, 0};
    killer_start(&run->killer, seed + 1, server_only, 150);
    run->killer.server = run->s.pid;
    while (killer_count(&run->killer) < kills) {
        bool alive = dice_below(&run->dice, 3) == 0 ? leave(run) : upload(run);
        while (!alive) {
            recover(run);
            alive = check_some(run);
        }
    }
    killer_stop(&run->killer);
    struct call call = {.method = "GET", .path = "/v1/pool"};
    for (int calm = 0; calm < 20; calm++) {
        AUTO_RESPONSE r = http_try(&run->s, &call);
        if (r == NULL) {
            recover(run);
            calm = 0;
        }
        pause_ms(10);
    }
    /* What a worker had in hand when it died with the server is swept at the next start. */
    server_kill(&run->s);
    server_restart(&run->s, NULL);
    for (size_t i = 0; i < run->n; i++)
        CHECK(check_one(run, &run->known[i]), "no answer");
    check_files(run);
}

int main(int argc, char **argv)
{
    static struct run run;
    uint64_t seed = now_ns();
    int kills = 20;
    bool has_bug = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed-bug") == 0)
            has_bug = true;
        else
            kills = (int)strtol(argv[i], NULL, 10);
    }
    struct server_options options = {.workers = 2, .unchecked = true};
    options.env[0] = has_bug ? "GANGER_BUG=no-blob-sweep" : NULL;
    run.dice.state = seed;
    printf("blobs: seed %llu\n", (unsigned long long)seed);
    (void)fflush(stdout);
    server_start(&run.s, &options);
    storm(&run, kills, seed);
    server_stop(&run.s);
    const bool passed = run.violations == 0 && run.has_orphans == has_bug;
    printf("blobs: %d kills, %d uploads, %d jobs with files, %zu blobs known, %d looks, "
           "%d violations\n",
           killer_count(&run.killer), run.uploads, run.left, run.n, run.looks, run.violations);
    printf("result: %d passed, %d failed\n", passed, !passed);
    return passed ? 0 : 1;
}

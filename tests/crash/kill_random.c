/* SPDX-License-Identifier: MIT */
/* kill_random [KILLS] [--seed N] [--seed-bug NAME]
 *
 * Submits jobs without pause, while others use all verbs on many jobs (mix.h) and a thread kills -9
 * a random process of the family (server, zygote, worker, job, runner) at random moments; restarts
 * the server each time; then checks G2, G3, G4 and G12 (docs/testing.md) with the oracle, and that
 * all counts are those of the rows. The seed is printed, so that a run can be repeated (as far as
 * the kernel's scheduling allows).
 *
 * --seed-bug is the negative control: the server runs with a known bug compiled into it
 * (GANGER_BUG), and this program succeeds only if the bug was caught. A harness that cannot see its
 * seeded bug does not count. */
#include "crash/killer.h"
#include "crash/mix.h"
#include "crash/oracle.h"
#include "integration/harness_config.h"

#include <signal.h>
#include <unistd.h>

#define MAX_BULK 30

struct run {
    struct server server;
    struct oracle oracle;
    struct killer killer;
    struct mix mix;
    struct dice dice;
    uint64_t seed;
    int wanted_kills, n_early_kills;
    const char *bug;
    uint64_t n_requests;
    struct text pending_key, pending_body; /* a single submission whose answer was cut off; "" =
                                              none */
    int pending_attempts;
    struct text mark;
};

static int run_kills(const struct run *run)
{
    return killer_count(&run->killer) + run->n_early_kills;
}

/* What tests/runners/mark.sh gets: it tells its life in the same words. Half of these calls leave
 * for their worker ahead of their commit, and must keep all promises all the same. */
static struct text call_line(struct run *run, int max_attempts)
{
    const char *function = dice_below(&run->dice, 2) == 0 ? "mark" : "mark_early";
    return text_of("{\"function\":\"%s\",\"args\":[\"0.0%u\"],"
                   "\"retry\":{\"max_attempts\":%d,\"delay\":0}}",
                   function, 1 + dice_below(&run->dice, 9), max_attempts);
}

/* One job as a JSON line. It tells its life in its own words: each is one write to a file opened
 * with O_APPEND, so that lines never mix. */
static struct text job_line(struct run *run, int *ret_max_attempts)
{
    static const char *const work[] = {
        "sleep 0.01;",
        "sleep 0.03;",
        "sleep 0.06;",
        "sleep 60 & sleep 0.03;",
        "(setsid sleep 60 &); sleep 0.02;",
        "test $GANGER_ATTEMPT != 1 || exit 3; sleep 0.02;",
    };
    static const int attempts[] = {1, 1, 2, 4};
    *ret_max_attempts = attempts[dice_below(&run->dice, COUNT_OF(attempts))];
    if (run->bug == NULL && dice_below(&run->dice, 4) == 0)
        return call_line(run, *ret_max_attempts);
    const char *task = work[dice_below(&run->dice, COUNT_OF(work))];
    char command[500];
    (void)snprintf(command, sizeof(command),
                   "echo start $GANGER_JOB_ID $GANGER_ATTEMPT $$ >> $LOG; "
                   "echo out $GANGER_JOB_ID; %s "
                   "echo end $GANGER_JOB_ID $GANGER_ATTEMPT $$ >> $LOG",
                   task);
    return text_of("{\"command\":[\"sh\",\"-c\",\"%s\"],\"env\":{\"LOG\":\"%s\",\"MARK\":\"%s\"},"
                   "\"retry\":{\"max_attempts\":%d,\"delay\":\"%dms\"}}",
                   command, run->oracle.job_log, run->mark.s, *ret_max_attempts,
                   dice_below(&run->dice, 2) == 0 ? 0 : 10);
}

static bool send_single(struct run *run)
{
    struct text key = text_of("Idempotency-Key: %s", run->pending_key.s);
    bool waits = dice_below(&run->dice, 5) == 0;
    const char *headers[] = {key.s, waits ? "Prefer: wait=1" : NULL, NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = run->pending_body.s,
                        .body_len = strlen(run->pending_body.s),
                        .headers = headers};
    AUTO_RESPONSE r = http_try(&run->server, &call);
    if (r == NULL)
        return false;
    if (r->status == 503)
        return true; /* stopping, or full: not acknowledged, tried again */
    CHECK(r->status == 202 || r->status == 200, "a submission: %ld %s", r->status, r->body);
    struct ack *ack = oracle_add(&run->oracle, json_text(r, "id"), run->pending_attempts);
    oracle_sync(&run->oracle);
    if (json_bool(r, "done"))
        oracle_saw(ack, r);
    run->pending_key.s[0] = '\0';
    return true;
}

/* The line's job is acknowledged once its whole answer line is here. */
static void bulk_acknowledge(struct run *run, const struct response *r, const int *max_attempts)
{
    const char *line = r->body;
    for (size_t i = 0; i < MAX_BULK; i++) {
        const char *end = strchr(line, '\n');
        if (end == NULL)
            break;
        cJSON *value = cJSON_ParseWithLength(line, (size_t)(end - line));
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(value, "id");
        if (cJSON_IsString(id))
            (void)oracle_add(&run->oracle, id->valuestring, max_attempts[i]);
        cJSON_Delete(value);
        line = end + 1;
    }
    oracle_sync(&run->oracle);
}

static bool send_bulk(struct run *run)
{
    size_t n = 1 + dice_below(&run->dice, MAX_BULK), len = 0;
    int max_attempts[MAX_BULK] = {0};
    AUTO_TEXT lines = need_alloc(n * sizeof(struct text));
    for (size_t i = 0; i < n; i++) {
        struct text line = job_line(run, &max_attempts[i]);
        len += (size_t)snprintf(lines + len, sizeof(struct text), "%s\n", line.s);
    }
    const char *headers[] = {"Content-Type: application/x-ndjson", NULL};
    struct call call = {
        .method = "POST", .path = "/v1/jobs", .body = lines, .body_len = len, .headers = headers};
    AUTO_RESPONSE r = http_try(&run->server, &call);
    if (r == NULL)
        return false;
    if (r->status == 200)
        bulk_acknowledge(run, r, max_attempts);
    else
        CHECK(r->status == 503, "a bulk submission: %ld %s", r->status, r->body);
    return true;
}

static bool load_step(struct run *run)
{
    run->n_requests++;
    if (run->pending_key.s[0] == '\0') {
        if (run->bug == NULL && dice_below(&run->dice, 8) == 0)
            return send_bulk(run);
        run->pending_body = job_line(run, &run->pending_attempts);
        run->pending_key = text_of("key-%llu-%llu", (unsigned long long)run->seed,
                                   (unsigned long long)run->n_requests);
    }
    if (run->bug == NULL)
        pause_ms((int)dice_below(&run->dice, 10));
    return send_single(run);
}

/* Starts the server, and in one of eight cases kills it before it is ready. */
static void start_again(struct run *run)
{
    for (;;) {
        server_begin(&run->server, NULL);
        if (dice_below(&run->dice, 8) == 0) {
            pause_ms((int)dice_below(&run->dice, 40));
            (void)kill(run->server.pid, SIGKILL);
            (void)server_wait_exit(&run->server, 15);
            run->n_early_kills++;
            continue;
        }
        if (server_await_ready(&run->server))
            return;
        int code = server_wait_exit(&run->server, 15);
        CHECK(false, "the server ended at its start with code %d", code);
    }
}

/* After a failed exchange: the server must have ended, and for a reason. */
static void recover(struct run *run)
{
    (void)pthread_mutex_lock(&run->killer.lock);
    int code = server_wait_exit(&run->server, 20);
    run->killer.server = 0;
    if (code != 128 + SIGKILL && code != 70)
        oracle_violation(&run->oracle, "the server ended by itself with code %d", code);
    start_again(run);
    run->killer.server = run->server.pid;
    (void)pthread_mutex_unlock(&run->killer.lock);
}

static bool run_goes_on(const struct run *run)
{
    if (run->bug != NULL && run->oracle.n_violations > 0)
        return false;
    return run_kills(run) < run->wanted_kills;
}

static void storm(struct run *run)
{
    static const uint32_t normal[VICTIM_COUNT] = {30, 15, 25, 40, 20},
                          server_only[VICTIM_COUNT] = {1};
    killer_start(&run->killer, run->seed + 1, run->bug == NULL ? normal : server_only,
                 run->bug == NULL ? 300 : 60);
    run->killer.server = run->server.pid;
    if (run->bug == NULL)
        mix_start(&run->mix, &run->server, run->oracle.job_log, run->seed);
    while (run_goes_on(run)) {
        bool alive = load_step(run);
        while (!alive) {
            recover(run);
            alive = oracle_check_known(&run->oracle, &run->server);
        }
    }
    killer_stop(&run->killer);
    if (run->bug == NULL)
        mix_stop(&run->mix);
    run->oracle.n_violations += (size_t)run->killer.n_survivors;
}

/* The last kill may have hit the server, or the zygote, whose death ends the server: only an
 * exchange tells. */
static void settle(struct run *run)
{
    struct call call = {.method = "GET", .path = "/v1/pool"};
    for (int calm = 0; calm < 20; calm++) {
        AUTO_RESPONSE r = http_try(&run->server, &call);
        if (r == NULL) {
            recover(run);
            calm = 0;
        }
        pause_ms(10);
    }
}

static void report(const struct run *run)
{
    const struct oracle *o = &run->oracle;
    printf("kill_random: %d kills (", run_kills(run));
    for (int i = 0; i < VICTIM_COUNT; i++)
        printf("%s%s %d", i == 0 ? "" : ", ", victim_name((enum victim)i), run->killer.n_kills[i]);
    printf(", starting server %d), %llu requests, %zu jobs acknowledged: %zu succeeded, %zu "
           "failed, of those %zu lost "
           "(%zu without a start line); %zu violations; seed %llu\n",
           run->n_early_kills, (unsigned long long)run->n_requests, o->n, o->n_succeeded,
           o->n_failed, o->n_lost, o->n_lost_silent, o->n_violations,
           (unsigned long long)run->seed);
}

/* A job may be killed between its start and its first line, so a few lost ones have no line. A
 * server that calls reserved jobs lost would make one for each worker at nearly every kill. */
static void check_silent_losses(struct run *run)
{
    int ends = run->killer.n_kills[VICTIM_SERVER] + run->killer.n_kills[VICTIM_ZYGOTE] +
               run->killer.n_kills[VICTIM_WORKER];
    size_t bound = 5 + (size_t)ends / 2;
    if (run->oracle.n_lost_silent > bound)
        oracle_violation(&run->oracle, "G3: %zu jobs are lost that never ran (bound %zu)",
                         run->oracle.n_lost_silent, bound);
}

static int finish(struct run *run)
{
    settle(run);
    if (run->bug == NULL) {
        mix_settle(&run->server, &run->oracle);
        mix_check_notes(&run->mix, &run->server, &run->oracle);
    }
    oracle_check_all(&run->oracle, &run->server);
    if (run->bug == NULL)
        check_silent_losses(run);
    (void)kill(run->server.pid, SIGTERM);
    int code = server_wait_exit(&run->server, 30);
    if (code != 0)
        oracle_violation(&run->oracle, "the last drain ended with code %d", code);
    if (proc_count_marked(run->mark.s) > 0)
        oracle_violation(&run->oracle, "G12: %zu processes are left",
                         proc_count_marked(run->mark.s));
    oracle_check_files(&run->oracle, run->server.dir);
    if (run->bug == NULL)
        mix_check_file(&run->oracle, run->server.dir);
    report(run);
    bool passed = run->bug == NULL ? run->oracle.n_violations == 0 : run->oracle.n_violations > 0;
    if (run->bug != NULL)
        printf("kill_random: the seeded bug %s was %s\n", run->bug,
               passed ? "caught" : "NOT caught");
    oracle_close(&run->oracle);
    if (passed) {
        run->server.keep_dir = false;
        server_forget(&run->server);
    }
    printf("result: %d passed, %d failed\n", passed, !passed);
    return passed ? 0 : 1;
}

static void read_arguments(struct run *run, int argc, char **argv)
{
    run->wanted_kills = 40;
    run->seed = now_ns();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            run->seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed-bug") == 0 && i + 1 < argc)
            run->bug = argv[++i];
        else
            run->wanted_kills = (int)strtol(argv[i], NULL, 10);
    }
    CHECK(run->wanted_kills > 0, "usage: kill_random [KILLS] [--seed N] [--seed-bug NAME]");
}

/* Its log is that of the oracle, whose directory the server makes beside its own. */
static struct text registry_of(const char *dir, const char *mark)
{
#define MARK(more)                                                           \
    "kind = runner\ncall = work\n"                                           \
    "runner = [\"sh\", \"" GANGER_SOURCE_DIR "/runners/ganger_runner.sh\", " \
    "\"" GANGER_SOURCE_DIR "/tests/runners/mark.sh\"]\n"                     \
    "env = {\"LOG\": \"%s.files/jobs.log\", \"MARK\": \"%s\"}\n" more
#define NOTE(more) \
    "kind = native\nmodule = " GANGER_HELPER_DIR "/native_note.so\nsymbol = note\n" more
    return text_of(
        "[function mark]\n" MARK("") "[function mark_early]\n" MARK(
            "pure = true\n") "[function note]\n" NOTE("") "[function note_early]\n" NOTE("pure = "
                                                                                         "true\n"),
        dir, mark, dir, mark);
}

int main(int argc, char **argv)
{
    static struct run run;
    static char bug_variable[100];
    static char dir[128];
    struct server_options options = {.dir = dir, .workers = 4, .unchecked = true};
    read_arguments(&run, argc, argv);
    if (run.bug != NULL) {
        (void)snprintf(bug_variable, sizeof(bug_variable), "GANGER_BUG=%s", run.bug);
        options.env[0] = bug_variable;
    }
    run.dice.state = run.seed;
    printf("kill_random: seed %llu\n", (unsigned long long)run.seed);
    (void)fflush(stdout);
    temp_dir_make(dir, sizeof(dir));
    run.mark = text_of("%s.mark", dir);
    const struct config_file config = config_write(registry_of(dir, run.mark.s).s);
    options.args[0] = "--config";
    options.args[1] = config.path;
    server_start(&run.server, &options);
    oracle_open(&run.oracle, run.server.scratch);
    storm(&run);
    const int status = finish(&run);
    config_remove(&config);
    return status;
}

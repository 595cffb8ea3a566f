/* SPDX-License-Identifier: MIT */
/* The modes that read streams of results. The lines are counted as they come, nothing is kept: the
 * reader runs on the processors that it measures. */
#define _GNU_SOURCE
#include "common.h"
#include "load/check.h"
#include "load/job.h"
#include "load/modes.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE_BYTES (256u * 1024)
#define BATCH_ITEMS 100

/* An answer with Transfer-Encoding: chunked, read piece by piece. */
struct stream {
    struct client *client;
    char *piece;
    size_t len, at;
    size_t chunk_left;
    int64_t n_lines;
    char last[160]; /* the line that is being read */
    size_t last_len;
    char whole[160]; /* the last line that was whole */
};

static void more(struct stream *s)
{
    ssize_t n = read(client_fd(s->client), s->piece, PIECE_BYTES);
    if (n <= 0)
        die("the stream breaks off after %lld lines", (long long)s->n_lines);
    s->len = (size_t)n;
    s->at = 0;
}

static char next_byte(struct stream *s)
{
    if (s->at == s->len)
        more(s);
    return s->piece[s->at++];
}

/* Over a connection that is the caller's. */
static struct stream *stream_open(struct client *client, const char *path)
{
    struct stream *s = must_alloc(sizeof(*s));
    struct request request = {
        .method = "GET", .path = path, .headers = "Accept: application/x-ndjson\r\n"};
    char status[16] = "";
    size_t n = 0;
    s->client = client;
    s->piece = must_alloc(PIECE_BYTES);
    client_send(s->client, &request);
    for (uint32_t end = 0; end != 0x0d0a0d0a;) { /* the empty line behind the head */
        char c = next_byte(s);
        if (n < sizeof(status) - 1)
            status[n++] = c;
        end = end << 8 | (unsigned char)c;
    }
    if (strstr(status, " 200") == NULL)
        die("%s: %s", path, status);
    return s;
}

static void stream_close(struct stream *s)
{
    free(s->piece);
    free(s);
}

/* The size of the next chunk; the line break behind the last one is passed over. */
static size_t chunk_size(struct stream *s)
{
    char text[24] = "";
    size_t n = 0;
    for (char c = 0; c != '\n' || n == 0;) {
        c = next_byte(s);
        if (c != '\r' && c != '\n' && n < sizeof(text) - 1)
            text[n++] = c;
    }
    return (size_t)strtoull(text, NULL, 16);
}

static void keep(struct stream *s, const char *from, size_t len)
{
    size_t room = sizeof(s->last) - 1 - s->last_len;
    size_t n = len < room ? len : room;
    memcpy(s->last + s->last_len, from, n);
    s->last_len += n;
}

/* Reads until `wanted` lines in all have come, or the answer has ended. Empty lines are signs of
 * life. False: it has ended. */
static bool stream_lines(struct stream *s, int64_t wanted)
{
    while (s->n_lines < wanted) {
        if (s->chunk_left == 0 && (s->chunk_left = chunk_size(s)) == 0) {
            (void)next_byte(s); /* the empty line that ends the answer */
            (void)next_byte(s);
            return false;
        }
        if (s->at == s->len)
            more(s);
        size_t have = s->len - s->at < s->chunk_left ? s->len - s->at : s->chunk_left;
        const char *from = s->piece + s->at, *end = memchr(from, '\n', have);
        size_t used = end == NULL ? have : (size_t)(end - from) + 1;
        keep(s, from, end == NULL ? used : used - 1);
        s->at += used;
        s->chunk_left -= used;
        if (end == NULL)
            continue;
        s->n_lines += s->last_len > 0 ? 1 : 0;
        memcpy(s->whole, s->last, s->last_len);
        s->whole[s->last_len] = '\0';
        s->last_len = 0;
    }
    return true;
}

/* All `n` results and the line that ends them. */
static void read_all(struct stream *s, int64_t n)
{
    if (stream_lines(s, INT64_MAX) || s->n_lines != n + 1 ||
        strstr(s->whole, "\"done\":true,\"state\":\"succeeded\"") == NULL)
        die("%lld lines, the last one is %s", (long long)s->n_lines, s->whole);
}

/* ------------------------------------------------------------------------------------------------
 * batches */

static void put_what(const struct plan *plan, FILE *out)
{
    if (plan->function != NULL) {
        fprintf(out, "\"function\":\"%s\"", plan->function);
        return;
    }
    if (plan->argc == 0)
        die("no command");
    fprintf(out, "\"command\":[");
    for (int i = 0; i < plan->argc; i++)
        fprintf(out, "%s\"%s\"", i == 0 ? "" : ",", plan->argv[i]);
    fprintf(out, "],\"star\":true");
}

/* Those of a command add no argument, so that the same program runs as alone (/bin/true does more
 * when it has one); those of a function are ARGV in turn. */
static const char *item_of(const struct plan *plan, int64_t i)
{
    if (plan->function == NULL)
        return "[]";
    return plan->argc == 0 ? JOB_ARGUMENT : plan->argv[i % plan->argc];
}

/* The request that makes a batch. */
struct batch_body {
    char *bytes; /* the caller frees */
    size_t len;
    bool is_lines; /* NDJSON, when one JSON body would be too large */
};

static struct batch_body batch_body(const struct plan *plan, bool open, int64_t n)
{
    struct batch_body body = {.is_lines = plan->function != NULL && n > 5000};
    FILE *out = open_memstream(&body.bytes, &body.len);
    if (out == NULL)
        die("no memory");
    fprintf(out, "{\"queue\":\"%s\",\"open\":%s,", plan->queue, open ? "true" : "false");
    if (plan->chunk > 0)
        fprintf(out, "\"chunksize\":%lld,", (long long)plan->chunk);
    put_what(plan, out);
    fprintf(out, "%s", body.is_lines ? "}\n" : ",\"items\":[");
    for (int64_t i = 0; i < n; i++)
        fprintf(out, "%s%s%s", i == 0 || body.is_lines ? "" : ",", item_of(plan, i),
                body.is_lines ? "\n" : "");
    fprintf(out, "%s", body.is_lines ? "" : "]}");
    fclose(out);
    return body;
}

static void post(struct client *client, const char *path, const struct batch_body *body,
                 struct answer *ret)
{
    struct request request = {.method = "POST",
                              .path = path,
                              .body = body->bytes,
                              .body_len = body->len,
                              .type = body->is_lines ? "application/x-ndjson" : NULL};
    client_ask(client, &request, ret);
    check_status(ret, body->len > 0 ? 202 : 200, path);
}

static void batch_post(struct client *client, const struct batch_body *body,
                       char ret_id[JOB_ID_BYTES])
{
    struct answer answer;
    post(client, "/v1/batches", body, &answer);
    check_job_id(answer.body, ret_id);
}

static void batch_create(const struct plan *plan, bool open, int64_t n, char ret_id[JOB_ID_BYTES])
{
    struct client *client = client_open(plan->port, plan->token);
    struct batch_body body = batch_body(plan, open, n);
    batch_post(client, &body, ret_id);
    free(body.bytes);
    client_close(client);
}

static void batch_await(const struct plan *plan, const char *id)
{
    struct client *client = client_open(plan->port, plan->token);
    struct answer answer;
    char path[128];
    snprintf(path, sizeof(path), "/v1/batches/%s", id);
    struct request request = {.method = "GET", .path = path, .headers = "Prefer: wait=50\r\n"};
    do {
        client_ask(client, &request, &answer);
        check_status(&answer, 200, path);
    } while (strstr(answer.body, "\"done\":true") == NULL);
    client_close(client);
}

static struct stream *results_open(struct client *client, const char *id)
{
    char path[128];
    snprintf(path, sizeof(path), "/v1/batches/%s/results?order=completed", id);
    return stream_open(client, path);
}

/* A finished batch of N, read once; events per second from the request to the last byte. */
void mode_results(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    batch_create(plan, false, plan->n, id);
    batch_await(plan, id);
    pause_ns(200000000);
    uint64_t start_ns = now_ns();
    struct client *client = client_open(plan->port, plan->token); /* one that waits is closed */
    struct stream *s = results_open(client, id);
    read_all(s, plan->n);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    stream_close(s);
    client_close(client);
    printf("%s: %.0f events/s\n", plan->name, (double)plan->n / took_s);
}

/* A batch of N and its stream, from the request to the line that ends it. */
void mode_through(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    struct client *client = client_open(plan->port, plan->token);
    struct batch_body body = batch_body(plan, false, plan->n);
    uint64_t start_ns = now_ns();
    batch_post(client, &body, id);
    struct stream *s = results_open(client, id);
    read_all(s, plan->n);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    stream_close(s);
    client_close(client);
    free(body.bytes);
    printf("%s: %.0f jobs/s  all: %.3f ms\n", plan->name, (double)plan->n / took_s, took_s * 1e3);
}

/* N items as they are added to an open batch. */
static struct batch_body items_body(const struct plan *plan, int64_t n)
{
    struct batch_body body = {.is_lines = true};
    FILE *out = open_memstream(&body.bytes, &body.len);
    if (out == NULL)
        die("no memory");
    for (int64_t i = 0; i < n; i++)
        fprintf(out, "%s\n", item_of(plan, i));
    fclose(out);
    return body;
}

/* Of the open batch `id`. */
static void batch_tell(struct client *client, const char *id, const char *verb,
                       const struct batch_body *body)
{
    struct answer answer;
    char path[128];
    snprintf(path, sizeof(path), "/v1/batches/%s/%s", id, verb);
    post(client, path, body, &answer);
}

/* Who reads while the items still go in. */
struct reading {
    const struct plan *plan;
    const char *id;
};

static void *read_stream(void *arg)
{
    const struct reading *r = arg;
    struct client *client = client_open(r->plan->port, r->plan->token);
    struct stream *s = results_open(client, r->id);
    read_all(s, r->plan->n);
    stream_close(s);
    client_close(client);
    return NULL;
}

/* As imap_unordered: N items go in while their results come out, from the making of the batch to
 * the line that ends its stream. */
void mode_imap(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    pthread_t reader;
    const struct reading reading = {plan, id};
    const struct batch_body none = {0};
    struct client *client = client_open(plan->port, plan->token);
    struct batch_body items = items_body(plan, plan->n);
    uint64_t start_ns = now_ns();
    batch_create(plan, true, 0, id);
    if (pthread_create(&reader, NULL, read_stream, (void *)&reading) != 0)
        die("no thread");
    batch_tell(client, id, "jobs", &items);
    batch_tell(client, id, "close", &none);
    pthread_join(reader, NULL);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    client_close(client);
    free(items.bytes);
    printf("%s: %.0f jobs/s  all: %.3f ms\n", plan->name, (double)plan->n / took_s, took_s * 1e3);
}

/* What the threads of `batches` share. */
struct rounds {
    const struct plan *plan;
    struct batch_body body;
    _Atomic int64_t left; /* batches that nobody has begun */
};

static void *make_batches(void *arg)
{
    struct rounds *rounds = arg;
    char id[JOB_ID_BYTES];
    struct client *client = client_open(rounds->plan->port, rounds->plan->token);
    while (atomic_fetch_sub(&rounds->left, 1) > 0) {
        batch_post(client, &rounds->body, id);
        struct stream *s = results_open(client, id);
        read_all(s, BATCH_ITEMS);
        stream_close(s);
    }
    client_close(client);
    return NULL;
}

void mode_batches(const struct plan *plan)
{
    pthread_t threads[MAX_CONNECTIONS];
    struct rounds rounds = {
        .plan = plan, .body = batch_body(plan, false, BATCH_ITEMS), .left = plan->n / BATCH_ITEMS};
    int64_t n = rounds.left * BATCH_ITEMS;
    uint64_t start_ns = now_ns();
    for (int i = 0; i < plan->n_connections; i++) {
        if (pthread_create(&threads[i], NULL, make_batches, &rounds) != 0)
            die("no thread");
    }
    for (int i = 0; i < plan->n_connections; i++)
        pthread_join(threads[i], NULL);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    printf("%s: %.0f jobs/s\n", plan->name, (double)n / took_s);
    free(rounds.body.bytes);
}

/* ------------------------------------------------------------------------------------------------
 * commit to event */

/* What limits/synctime.c notes. */
static _Atomic uint64_t *sync_time(void)
{
    const char *path = getenv("GANGER_SYNC_TIME");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        die("GANGER_SYNC_TIME names no file of limits/synctime.c");
    close(fd);
    return map;
}

/* N jobs one after the other, each an element of an open batch whose stream is open: from the
 * return of the fdatasync that made its end durable to its line. Nothing is stored in between. */
void mode_lag(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    uint64_t *samples_ns = must_alloc((size_t)plan->n * sizeof(*samples_ns));
    struct client *client = client_open(plan->port, plan->token);
    const _Atomic uint64_t *synced_ns = sync_time();
    struct client *reader = client_open(plan->port, plan->token);
    batch_create(plan, true, 0, id);
    struct stream *s = results_open(reader, id);
    struct batch_body item = items_body(plan, 1);
    for (int64_t i = 0; i < plan->n; i++) {
        batch_tell(client, id, "jobs", &item);
        if (!stream_lines(s, i + 1))
            die("the stream has ended");
        samples_ns[i] = now_ns() - atomic_load(synced_ns);
    }
    samples_sort(samples_ns, (size_t)plan->n);
    printf("%s: p50 %.1f us p99 %.1f us\n", plan->name, samples_us(samples_ns, (size_t)plan->n, 50),
           samples_us(samples_ns, (size_t)plan->n, 99));
    stream_close(s);
    free(item.bytes);
    client_close(reader);
    client_close(client);
    free(samples_ns);
}

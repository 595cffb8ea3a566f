/* SPDX-License-Identifier: MIT */
/* The modes that read streams of results. The lines are counted as they come, nothing is kept: the
 * reader runs on the processors that it measures. */
#define _GNU_SOURCE
#include "common.h"
#include "load/check.h"
#include "load/modes.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE_BYTES (256u * 1024)

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

static struct stream *stream_open(const struct plan *plan, const char *path)
{
    struct stream *s = must_alloc(sizeof(*s));
    struct request request = {
        .method = "GET", .path = path, .headers = "Accept: application/x-ndjson\r\n"};
    char status[16] = "";
    size_t n = 0;
    s->client = client_open(plan->port, plan->token);
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
    client_close(s->client);
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
        if (s->chunk_left == 0 && (s->chunk_left = chunk_size(s)) == 0)
            return false;
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

/* All results and the line that ends them. */
static void read_all(const struct plan *plan, struct stream *s)
{
    if (stream_lines(s, INT64_MAX) || s->n_lines != plan->n + 1 ||
        strstr(s->whole, "\"done\":true,\"state\":\"succeeded\"") == NULL)
        die("%lld lines, the last one is %s", (long long)s->n_lines, s->whole);
}

/* ------------------------------------------------------------------------------------------------
 * batches */

static void batch_create(const struct plan *plan, bool open, int64_t n, char ret_id[JOB_ID_BYTES])
{
    struct client *client = client_open(plan->port, plan->token);
    struct answer answer;
    char *body = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&body, &len);
    if (out == NULL || plan->argc == 0)
        die("no command, or no memory");
    fprintf(out, "{\"queue\":\"%s\",\"open\":%s,\"command\":[", plan->queue,
            open ? "true" : "false");
    for (int i = 0; i < plan->argc; i++)
        fprintf(out, "%s\"%s\"", i == 0 ? "" : ",", plan->argv[i]);
    fprintf(out, "],\"items\":[");
    for (int64_t i = 0; i < n; i++)
        fprintf(out, "%s%d", i == 0 ? "" : ",", 0);
    fprintf(out, "]}");
    fclose(out);
    struct request request = {
        .method = "POST", .path = "/v1/batches", .body = body, .body_len = len};
    client_ask(client, &request, &answer);
    check_status(&answer, 202, "make a batch");
    check_job_id(answer.body, ret_id);
    free(body);
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

static struct stream *results_open(const struct plan *plan, const char *id)
{
    char path[128];
    snprintf(path, sizeof(path), "/v1/batches/%s/results?order=completed", id);
    return stream_open(plan, path);
}

/* A finished batch of N, read once; events per second from the request to the last byte. */
void mode_results(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    batch_create(plan, false, plan->n, id);
    batch_await(plan, id);
    pause_ns(200000000);
    uint64_t start_ns = now_ns();
    struct stream *s = results_open(plan, id);
    read_all(plan, s);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    stream_close(s);
    printf("%s: %.0f events/s\n", plan->name, (double)plan->n / took_s);
}

/* A batch of N and its stream, from the request to the line that ends it. */
void mode_through(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    uint64_t start_ns = now_ns();
    batch_create(plan, false, plan->n, id);
    struct stream *s = results_open(plan, id);
    read_all(plan, s);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    stream_close(s);
    printf("%s: %.0f jobs/s\n", plan->name, (double)plan->n / took_s);
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

static void add_item(struct client *client, const char *id)
{
    static const char body[] = "{\"items\":[0]}";
    struct answer answer;
    char path[128];
    snprintf(path, sizeof(path), "/v1/batches/%s/jobs", id);
    struct request request = {
        .method = "POST", .path = path, .body = body, .body_len = sizeof(body) - 1};
    client_ask(client, &request, &answer);
    check_status(&answer, 202, "add an item");
}

/* N jobs one after the other, each an element of an open batch whose stream is open: from the
 * return of the fdatasync that made its end durable to its line. Nothing is stored in between. */
void mode_lag(const struct plan *plan)
{
    char id[JOB_ID_BYTES];
    uint64_t *samples_ns = must_alloc((size_t)plan->n * sizeof(*samples_ns));
    struct client *client = client_open(plan->port, plan->token);
    const _Atomic uint64_t *synced_ns = sync_time();
    batch_create(plan, true, 0, id);
    struct stream *s = results_open(plan, id);
    for (int64_t i = 0; i < plan->n; i++) {
        add_item(client, id);
        if (!stream_lines(s, i + 1))
            die("the stream has ended");
        samples_ns[i] = now_ns() - atomic_load(synced_ns);
    }
    samples_sort(samples_ns, (size_t)plan->n);
    printf("%s: p50 %.1f us p99 %.1f us\n", plan->name, samples_us(samples_ns, (size_t)plan->n, 50),
           samples_us(samples_ns, (size_t)plan->n, 99));
    stream_close(s);
    client_close(client);
    free(samples_ns);
}

/* SPDX-License-Identifier: MIT */
/* million [ELEMENTS]
 *
 * One streamed request makes a batch of ELEMENTS elements (5,000 unless told; ./dev crash uses
 * 1,000,000). While they run, its results are read as they complete by a client that drops its
 * connection three times, and the server is killed -9 in the middle. Each index must arrive exactly
 * once, and the server must not have grown by more than 64 MiB. */
#include "integration/harness_job.h"
#include "integration/harness_proc.h"

#include <curl/curl.h>

#define MAX_GROWTH_KIB (64L * 1024)

/* ---- the upload: lines are made as libcurl asks for them ---- */

struct upload {
    size_t n, next; /* items */
    char line[64];
    size_t line_at, line_len;
    char answer[4096];
    size_t answer_len;
};

static size_t give_lines(char *to, size_t size, size_t count, void *arg)
{
    struct upload *u = arg;
    size_t room = size * count, used = 0;
    while (used < room) {
        if (u->line_at == u->line_len) {
            if (u->next == u->n)
                break;
            u->line_at = 0;
            u->line_len = (size_t)snprintf(u->line, sizeof(u->line), "\"item %zu\"\n", u->next++);
        }
        size_t part = u->line_len - u->line_at;
        if (part > room - used)
            part = room - used;
        memcpy(to + used, u->line + u->line_at, part);
        u->line_at += part;
        used += part;
    }
    return used;
}

static size_t take_answer(char *bytes, size_t size, size_t count, void *arg)
{
    struct upload *u = arg;
    size_t len = size * count;
    CHECK(u->answer_len + len < sizeof(u->answer), "the answer is too long");
    memcpy(u->answer + u->answer_len, bytes, len);
    u->answer_len += len;
    return len;
}

static CURL *new_request(const struct server *s, const char *path, struct curl_slist **headers)
{
    CURL *curl = curl_easy_init();
    CHECK(curl != NULL, "libcurl");
    *headers = curl_slist_append(*headers, text_of("Authorization: Bearer %s", s->token).s);
    curl_easy_setopt(curl, CURLOPT_URL, text_of("%s%s", s->url, path).s);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    return curl;
}

/* The header line of the batch comes first. Returns its id. */
static struct job_ref upload_batch(struct server *s, size_t n)
{
    struct upload u = {.n = n};
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-ndjson");
    long status = 0;
    headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
    headers = curl_slist_append(headers, "Expect:");
    CURL *curl = new_request(s, "/v1/batches", &headers);
    u.line_len = (size_t)snprintf(u.line, sizeof(u.line), "{\"command\":[\"/bin/true\"]}\n");
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_lines);
    curl_easy_setopt(curl, CURLOPT_READDATA, &u);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &u);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    CHECK(code == CURLE_OK && status == 202, "upload: %s, status %ld: %s", curl_easy_strerror(code),
          status, u.answer);
    cJSON *batch = cJSON_ParseWithLength(u.answer, u.answer_len);
    CHECK(batch != NULL, "no JSON: %s", u.answer);
    const cJSON *id = json_at(batch, "id"), *total = json_at(batch, "total");
    CHECK(cJSON_IsString(id) && cJSON_IsNumber(total) && (size_t)total->valuedouble == n,
          "not the batch: %s", u.answer);
    struct job_ref ref;
    (void)snprintf(ref.id, sizeof(ref.id), "%s", id->valuestring);
    cJSON_Delete(batch);
    return ref;
}

/* ---- the results: each line once, over as many connections as it takes ---- */

struct reader {
    size_t n;
    uint8_t *seen;   /* how often each index came */
    size_t received; /* lines: also the place in the order of completion */
    size_t stop_at;  /* drop the connection after so many */
    size_t succeeded;
    char *line;
    size_t len, cap;
    bool ended;
};

static void take_line(struct reader *r)
{
    cJSON *line = cJSON_ParseWithLength(r->line, r->len);
    CHECK(line != NULL, "a line is no JSON: %.*s", (int)r->len, r->line);
    const cJSON *index = json_at(line, "index"), *state = json_at(line, "state");
    if (cJSON_IsTrue(json_at(line, "end"))) {
        r->ended = true;
    } else {
        CHECK(cJSON_IsNumber(index) && (size_t)index->valuedouble < r->n, "no result: %.*s",
              (int)r->len, r->line);
        r->seen[(size_t)index->valuedouble]++;
        r->received++;
        r->succeeded += strcmp(state->valuestring, "succeeded") == 0;
    }
    cJSON_Delete(line);
}

static size_t take_results(char *bytes, size_t size, size_t count, void *arg)
{
    struct reader *r = arg;
    size_t len = size * count;
    for (size_t i = 0; i < len; i++) {
        if (r->received == r->stop_at)
            return 0; /* libcurl drops the connection; what came behind is lost to this client */
        if (r->len + 1 >= r->cap) {
            r->cap = r->cap == 0 ? 1024 : r->cap * 2;
            r->line = need_realloc(r->line, r->cap);
        }
        if (bytes[i] != '\n') {
            r->line[r->len++] = bytes[i];
            continue;
        }
        if (r->len > 0)
            take_line(r);
        r->len = 0;
    }
    return len;
}

/* Reads on from where the last connection ended, until stop_at, the end, or a lost connection. */
static void read_results(struct server *s, struct job_ref batch, struct reader *r)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/x-ndjson");
    CURL *curl = new_request(
        s, text_of("/v1/batches/%s/results?order=completed&after=%zu", batch.id, r->received).s,
        &headers);
    r->len = 0; /* half a line of the last connection comes again as a whole */
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_results);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
    (void)curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
}

static void read_until(struct server *s, struct job_ref batch, struct reader *r, size_t stop_at)
{
    r->stop_at = stop_at;
    while (!r->ended && r->received < stop_at) {
        size_t before = r->received;
        read_results(s, batch, r);
        CHECK(r->received > before || r->ended, "the stream brought nothing after %zu results",
              before);
    }
}

static size_t count_wrong(const struct reader *r)
{
    size_t wrong = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (r->seen[i] == 1)
            continue;
        if (wrong++ < 5)
            printf("million: index %zu came %u times\n", i, r->seen[i]);
    }
    return wrong;
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000;
    struct server_options options = {.workers = 2, .unchecked = true};
    struct server s;
    CHECK(n >= 100, "usage: million [ELEMENTS]");
    server_start(&s, &options);
    struct reader r = {.n = n, .seen = need_alloc(n)};
    {
        AUTO_RESPONSE warm = job_run(&s, "{'command':['true']}");
    }
    long rss_before = proc_rss_kib(s.pid);
    uint64_t start = now_ns();
    struct job_ref batch = upload_batch(&s, n);
    double upload_s = seconds_since(start);
    long rss_accepted = proc_rss_kib(s.pid);

    read_until(&s, batch, &r, n / 4);
    read_until(&s, batch, &r, n / 2);
    long rss_running = proc_rss_kib(s.pid);
    server_kill(&s);
    server_restart(&s, NULL);
    read_until(&s, batch, &r, n / 4 * 3);
    read_until(&s, batch, &r, SIZE_MAX);
    double total_s = seconds_since(start);
    long rss_end = proc_rss_kib(s.pid);

    size_t wrong = count_wrong(&r);
    long grown = rss_accepted > rss_running ? rss_accepted : rss_running;
    grown = (rss_end > grown ? rss_end : grown) - rss_before;
    /* An attempt that ran when the server was killed is `lost`; there are at most as many as banks.
     */
    bool few_lost = r.succeeded + 64 >= n;
    printf("million: %zu elements taken in %.1f s (%.0f/s), all read in %.1f s (%.0f/s)\n", n,
           upload_s, (double)n / upload_s, total_s, (double)n / total_s);
    printf("million: every index exactly once: %s (%zu wrong, %zu succeeded)\n",
           wrong == 0 && r.ended ? "yes" : "NO", wrong, r.succeeded);
    printf("million: resident memory +%.1f MiB (goal <= 64): %s\n", (double)grown / 1024,
           grown <= MAX_GROWTH_KIB ? "reached" : "MISSED");
    int failed = (wrong != 0 || !r.ended) + !few_lost + (grown > MAX_GROWTH_KIB);
    printf("result: %d passed, %d failed\n", 3 - failed, failed);
    server_stop(&s);
    free(r.seen);
    free(r.line);
    return failed == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: MIT */
/* large [MIB]
 *
 * Arguments and results of a gigabyte (1024 MiB): uploaded as a blob, given to a native function
 * and to a runner as an argument and returned by them as their result, given to a command as
 * standard input and written by it to standard output, left by a command as a file. Each way the
 * bytes are right, and the memory of the server has never grown by more than a thirty-second of
 * them, or 4 MiB. */
#include "integration/harness_blob.h"
#include "integration/harness_config.h"
#include "integration/harness_proc.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#define ODD GANGER_SOURCE_DIR "/tests/runners/odd.py"
#define RUNNER                          \
    "[blobs]\nmemory = 4GiB\n"          \
    "[function relay]\nkind = runner\n" \
    "runner = [\"python3\", \"" ODD "\", \"well\", \"shm\"]\n"

/* Bytes that come and go: hashed, never kept. */
struct stream {
    struct sha256_ctx sha;
    uint64_t left, n, seed;
};

static size_t give(char *to, size_t one, size_t max, void *owner)
{
    struct stream *s = owner;
    size_t n = one * max < s->left ? one * max : (size_t)s->left;
    for (size_t i = 0; i < n; i++) {
        s->seed = s->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        to[i] = (char)(s->seed >> 56);
    }
    sha256_update(&s->sha, n, (const uint8_t *)to);
    s->left -= n;
    return n;
}

static size_t take(char *bytes, size_t one, size_t n, void *owner)
{
    struct stream *s = owner;
    sha256_update(&s->sha, one * n, (const uint8_t *)bytes);
    s->n += one * n;
    return one * n;
}

static size_t gather(char *bytes, size_t one, size_t n, void *owner)
{
    struct text *text = owner;
    const size_t len = strlen(text->s);
    (void)snprintf(text->s + len, sizeof text->s - len, "%.*s", (int)(one * n), bytes);
    return one * n;
}

static CURL *open_call(struct server *s, const char *path, struct curl_slist **headers)
{
    CURL *curl = curl_easy_init();
    CHECK(curl != NULL, "no memory");
    *headers = curl_slist_append(NULL, text_of("Authorization: Bearer %s", s->token).s);
    *headers = curl_slist_append(*headers, "Content-Type: application/octet-stream");
    (void)curl_easy_setopt(curl, CURLOPT_URL, text_of("%s%s", s->url, path).s);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    return curl;
}

static void close_call(CURL *curl, struct curl_slist *headers, long status)
{
    long got = 0;
    const CURLcode code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &got);
    CHECK(code == CURLE_OK && got == status, "%s, HTTP %ld", curl_easy_strerror(code), got);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

static struct job_ref upload(struct server *s, uint64_t bytes, struct text *ret_sha)
{
    struct stream from = {.left = bytes, .seed = 17};
    struct curl_slist *headers;
    struct text answer = {0};
    struct job_ref id = {0};
    sha256_init(&from.sha);
    CURL *curl = open_call(s, "/v1/blobs", &headers);
    (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
    (void)curl_easy_setopt(curl, CURLOPT_READDATA, &from);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, gather);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    close_call(curl, headers, 201);
    *ret_sha = sha256_hex(&from.sha);
    CHECK(strstr(answer.s, ret_sha->s) != NULL, "another hash: %s", answer.s);
    const char *at = strstr(answer.s, "\"id\":\"");
    CHECK(at != NULL, "no id: %s", answer.s);
    (void)snprintf(id.id, sizeof id.id, "%.36s", at + 6);
    return id;
}

static void expect_bytes(struct server *s, const char *path, uint64_t bytes, const char *sha)
{
    struct stream to = {0};
    struct curl_slist *headers;
    sha256_init(&to.sha);
    CURL *curl = open_call(s, path, &headers);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &to);
    close_call(curl, headers, 200);
    CHECK(to.n == bytes, "%llu bytes", (unsigned long long)to.n);
    CHECK(strcmp(sha256_hex(&to.sha).s, sha) == 0, "other bytes at %s", path);
}

/* The peak, in KiB. */
static long peak_kib(pid_t pid)
{
    AUTO_TEXT status = file_read(text_of("/proc/%d/status", pid).s, NULL);
    const char *at = status == NULL ? NULL : strstr(status, "VmHWM:");
    CHECK(at != NULL, "no VmHWM");
    return strtol(at + 6, NULL, 10);
}

static struct job_ref run(struct server *s, const char *task, const struct job_ref *blob)
{
    AUTO_TEXT part = json_of("%s", task);
    char *place = strchr(part, '$');
    CHECK(place != NULL, "no blob");
    *place = '\0';
    struct job_ref job = job_submit(s, "{%s%s%s,'limits':{'output':'4GiB'}}", part, blob->id,
                                    place + 1);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    return job;
}

static void report(const char *what, uint64_t start_ns, struct server *s, long before_kib)
{
    printf("large: %-28s %6.2f s, memory of the server + %ld KiB\n", what, seconds_since(start_ns),
           peak_kib(s->pid) - before_kib);
}

static void scenario(struct server *s, uint64_t bytes)
{
    struct text sha;
    const long before_kib = peak_kib(s->pid);
    uint64_t start = now_ns();
    struct job_ref blob = upload(s, bytes, &sha);
    report("upload", start, s, before_kib);
    start = now_ns();
    struct job_ref job = run(s, "'function':'copy','inputs':{'data':{'blob':'$'}}", &blob);
    expect_bytes(s, text_of("/v1/jobs/%s/result", job.id).s, bytes, sha.s);
    report("argument and result", start, s, before_kib);
    start = now_ns();
    job = run(s, "'function':'relay','args':['relay'],'inputs':{'data':{'blob':'$'}}", &blob);
    expect_bytes(s, text_of("/v1/jobs/%s/result", job.id).s, bytes, sha.s);
    report("the same, of a runner", start, s, before_kib);
    start = now_ns();
    job = run(s, "'command':['cat'],'stdin_from':{'blob':'$'}", &blob);
    expect_bytes(s, text_of("/v1/jobs/%s/stdout", job.id).s, bytes, sha.s);
    report("standard input and output", start, s, before_kib);
    start = now_ns();
    job = run(s, "'command':['cp','data','out'],'inputs':{'data':{'blob':'$'}},'outputs':['out']",
              &blob);
    AUTO_RESPONSE end = job_show(s, job);
    expect_text(end, "outputs.0.sha256", sha.s);
    expect_bytes(s, text_of("/v1/blobs/%s", json_text(end, "outputs.0.id")).s, bytes, sha.s);
    report("a file that is kept", start, s, before_kib);
    const long grown_kib = peak_kib(s->pid) - before_kib;
    if (slow_factor() == 1) /* sanitizers have memory of their own */
        CHECK(grown_kib < (long)(bytes >> 15) || grown_kib < 4096, "grown by %ld KiB", grown_kib);
}

int main(int argc, char **argv)
{
    const uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 10) : 64;
    struct server s;
    CHECK(mib > 0, "how many MiB?");
    server_start_configured(&s, 2, text_of(RUNNER "%s", blob_functions).s);
    scenario(&s, mib << 20);
    server_stop(&s);
    printf("large: %llu MiB went all ways\n", (unsigned long long)mib);
    return 0;
}

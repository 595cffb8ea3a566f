/* SPDX-License-Identifier: MIT */
/* Streams through the real nginx, with the buffering that it has by default. */
#include "integration/harness_items.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *nginx_path(void)
{
    static const char *const paths[] = {"/usr/sbin/nginx", "/usr/bin/nginx",
                                        "/usr/local/sbin/nginx",
                                        GANGER_SOURCE_DIR "/build/nginx/usr/sbin/nginx"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    }
    return NULL;
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &len) == 0,
          "no free port: %s", strerror(errno));
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void write_config(const char *dir, int port, int upstream)
{
    FILE *file = fopen(text_of("%s/nginx.conf", dir).s, "w");
    CHECK(file != NULL, "cannot write the configuration: %s", strerror(errno));
    if (geteuid() == 0)
        (void)fprintf(file, "user root;\n");
    (void)fprintf(file,
                  "daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log %s/error.log;\n"
                  "events { worker_connections 256; }\n"
                  "http {\n    access_log off;\n"
                  "    client_body_temp_path %s/a; proxy_temp_path %s/b; fastcgi_temp_path %s/c;\n"
                  "    uwsgi_temp_path %s/d; scgi_temp_path %s/e;\n"
                  "    server {\n        listen 127.0.0.1:%d;\n"
                  "        location / { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1; }\n"
                  "    }\n}\n",
                  dir, dir, dir, dir, dir, dir, dir, port, upstream);
    CHECK(fclose(file) == 0, "cannot write the configuration");
}

static bool answers(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return ok;
}

/* A server's twin whose port is the proxy's. */
static pid_t proxy_start(const struct server *s, struct server *ret_twin)
{
    struct text dir = text_of("%s/nginx", s->scratch);
    const char *path = nginx_path();
    if (path == NULL)
        cr_skip_test("nginx is not installed: streams through a proxy are NOT tested");
    CHECK(mkdir(dir.s, 0700) == 0, "mkdir: %s", strerror(errno));
    *ret_twin = *s;
    ret_twin->port = free_port();
    write_config(dir.s, ret_twin->port, s->port);
    AUTO_TEXT prefix = strdup(dir.s);
    AUTO_TEXT config = strdup(text_of("%s/nginx.conf", dir.s).s);
    AUTO_TEXT log = strdup(text_of("%s/error.log", dir.s).s);
    AUTO_TEXT program = strdup(path);
    /* It ends with the test, also with one that fails. */
    char guard[3][16] = {"setpriv", "--pdeathsig", "TERM"}, words[3][3] = {"-p", "-c", "-e"};
    char *argv[] = {guard[0], guard[1], guard[2], program, words[0], prefix,
                    words[1], config,   words[2], log,     NULL};
    pid_t pid;
    int failed = posix_spawnp(&pid, guard[0], NULL, NULL, argv, environ);
    CHECK(failed == 0, "cannot start %s: %s", path, strerror(failed));
    AWAIT(answers(ret_twin->port), 20);
    return pid;
}

static void proxy_stop(pid_t pid)
{
    (void)kill(pid, SIGTERM);
    (void)waitpid(pid, NULL, 0);
}

/* The head and each event pass at once, though the proxy collects answers by default. */
SERVER_TEST(proxy, streams_pass_nginx_as_they_are_made)
{
    static const char *const accepts[] = {"Accept: text/event-stream\r\n",
                                          "Accept: application/x-ndjson\r\n"};
    struct server twin;
    pid_t nginx = proxy_start(s, &twin);
    for (size_t k = 0; k < COUNT_OF(accepts); k++) {
        struct text hold[2] = {fifo_make(s, text_of("a%zu", k).s),
                               fifo_make(s, text_of("b%zu", k).s)};
        struct job_ref batch = batch_submit(s, "{'command':['cat'],'items':['%s','%s']}", hold[0].s,
                                            hold[1].s);
        /* The head must come although there is no result yet. */
        AUTO_CONN results = items_open(&twin, text_of("/v1/batches/%s/results", batch.id).s,
                                       accepts[k]);
        AUTO_CONN events = items_open(&twin, "/v1/events", accepts[k]);
        for (size_t i = 0; i < 2; i++) {
            fifo_release(hold[i].s);
            cr_assert(items_await(results, i + 1, 5), "result %zu is held back by the proxy", i);
        }
        cr_assert(conn_await_end(results, 5));
        cr_assert(conn_await_text(events, batch.id, 5));
        cr_assert(conn_await_text(events, "\"type\":\"batch\"", 5));
        struct job_ref job = job_submit(s, "{'command':['sh','-c','echo now; sleep 600']}");
        AUTO_CONN output = items_open(&twin, text_of("/v1/jobs/%s/stdout?follow=1", job.id).s,
                                      k == 0 ? accepts[k] : "");
        cr_assert(conn_await_text(output, "now", 5), "output is held back by the proxy");
        AUTO_RESPONSE end = job_cancel(s, job, "{'grace':0}", 5);
    }
    proxy_stop(nginx);
}

/* A stream through a proxy is cut and taken up again like any other. */
SERVER_TEST(proxy, a_stream_through_nginx_resumes)
{
    enum { ITEMS = 60 };
    struct server twin;
    pid_t nginx = proxy_start(s, &twin);
    struct text_builder items = {0};
    for (int i = 0; i < ITEMS; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    struct job_ref batch = batch_submit(s, "{'command':['echo'],'items':[%s]}", items.text);
    text_free(&items);
    struct seen *seen = need_alloc(sizeof *seen);
    *seen = (struct seen){0};
    for (int round = 0; !seen->has_end; round++) {
        cr_assert_leq(round, ITEMS);
        AUTO_CONN c = items_open(
            &twin, text_of("/v1/batches/%s/results?order=index", batch.id).s,
            text_of("Accept: text/event-stream\r\nLast-Event-ID: %lld\r\n", (long long)seen->last)
                .s);
        (void)items_await(c, 10, 20);
        items_take(seen, c, 0, 10);
    }
    items_expect_each_once(seen, ITEMS);
    free(seen);
    proxy_stop(nginx);
}

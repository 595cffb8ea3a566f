/* SPDX-License-Identifier: MIT */
#include "integration/harness_receiver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_HOOK (1u << 20)

static void listen_on(struct receiver *r, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int on = 1;
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(r->fd >= 0 && setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              bind(r->fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
              listen(r->fd, 128) == 0 && getsockname(r->fd, (struct sockaddr *)&address, &len) == 0,
          "cannot listen on port %d: %s", port, strerror(errno));
    r->port = ntohs(address.sin_port);
}

void receiver_open(struct receiver *r)
{
    listen_on(r, 0);
}

void receiver_close(struct receiver *r)
{
    (void)close(r->fd);
    r->fd = -1;
}

void receiver_reopen(struct receiver *r)
{
    listen_on(r, r->port);
}

bool receiver_answers(const struct receiver *r)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)r->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return ok;
}

static bool await_readable(int fd, uint64_t until)
{
    struct pollfd p = {fd, POLLIN, 0};
    while (poll(&p, 1, 20) <= 0) {
        if (deadline_passed(until))
            return false;
    }
    return true;
}

bool receiver_has_caller(const struct receiver *r)
{
    struct pollfd p = {r->fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1;
}

static size_t content_length(const struct hook *hook)
{
    return strtoul(hook_header(hook, "content-length").s, NULL, 10);
}

/* Reads until head and body are there. */
static void hook_read(struct hook *hook, uint64_t until)
{
    char *raw = need_alloc(MAX_HOOK + 1);
    size_t len = 0, head_len = 0;
    while (hook->head == NULL || len < head_len + content_length(hook)) {
        CHECK(await_readable(hook->fd, until), "a call was not sent whole");
        ssize_t n = recv(hook->fd, raw + len, MAX_HOOK - len, 0);
        CHECK(n > 0, "a call was cut off");
        len += (size_t)n;
        raw[len] = '\0';
        const char *blank = strstr(raw, "\r\n\r\n");
        if (hook->head != NULL || blank == NULL)
            continue;
        head_len = (size_t)(blank - raw) + 4;
        hook->head = strndup(raw, head_len);
    }
    hook->len = len - head_len;
    hook->body = strndup(raw + head_len, hook->len);
    hook->json = cJSON_Parse(hook->body);
    free(raw);
}

struct hook *receiver_take(struct receiver *r, double seconds)
{
    uint64_t until = deadline_in(seconds);
    struct hook *hook = need_alloc(sizeof *hook);
    *hook = (struct hook){.fd = -1};
    CHECK(await_readable(r->fd, until), "nobody has called after %.0f s", seconds);
    hook->fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC);
    CHECK(hook->fd >= 0, "accept: %s", strerror(errno));
    hook_read(hook, until);
    return hook;
}

struct hook *hook_next(struct hook *before, double seconds)
{
    struct hook *hook = need_alloc(sizeof *hook);
    *hook = (struct hook){.fd = before->fd};
    before->fd = -1;
    hook_read(hook, deadline_in(seconds));
    return hook;
}

bool hook_send(struct hook *hook, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(hook->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

void hook_answer(struct hook *hook, const char *status, const char *headers)
{
    struct text answer = text_of("HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n%s\r\n",
                                 status, headers);
    (void)hook_send(hook, answer.s, strlen(answer.s));
    (void)close(hook->fd);
    hook->fd = -1;
}

bool hook_await_close(struct hook *hook, double seconds)
{
    uint64_t until = deadline_in(seconds);
    char rest[256];
    while (await_readable(hook->fd, until)) {
        if (recv(hook->fd, rest, sizeof rest, 0) <= 0)
            return true;
    }
    return false;
}

void hook_free(struct hook *hook)
{
    if (hook == NULL)
        return;
    if (hook->fd >= 0)
        (void)close(hook->fd);
    cJSON_Delete(hook->json);
    free(hook->head);
    free(hook->body);
    free(hook);
}

struct text hook_header(const struct hook *hook, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(hook->head, "\r\n"); line != NULL;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
            continue;
        const char *value = line + 2 + len + 1;
        value += strspn(value, " ");
        return text_of("%.*s", (int)strcspn(value, "\r"), value);
    }
    return text_of("%s", "");
}

const char *hook_text(const struct hook *hook, const char *path)
{
    const cJSON *item = json_at(hook->json, path);
    CHECK(cJSON_IsString(item), "the call has no text at %s: %s", path, hook->body);
    return item->valuestring;
}

/* A job whose end is told to the receiver. */
struct job_ref submit_for(struct server *s, const struct receiver *r, const char *command)
{
    return job_submit(
        s, "{'command':['sh','-c','%s'],'callback':{'url':'http://127.0.0.1:%d/hook?k=hidden'}}",
        command, r->port);
}

struct response *await_delivered(struct server *s, struct job_ref job, bool wanted)
{
    uint64_t until = deadline_in(20);
    for (;;) {
        struct response *r = job_show(s, job);
        const cJSON *delivered = json_find(r, "callback.delivered");
        if (cJSON_IsBool(delivered)) {
            CHECK(cJSON_IsTrue(delivered) == wanted, "delivered: %s", r->body);
            return r;
        }
        CHECK(!deadline_passed(until), "the callback is still pending: %s", r->body);
        response_free(r);
        pause_ms(5);
    }
}

int64_t tries_of(struct server *s, struct job_ref job)
{
    AUTO_RESPONSE r = job_show(s, job);
    return json_int(r, "callback.tries");
}

/* The events of the job's stream, which ends by itself. */
bool events_have(struct server *s, struct job_ref job, const char *needle)
{
    AUTO_RESPONSE r = http(s, "GET", text_of("/v1/jobs/%s/events", job.id).s, NULL,
                           "Accept: text/event-stream", NULL);
    return strstr(r->body, needle) != NULL;
}

/* SPDX-License-Identifier: MIT */
#include "cli/client_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/stat.h>

#include "service/base/text.h"

#define BODY_MAX ((size_t)256 << 20) /* no answer that is gathered comes near */
#define UPLOAD_BUFFER 262144L
#define CONNECT_MS 5000L
#define ANSWER_S 30u   /* beyond the wait that was asked for */
#define SILENCE_S 120L /* eight beats of a service with the default interval */

void reply_release(struct reply *reply)
{
    buf_release(&reply->body);
    *reply = (struct reply){0};
}

static void add_header(struct transfer *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_header(struct transfer *t, const char *fmt, ...)
{
    char *line = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&line, fmt, args);
    va_end(args);
    PRE(len >= 0);
    struct curl_slist *list = t->client->curl.slist_append(t->headers, line);
    free(line);
    PRE(list != NULL);
    t->headers = list;
}

/* Value of the header `name` in the line, without white space; absent when it is another one. */
static struct slice header_value(struct slice line, const char *name)
{
    size_t n = strlen(name);
    if (line.len <= n || line.ptr[n] != ':' || strncasecmp(line.ptr, name, n) != 0)
        return (struct slice){0};
    const char *p = line.ptr + n + 1, *end = line.ptr + line.len;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (p < end && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    return (struct slice){p, (size_t)(end - p)};
}

static void copy_value(char *out, size_t size, struct slice value)
{
    size_t len = MIN(value.len, size - 1);
    memcpy(out, value.ptr, len);
    out[len] = '\0';
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature is libcurl's */
static size_t on_header(char *bytes, size_t one, size_t len, void *owner)
{
    struct transfer *t = owner;
    struct slice line = {bytes, one * len};
    struct slice value = {0};
    if (line.len > 5 && memcmp(line.ptr, "HTTP/", 5) == 0) {
        t->reply.retry_after_us = -1;
        t->reply.etag[0] = '\0';
    } else if ((value = header_value(line, "ETag")).len > 0) {
        copy_value(t->reply.etag, sizeof(t->reply.etag), value);
    } else if ((value = header_value(line, "Content-Type")).len > 0) {
        copy_value(t->reply.content_type, sizeof(t->reply.content_type), value);
    } else if ((value = header_value(line, "Retry-After")).len > 0) {
        int64_t us = 0;
        if (text_to_duration_us(value, &us)) /* seconds; the form with a date is not used here */
            t->reply.retry_after_us = us;
    }
    return line.len;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature is libcurl's */
static size_t on_body(char *bytes, size_t one, size_t len, void *owner)
{
    struct transfer *t = owner;
    struct slice part = {bytes, one * len};
    long status = 0;
    (void)t->client->curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->reply.status = (int)status;
    if (t->held)
        return CURL_WRITEFUNC_PAUSE;
    if (t->call.on_bytes != NULL && (status == 200 || status == 206))
        return t->call.on_bytes(t->call.owner, part) ? part.len : CURL_WRITEFUNC_ERROR;
    buf_append(&t->reply.body, part.ptr, part.len);
    return buf_ok(&t->reply.body) ? part.len : CURL_WRITEFUNC_ERROR;
}

static void transfer_set_headers(struct transfer *t)
{
    const struct call *call = &t->call;
    const char *token = t->client->target->token;
    if (token != NULL && !call->anonymous)
        add_header(t, "Authorization: Bearer %s", token);
    if (call->body.ptr != NULL || call->sends_fd)
        add_header(t, "Content-Type: %s", call->type != NULL ? call->type : "application/json");
    add_header(t, "Accept: %s", call->accept != NULL ? call->accept : "*/*");
    add_header(t, "Expect:"); /* libcurl's 100-continue would cost a round trip per large body */
    if (call->wait_s > 0)
        add_header(t, "Prefer: wait=%u", call->wait_s);
    if (call->key != NULL)
        add_header(t, "Idempotency-Key: %s", call->key);
    if (call->if_none_match != NULL && call->if_none_match[0] != '\0')
        add_header(t, "If-None-Match: %s", call->if_none_match);
    if (call->last_event_id != NULL && call->last_event_id[0] != '\0')
        add_header(t, "Last-Event-ID: %s", call->last_event_id);
    if (call->from > 0)
        add_header(t, "Range: bytes=%llu-", (unsigned long long)call->from);
}

/* libcurl copies strings and keeps the pointer of the body. Its setters fail for want of memory
 * only, which for a few bytes is a crash here as elsewhere. */
#define SET(t, option, value) \
    PRE((t)->client->curl.easy_setopt((t)->easy, option, value) == CURLE_OK)

/* Waits for a pipe or a terminal; a signal ends that, and the next turn sees it.
 * NOLINTNEXTLINE(readability-non-const-parameter): the signature is libcurl's */
static size_t on_read(char *to, size_t one, size_t max, void *owner)
{
    struct transfer *t = owner;
    for (;;) {
        struct pollfd fds[2] = {{.fd = t->call.fd, .events = POLLIN},
                                {.fd = t->client->signal_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return CURL_READFUNC_ABORT;
        if (fds[1].revents != 0)
            return CURL_READFUNC_ABORT;
        if (fds[0].revents == 0)
            continue;
        const ssize_t n = read(t->call.fd, to, one * max);
        if (n >= 0)
            return (size_t)n;
        if (errno != EINTR && errno != EAGAIN)
            return CURL_READFUNC_ABORT;
    }
}

/* With its length when it is a file that has one; else in chunks. */
static void send_file(struct transfer *t)
{
    struct stat st;
    const off_t at = lseek(t->call.fd, 0, SEEK_CUR);
    SET(t, CURLOPT_POST, 1L);
    SET(t, CURLOPT_READFUNCTION, on_read);
    SET(t, CURLOPT_READDATA, t);
    SET(t, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
    if (at >= 0 && fstat(t->call.fd, &st) == 0 && S_ISREG(st.st_mode))
        SET(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)MAX(st.st_size - at, (off_t)0));
    else
        add_header(t, "Transfer-Encoding: chunked");
}

static void transfer_set_options(struct transfer *t, const char *url)
{
    const struct call *call = &t->call;
    const struct target *target = t->client->target;
    SET(t, CURLOPT_URL, url);
    if (target->socket != NULL)
        SET(t, CURLOPT_UNIX_SOCKET_PATH, target->socket);
    /* A proxy of the environment must not see the token; a redirect must not carry it away. */
    SET(t, CURLOPT_PROXY, "");
    SET(t, CURLOPT_FOLLOWLOCATION, 0L);
    SET(t, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(t, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(t, CURLOPT_NOSIGNAL, 1L);
    SET(t, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(t, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    if (call->limit_s > 0)
        SET(t, CURLOPT_TIMEOUT, (long)call->limit_s);
    else if (call->on_bytes == NULL && !call->sends_fd)
        SET(t, CURLOPT_TIMEOUT, (long)(call->wait_s + ANSWER_S));
    if (call->has_beat) {
        SET(t, CURLOPT_LOW_SPEED_LIMIT, 1L);
        SET(t, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    }
    SET(t, CURLOPT_CUSTOMREQUEST, call->method);
    if (strcmp(call->method, "HEAD") == 0)
        SET(t, CURLOPT_NOBODY, 1L);
    if (call->body.ptr != NULL) {
        SET(t, CURLOPT_POSTFIELDS, call->body.ptr);
        SET(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    }
    if (call->sends_fd)
        send_file(t);
    SET(t, CURLOPT_HTTPHEADER, t->headers);
    SET(t, CURLOPT_HEADERFUNCTION, on_header);
    SET(t, CURLOPT_HEADERDATA, t);
    SET(t, CURLOPT_WRITEFUNCTION, on_body);
    SET(t, CURLOPT_WRITEDATA, t);
    SET(t, CURLOPT_PRIVATE, t);
}

bool transfer_start(struct client *client, const struct call *call, struct transfer **ret,
                    struct err *err)
{
    struct transfer *t = must_alloc(sizeof(*t));
    t->client = client;
    t->call = *call;
    t->reply.retry_after_us = -1;
    buf_init(&t->reply.body, BODY_MAX);
    t->easy = client->curl.easy_init();
    PRE(t->easy != NULL);
    AUTO_FREE char *url = NULL;
    PRE(asprintf(&url, "%s%s", client->target->base, call->path) >= 0);
    transfer_set_headers(t);
    transfer_set_options(t, url);
    t->next = client->transfers;
    client->transfers = t;
    CURLMcode code = client->curl.multi_add_handle(client->multi, t->easy);
    if (code != CURLM_OK) {
        transfer_free(t);
        return err_set(err, ERR_INTERNAL, "libcurl: %s", client->curl.multi_strerror(code));
    }
    *ret = t;
    return true;
}

void transfer_free(struct transfer *transfer)
{
    if (transfer == NULL)
        return;
    const struct libcurl *curl = &transfer->client->curl;
    struct transfer **link = &transfer->client->transfers;
    while (*link != NULL && *link != transfer)
        link = &(*link)->next;
    if (*link != NULL)
        *link = transfer->next;
    (void)curl->multi_remove_handle(transfer->client->multi, transfer->easy);
    curl->easy_cleanup(transfer->easy);
    curl->slist_free_all(transfer->headers);
    reply_release(&transfer->reply);
    free(transfer);
}

void transfer_hold(struct transfer *transfer, bool hold)
{
    if (transfer->held == hold)
        return;
    transfer->held = hold;
    if (!hold && !transfer->over) /* may deliver at once */
        (void)transfer->client->curl.easy_pause(transfer->easy, CURLPAUSE_CONT);
}

bool transfer_is_over(const struct transfer *transfer)
{
    return transfer->over;
}

bool transfer_is_whole(const struct transfer *transfer)
{
    return transfer->over && transfer->result == CURLE_OK;
}

const struct reply *transfer_reply(const struct transfer *transfer)
{
    return &transfer->reply;
}

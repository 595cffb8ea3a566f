/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "load/client.h"

#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_ANSWER_BYTES ((size_t)256 << 20)
#define HEAD_BYTES 2048

struct client {
    int fd;
    char *fixed_headers; /* Host and Authorization */
    char *buf;
    size_t len, cap;
};

/* Where the parts of the answer in the buffer are. */
struct frame {
    size_t head_len;
    size_t body_len; /* what Content-Length says */
    bool is_chunked;
};

struct client *client_open(uint16_t port, const char *token)
{
    struct client *client = must_alloc(sizeof(*client));
    client->fd = connect_loopback(port);
    client->cap = 65536;
    client->buf = must_alloc(client->cap);
    int written = asprintf(&client->fixed_headers, "Host: 127.0.0.1:%u\r\n%s%s%s", port,
                           token != NULL ? "Authorization: Bearer " : "",
                           token != NULL ? token : "", token != NULL ? "\r\n" : "");
    if (written < 0)
        die("no memory");
    return client;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    close(client->fd);
    free(client->fixed_headers);
    free(client->buf);
    free(client);
}

int client_fd(const struct client *client)
{
    return client->fd;
}

static void write_all(int fd, struct iovec *parts, int n)
{
    while (n > 0) {
        ssize_t done = writev(fd, parts, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            die("send");
        while (n > 0 && (size_t)done >= parts->iov_len) {
            done -= (ssize_t)parts->iov_len;
            parts++;
            n--;
        }
        if (n > 0) {
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= (size_t)done;
        }
    }
}

void client_send(struct client *client, const struct request *request)
{
    char head[HEAD_BYTES];
    char body_headers[128] = "";
    if (request->body != NULL)
        snprintf(body_headers, sizeof(body_headers), "Content-Type: %s\r\nContent-Length: %zu\r\n",
                 request->type != NULL ? request->type : "application/json", request->body_len);
    int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\n%s%s%s\r\n", request->method,
                       request->path, client->fixed_headers, body_headers,
                       request->headers != NULL ? request->headers : "");
    if (len < 0 || (size_t)len >= sizeof(head))
        die("%s %s: the head is too long", request->method, request->path);
    /* writev only reads, but its iovec has no const. */
    struct iovec parts[2] = {{head, (size_t)len},
                             {(void *)(uintptr_t)request->body, request->body_len}};
    write_all(client->fd, parts, request->body != NULL ? 2 : 1);
}

static void read_more(struct client *client)
{
    if (client->cap - client->len < 32768) {
        client->cap *= 2;
        if (client->cap > MAX_ANSWER_BYTES)
            die("the answer is larger than %zu bytes", MAX_ANSWER_BYTES);
        client->buf = realloc(client->buf, client->cap);
        if (client->buf == NULL)
            die("no memory for %zu bytes", client->cap);
    }
    ssize_t n = read(client->fd, client->buf + client->len, client->cap - client->len - 1);
    if (n < 0)
        die("receive");
    if (n == 0) {
        errno = 0;
        die("the server closed the connection within an answer");
    }
    client->len += (size_t)n;
    client->buf[client->len] = '\0';
}

/* The value of a header of the head, NULL when it has none. Names are compared without case. */
static const char *header_value(const char *head, size_t head_len, const char *name)
{
    size_t name_len = strlen(name);
    const char *line = memchr(head, '\n', head_len);
    while (line != NULL && line + 1 < head + head_len) {
        line++;
        if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':')
            return line + name_len + 1;
        line = memchr(line, '\n', head_len - (size_t)(line - head));
    }
    return NULL;
}

static void read_head(struct client *client, struct frame *ret_frame, int *ret_status)
{
    const char *end;
    while (client->len == 0 || (end = strstr(client->buf, "\r\n\r\n")) == NULL)
        read_more(client);
    *ret_frame = (struct frame){.head_len = (size_t)(end - client->buf) + 4};
    if (strncmp(client->buf, "HTTP/1.1 ", 9) != 0)
        die("not an HTTP/1.1 answer: %.60s", client->buf);
    *ret_status = (int)strtol(client->buf + 9, NULL, 10);

    const char *length = header_value(client->buf, ret_frame->head_len, "Content-Length");
    const char *coding = header_value(client->buf, ret_frame->head_len, "Transfer-Encoding");
    ret_frame->is_chunked = coding != NULL && strncasecmp(coding, " chunked", 8) == 0;
    if (length != NULL)
        ret_frame->body_len = strtoul(length, NULL, 10);
    else if (!ret_frame->is_chunked && *ret_status != 204 && *ret_status != 304)
        die("an answer with status %d that does not say where it ends", *ret_status);
}

/* Joins the chunks in place, behind the head. Returns the length of the body; ret_end is where the
 * answer ends. */
static size_t read_chunks(struct client *client, size_t start, size_t *ret_end)
{
    size_t at = start;
    size_t body_len = 0;
    for (;;) {
        const char *line_end;
        while ((line_end = memmem(client->buf + at, client->len - at, "\r\n", 2)) == NULL)
            read_more(client);
        size_t size = strtoul(client->buf + at, NULL, 16);
        at = (size_t)(line_end - client->buf) + 2;
        while (client->len < at + size + 2)
            read_more(client);
        memmove(client->buf + start + body_len, client->buf + at, size);
        body_len += size;
        at += size + 2;
        if (size == 0)
            break;
    }
    *ret_end = at;
    return body_len;
}

/* Requests are not pipelined, so the buffer holds one answer and never a byte of the next one. */
void client_read(struct client *client, struct answer *ret)
{
    struct frame frame;
    size_t end;
    client->len = 0;
    read_head(client, &frame, &ret->status);
    if (frame.is_chunked) {
        frame.body_len = read_chunks(client, frame.head_len, &end);
    } else {
        end = frame.head_len + frame.body_len;
        while (client->len < end)
            read_more(client);
    }
    if (client->len != end) {
        errno = 0;
        die("%zu bytes after the end of an answer", client->len - end);
    }
    ret->body = client->buf + frame.head_len;
    ret->body_len = frame.body_len;
    ret->body[ret->body_len] = '\0';
}

void client_ask(struct client *client, const struct request *request, struct answer *ret)
{
    client_send(client, request);
    client_read(client, ret);
}

/* SPDX-License-Identifier: MIT */
#include "api/receive.h"

#include "api/accept.h"
#include "api/blobs.h"
#include "api/feed.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/submit.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define NS_PER_US UINT64_C(1000)
/* Of a body that is refused so much is read for a proper answer; then the connection ends. */
#define MAX_DROPPED_BYTES (2u << 20)
#define MAX_DROPPED_BLOB (64u << 20) /* what can be known before is refused before it is sent */

/* Without MHD_USE_ITC: one thread suspends, resumes and runs, so nobody needs to be woken. */
#define SUSPEND_RESUME ((unsigned)MHD_ALLOW_SUSPEND_RESUME & ~(unsigned)MHD_USE_ITC)

static uint64_t after_us(uint64_t now_ns, int64_t us)
{
    return now_ns + (uint64_t)us * NS_PER_US;
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    return request_new(cls, connection, target == NULL ? "" : target);
}

/* Paths and parameters are decoded by us, from what was on the wire. */
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

/* The library dictates the parameters. NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    gate_add_header(cls, (struct slice){name, name_len}, (struct slice){value, value_len});
    return MHD_YES;
}

/* A request id from outside is kept when it is harmless. */
static void take_request_id(struct request *rq)
{
    struct slice id = rq->head.header[HEADER_REQUEST_ID];
    if (id.ptr == NULL || !text_is_token(id, sizeof rq->id - 1))
        return;
    memcpy(rq->id, id.ptr, id.len);
    rq->id[id.len] = '\0';
}

/* Many programs ask for JSON whatever it is about, as curl --json does, and mean no more than that
 * they read it: so JSON takes everything. */
static bool takes(struct slice accept, const char *type)
{
    return accept_takes(accept, type) || accept_names(accept, "application/json") ||
           accept_names(accept, "application/problem+json");
}

/* Of the types that the route answers with, one must be acceptable. */
static bool can_answer(const struct request *rq, struct err *err)
{
    const struct slice accept = rq->head.header[HEADER_ACCEPT];
    const struct route_answer *answers = rq->match.route->answers;
    const char *first = NULL;
    if (accept.len == 0)
        return true;
    for (size_t i = 0; i < MAX_ANSWERS && answers[i].status != 0; i++) {
        if (answers[i].status >= 300)
            continue;
        if (answers[i].type == NULL || takes(accept, answers[i].type))
            return true;
        first = first == NULL ? answers[i].type : first;
    }
    return err_set(err, ERR_NOT_ACCEPTABLE,
                   "The header Accept takes nothing that this route answers with, such as %s",
                   first);
}

static bool check_route(struct request *rq, struct err *err)
{
    const struct route *route = rq->match.route;
    if (rq->match.methods == 0)
        return err_set(
            err, ERR_NOT_FOUND,
            "This version of ganger has no such route; /openapi.json lists what there is");
    if (route == NULL) {
        AUTO_BUF struct buf allow = {0};
        buf_init(&allow, 128);
        route_write_allow(rq->match.methods, &allow);
        char *text = arena_dup(&rq->arena, buf_slice(&allow));
        PRE(text != NULL);
        reply_header(rq, ANSWER_ALLOW, text);
        return err_set(err, ERR_METHOD_NOT_ALLOWED, "Allowed: %s", text);
    }
    if (!token_allows(&rq->who, route->scope))
        return err_set(err, ERR_FORBIDDEN, "This needs a token with the scope \"%s\"",
                       scope_name(route->scope));
    return self_may(rq, err) && can_answer(rq, err);
}

static bool is_feed(const struct request *rq)
{
    return rq->match.route->handler == job_feed;
}

/* In the order of the rules: framing, host, origin, token, then what exists, then what is accepted
 * there. */
static bool pass_gate(struct request *rq, struct err *err)
{
    const struct http_shared *shared = rq->thread->shared;
    const struct config *cfg = shared->cfg;
    struct head *head = &rq->head;
    if (!gate_check_syntax(head, err)) {
        rq->must_close = true; /* where the next request begins is not certain */
        return false;
    }
    take_request_id(rq);
    route_match(head->method, head->path, &rq->match);
    bool is_probe = rq->match.route != NULL && rq->match.route->scope == SCOPE_NOBODY;
    if (!is_probe && (!gate_check_host(head, &cfg->http_hosts, err) ||
                      !gate_check_origin(head, &cfg->http_origins, err) || !self_identify(rq, err)))
        return false;
    if (!check_route(rq, err) ||
        !gate_check_body(head, rq->match.route->body, cfg->http_max_body, err) ||
        !request_check_params(rq, err))
        return false;
    if (rq->match.route->body == BODY_BYTES)
        return is_feed(rq) ? feed_begin(rq, err) : blob_begin(rq, err);
    return head->body_type != BODY_JSON || request_charge(rq, head->content_length, err);
}

/* False: nothing could be answered. */
static bool begin(struct request *rq, const char *method, const char *version)
{
    struct err err = {0};
    struct slice target = rq->head.target;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        rq->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    rq->conn = info->socket_context;
    rq->conn->rq = rq;
    rq->conn->deadline_ns = 0;
    rq->phase = REQUEST_BODY;
    gate_begin(&rq->head, gate_method(method), version, target);
    rq->head.on_unix = rq->conn->on_unix;
    (void)MHD_get_connection_values_n(rq->connection, MHD_HEADER_KIND, on_header, &rq->head);
    bool passes = pass_gate(rq, &err);
    if (rq->head.has_body)
        rq->conn->deadline_ns = after_us(rq->began_ns,
                                         rq->thread->shared->cfg->http_body_timeout_us);
    if (!passes) {
        metrics_add(rq->thread->shared->metrics, COUNT_HTTP_REFUSED, 1);
        if (!rq->must_close && rq->head.content_length <= MAX_DROPPED_BYTES) {
            /* Answered behind the body: an answer now would end the connection. */
            rq->refusal = err;
            return true;
        }
        rq->phase = REQUEST_RUNNING;
        reply_problem(rq, &err);
        return rq->is_replied;
    }
    /* Grown once; a failure shows when bytes are appended. */
    if (rq->head.content_length > 0 && rq->head.body_type == BODY_JSON)
        (void)buf_reserve(&rq->body, (size_t)rq->head.content_length);
    return true;
}

/* A chunked body has no length that the gate could have judged. */
static void take_json(struct request *rq, const char *bytes, size_t len)
{
    struct err err = {0};
    if (rq->head.is_chunked && !request_charge(rq, len, &err))
        rq->refusal = err;
    else
        buf_append(&rq->body, bytes, len);
    if (rq->refusal.code == ERR_NONE &&
        (!buf_ok(&rq->body) || rq->body.len > rq->thread->shared->cfg->http_max_body))
        (void)err_set(&rq->refusal, ERR_TOO_LARGE, "A JSON body may have at most %llu bytes",
                      (unsigned long long)rq->thread->shared->cfg->http_max_body);
    if (rq->refusal.code != ERR_NONE)
        rq->dropped_bytes += len;
}

/* A body that is worked off while it comes. */
static void take_stream(struct request *rq, const char *bytes, size_t *len)
{
    const struct slice part = {bytes, *len};
    size_t taken = rq->head.body_type != BODY_BYTES ? submit_take(rq, part)
                   : is_feed(rq)                    ? feed_take(rq, part)
                                                    : blob_take(rq, part);
    *len -= taken;
    if (rq->refusal.code != ERR_NONE)
        rq->dropped_bytes += taken;
    if (!rq->in_engine) /* a body may be long, but each part of it must come in time */
        rq->conn->deadline_ns = after_us(clock_mono_ns(),
                                         rq->thread->shared->cfg->http_body_timeout_us);
}

/* What a body that is refused may still have. */
static uint64_t max_dropped(const struct request *rq)
{
    return rq->head.body_type == BODY_BYTES ? MAX_DROPPED_BLOB : MAX_DROPPED_BYTES;
}

/* Its end will not come within that, or may not. */
static bool cannot_wait(const struct request *rq)
{
    return rq->head.content_length > max_dropped(rq) || rq->dropped_bytes > max_dropped(rq) ||
           (rq->head.is_chunked && rq->head.body_type == BODY_BYTES);
}

/* What it holds is given back at once, however long its client goes on. */
static void refuse_early(struct request *rq)
{
    reply_problem_early(rq, &rq->refusal, rq->refusal_members);
    if (rq->release != NULL)
        rq->release(rq);
    rq->release = NULL;
    rq->state = NULL;
}

static enum MHD_Result take_body(struct request *rq, const char *bytes, size_t *len)
{
    if (rq->refusal.code != ERR_NONE) {
        rq->dropped_bytes += *len;
        *len = 0;
    } else if (rq->head.body_type != BODY_JSON) {
        take_stream(rq, bytes, len);
    } else {
        take_json(rq, bytes, *len);
        *len = 0;
    }
    if (rq->refusal.code != ERR_NONE && !rq->is_refused_early && cannot_wait(rq))
        refuse_early(rq);
    return rq->dropped_bytes > max_dropped(rq) ? MHD_NO : MHD_YES;
}

static void run_step(struct request *rq)
{
    step_fn step = rq->next;
    rq->next = NULL;
    if (step != NULL)
        step(rq);
}

/* The library dictates the parameters. NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *len, void **context)
{
    struct request *rq = *context;
    (void)cls;
    (void)connection;
    (void)url;
    if (rq->in_engine)
        return MHD_YES;
    if (rq->phase == REQUEST_HEAD)
        return begin(rq, method, version) ? MHD_YES : MHD_NO;
    run_step(rq);
    if (rq->phase == REQUEST_BODY && !rq->in_engine) {
        if (*len > 0)
            return take_body(rq, bytes, len);
        rq->phase = REQUEST_RUNNING;
        rq->conn->deadline_ns = 0;
        if (rq->is_refused_early)
            return MHD_NO; /* the answer has said so */
        if (rq->refusal.code != ERR_NONE)
            reply_problem_with(rq, &rq->refusal, rq->refusal_members);
        else
            rq->match.route->handler(rq);
    }
    return rq->is_replied || rq->in_engine ? MHD_YES : MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_thread *thread = cls;
    struct request *rq = *context;
    (void)connection;
    (void)code;
    if (rq == NULL)
        return;
    uint64_t now_ns = clock_mono_ns();
    metrics_add(thread->shared->metrics, COUNT_HTTP_REQUESTS, 1);
    metrics_observe_us(thread->shared->metrics, HIST_HTTP_TIME,
                       (now_ns - rq->began_ns) / NS_PER_US);
    if (rq->conn != NULL) {
        rq->conn->rq = NULL;
        rq->conn->deadline_ns = after_us(now_ns, thread->shared->cfg->http_idle_timeout_us +
                                                     thread->shared->cfg->http_header_timeout_us);
    }
    *context = NULL;
    request_free(rq);
}

static struct conn *add_conn(struct http_thread *thread, int fd)
{
    struct conn *conn = must_alloc(sizeof *conn);
    int domain = AF_INET, one = 1;
    socklen_t len = sizeof domain;
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    conn->kind = FROM_CONN;
    conn->fd = fd;
    conn->on_unix = domain == AF_UNIX;
    if (!conn->on_unix)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conn->deadline_ns = after_us(clock_mono_ns(), thread->shared->cfg->http_header_timeout_us);
    conn->next = thread->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    thread->conns = conn;
    thread->n_conns++;
    return conn;
}

static void remove_conn(struct http_thread *thread, struct conn *conn)
{
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        thread->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    thread->n_conns--;
    free(conn);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_thread *thread = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = add_conn(thread, info->connect_fd);
    } else if (*socket_context != NULL) {
        remove_conn(thread, *socket_context);
        *socket_context = NULL;
    }
}

struct MHD_Daemon *receive_start(struct http_thread *thread)
{
    const struct config *cfg = thread->shared->cfg;
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | SUSPEND_RESUME;
    /* clang-format off */
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, thread,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)cfg->http_connection_memory,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)cfg->http_max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)MAX(cfg->http_idle_timeout_us / 1000000, 1),
        MHD_OPTION_STRICT_FOR_CLIENT, 1,
        /* main ignores SIGPIPE; without this option there is no sendfile(2). */
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, thread,
        MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, thread,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, thread,
        MHD_OPTION_END);
    /* clang-format on */
}

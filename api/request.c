/* SPDX-License-Identifier: MIT */
#include "api/request.h"

#include "api/reply.h"
#include "api/self.h"
#include "service/base/hex.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <sys/epoll.h>

/* In a long round the engine is woken in between, so that it commits while the rest is read: at 64
 * connections that is a quarter more submissions a second (docs/performance.md, P3). */
#define WAKE_EVERY 32u
#define MAX_POOLED 512u         /* requests kept for reuse by a thread */
#define WARM_BYTES (64u * 1024) /* memory that a pooled request may keep, each kind */
#define MAX_ARENA_BYTES \
    (24u << 20) /* one body of 1 MiB, read, unescaped and encoded as a task, fits many times */
#define MAX_OUT_BYTES (80u << 20) /* an answer made in memory */
#define NS_PER_US UINT64_C(1000)
#define NS_PER_S UINT64_C(1000000000)

struct request *request_new(struct http_thread *thread, struct MHD_Connection *connection,
                            const char *target)
{
    struct request *rq = thread->free_requests;
    if (rq != NULL) {
        thread->free_requests = rq->next_free;
        thread->n_free--;
    } else {
        rq = must_alloc(sizeof *rq);
        arena_init(&rq->arena, MAX_ARENA_BYTES);
        buf_init(&rq->out, MAX_OUT_BYTES);
        buf_init(&rq->body, (size_t)thread->shared->cfg->http_max_body + 1);
    }
    rq->thread = thread;
    rq->connection = connection;
    rq->next_free = NULL;
    rq->began_ns = clock_mono_ns();
    hex_put_number(rq->id, thread->id_salt, 16);
    hex_put_number(rq->id + 16, ++thread->next_id, 16);
    rq->id[32] = '\0';
    struct slice text = slice_of(target);
    char *copy = text.len < sizeof rq->target ? rq->target : arena_alloc(&rq->arena, text.len + 1);
    PRE(copy != NULL);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    rq->head.target = (struct slice){copy, text.len};
    return rq;
}

static void release_memory(struct request *rq)
{
    arena_release(&rq->arena);
    buf_release(&rq->out);
    buf_release(&rq->body);
}

/* Only what the next request does not set itself is reset: most of the struct is never touched by a
 * small request. */
static void make_clean(struct request *rq)
{
    struct arena arena = rq->arena;
    struct buf out = rq->out, body = rq->body;
    arena_clear(&arena);
    buf_clear(&out);
    buf_clear(&body);
    memset(rq, 0, offsetof(struct request, target));
    rq->arena = arena;
    rq->out = out;
    rq->body = body;
}

void request_free(struct request *rq)
{
    struct http_thread *thread = rq->thread;
    PRE(!rq->in_engine);
    if (rq->release != NULL)
        rq->release(rq);
    if (rq->charged_bytes > 0)
        atomic_fetch_sub_explicit(&thread->shared->inflight_bytes, rq->charged_bytes,
                                  memory_order_relaxed);
    bool is_large = rq->arena.used > WARM_BYTES || rq->out.cap > WARM_BYTES ||
                    rq->body.cap > WARM_BYTES;
    if (thread->n_free >= MAX_POOLED || is_large) {
        release_memory(rq);
        free(rq);
        return;
    }
    make_clean(rq);
    rq->next_free = thread->free_requests;
    thread->free_requests = rq;
    thread->n_free++;
}

void request_free_pool(struct http_thread *thread)
{
    while (thread->free_requests != NULL) {
        struct request *rq = thread->free_requests;
        thread->free_requests = rq->next_free;
        release_memory(rq);
        free(rq);
    }
    thread->n_free = 0;
    arena_release(&thread->scratch);
}

struct arena *request_scratch(struct request *rq)
{
    struct arena *a = &rq->thread->scratch;
    if (a->used > WARM_BYTES || a->max == 0) {
        arena_release(a);
        arena_init(a, MAX_ARENA_BYTES);
    }
    arena_clear(a);
    return a;
}

bool request_charge(struct request *rq, uint64_t bytes, struct err *err)
{
    struct http_shared *shared = rq->thread->shared;
    uint64_t before = atomic_fetch_add_explicit(&shared->inflight_bytes, bytes,
                                                memory_order_relaxed);
    if (before + bytes > shared->cfg->http_max_inflight_bytes) {
        atomic_fetch_sub_explicit(&shared->inflight_bytes, bytes, memory_order_relaxed);
        return err_set(err, ERR_OVERLOADED, "Too many bytes of requests are under way; try again");
    }
    rq->charged_bytes += bytes;
    return true;
}

struct slice request_header(const struct request *rq, enum header header)
{
    return route_takes(rq->match.route, header) ? rq->head.header[header] : (struct slice){0};
}

/* Percent-decodes; "+" stays a plus, as in RFC 3986. An absent ptr in the result: badly encoded, or
 * a NUL, or not UTF-8. */
static struct slice decode(struct arena *a, struct slice raw)
{
    char *to = arena_alloc(a, raw.len + 1);
    size_t len = 0;
    if (to == NULL)
        return (struct slice){0};
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '%') {
            int high = raw.len - i > 2 ? hex_value(raw.ptr[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_value(raw.ptr[i + 2]);
            if (low < 0 || (high == 0 && low == 0))
                return (struct slice){0};
            c = (char)(high * 16 + low);
            i += 2;
        }
        to[len++] = c;
    }
    struct slice decoded = {to, len};
    return text_is_utf8(decoded) ? decoded : (struct slice){0};
}

/* Cuts the next "name=value" off the query. */
static bool next_param(struct slice *query, struct slice *ret_name, struct slice *ret_value)
{
    if (query->ptr == NULL || query->len == 0)
        return false;
    const char *end = memchr(query->ptr, '&', query->len);
    size_t len = end == NULL ? query->len : (size_t)(end - query->ptr);
    const char *equals = memchr(query->ptr, '=', len);
    size_t name_len = equals == NULL ? len : (size_t)(equals - query->ptr);
    *ret_name = (struct slice){query->ptr, name_len};
    *ret_value = equals == NULL ? SLICE_LIT("") : (struct slice){equals + 1, len - name_len - 1};
    size_t used = end == NULL ? len : len + 1;
    *query = (struct slice){query->ptr + used, query->len - used};
    return true;
}

bool request_param(struct request *rq, const char *name, struct slice *ret_value)
{
    struct slice query = rq->head.query, key, value;
    while (next_param(&query, &key, &value)) {
        if (!slice_is(key, name))
            continue;
        *ret_value = decode(&rq->arena, value);
        return ret_value->ptr != NULL;
    }
    return false;
}

bool request_bad_param(struct err *err, const char *name, const char *fmt, ...)
{
    char pointer[64], should[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(should, sizeof should, fmt, args);
    va_end(args);
    (void)snprintf(pointer, sizeof pointer, "?%s", name);
    return err_at(err, ERR_INVALID, pointer, "The query parameter \"%s\" is %s", name, should);
}

static bool route_knows(const struct route *route, struct slice name)
{
    for (size_t i = 0; i < MAX_PARAMS && route->params[i] != NULL; i++) {
        if (slice_is(name, route->params[i]))
            return true;
    }
    return false;
}

static bool is_repeated(struct slice rest, struct slice name)
{
    struct slice other, ignored;
    while (next_param(&rest, &other, &ignored))
        if (slice_eq(name, other))
            return true;
    return false;
}

bool request_check_params(struct request *rq, struct err *err)
{
    struct slice query = rq->head.query, name, value;
    while (next_param(&query, &name, &value)) {
        char word[41];
        (void)snprintf(word, sizeof word, "%.*s", (int)MIN(name.len, sizeof word - 1), name.ptr);
        if (name.len == 0 && value.len == 0)
            continue;
        if (!route_knows(rq->match.route, name))
            return request_bad_param(err, word, "not one of this route");
        if (is_repeated(query, name))
            return request_bad_param(err, word,
                                     "given more than once; of several values it is not clear "
                                     "which one is meant");
        if (memchr(value.ptr, '%', value.len) != NULL && decode(&rq->arena, value).ptr == NULL)
            return request_bad_param(err, word, "not percent-encoded UTF-8");
    }
    return true;
}

/* The value of `wait` among the comma-separated preferences (RFC 7240, section 2). Absent: ptr ==
 * NULL. */
static struct slice preferred_wait(struct slice prefer)
{
    while (prefer.len > 0) {
        const char *comma = memchr(prefer.ptr, ',', prefer.len);
        size_t len = comma == NULL ? prefer.len : (size_t)(comma - prefer.ptr);
        size_t at = 0;
        while (at < len && (prefer.ptr[at] == ' ' || prefer.ptr[at] == '\t'))
            at++;
        if (len - at > 5 && strncmp(prefer.ptr + at, "wait=", 5) == 0) {
            struct slice value = {prefer.ptr + at + 5, len - at - 5};
            const char *semicolon = memchr(value.ptr, ';', value.len);
            value.len = semicolon == NULL ? value.len : (size_t)(semicolon - value.ptr);
            while (value.len > 0 && value.ptr[value.len - 1] == ' ')
                value.len--;
            return value;
        }
        size_t used = comma == NULL ? len : len + 1;
        prefer = (struct slice){prefer.ptr + used, prefer.len - used};
    }
    return (struct slice){0};
}

bool request_wait(struct request *rq, uint64_t *ret_until_ns, struct err *err)
{
    struct slice text;
    int64_t wait_us = 0;
    bool by_param = request_param(rq, "wait", &text);
    *ret_until_ns = 0;
    if (!by_param)
        text = preferred_wait(request_header(rq, HEADER_PREFER));
    if (text.ptr == NULL)
        return true;
    if (!text_to_duration_us(text, &wait_us)) {
        /* A preference that cannot be understood is ignored: RFC 7240, section 2. */
        if (!by_param)
            return true;
        return request_bad_param(err, "wait", "a number of seconds");
    }
    wait_us = MIN(wait_us, rq->thread->shared->cfg->http_max_wait_us);
    AUTO_BUF struct buf applied = {0};
    buf_init(&applied, 64);
    buf_puts(&applied, "wait=");
    buf_json_seconds_us(&applied, wait_us);
    char *value = arena_dup(&rq->arena, buf_slice(&applied));
    if (value != NULL)
        reply_header(rq, ANSWER_APPLIED, value);
    if (wait_us > 0)
        *ret_until_ns = rq->began_ns + (uint64_t)wait_us * NS_PER_US;
    return true;
}

bool request_limit(struct request *rq, int64_t *ret_limit, struct err *err)
{
    struct slice text;
    *ret_limit = DEFAULT_PAGE;
    if (request_param(rq, "limit", &text) && (!text_to_i64(text, ret_limit) || *ret_limit < 1))
        return request_bad_param(err, "limit", "a number from 1 on");
    *ret_limit = MIN(*ret_limit, MAX_PAGE);
    return true;
}

bool request_page(struct request *rq, struct page *ret, struct err *err)
{
    struct slice text;
    *ret = (struct page){0};
    if (!request_limit(rq, &ret->limit, err))
        return false;
    return !request_param(rq, "cursor", &text) ||
           (text_to_i64(text, &ret->cursor) && ret->cursor > 0) ||
           request_bad_param(err, "cursor", "the next_cursor of an earlier answer");
}

bool request_states(struct request *rq, uint32_t *ret_mask, struct err *err)
{
    struct slice list;
    *ret_mask = 0;
    if (!request_param(rq, "state", &list))
        return true;
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.ptr);
        enum job_state state;
        if (!job_state_parse((struct slice){list.ptr, len}, &state))
            return err_at(err, ERR_INVALID, "?state", "\"%.*s\" is not a state", (int)MIN(len, 40u),
                          list.ptr);
        *ret_mask |= 1u << state;
        size_t used = comma == NULL ? len : len + 1;
        list = (struct slice){list.ptr + used, list.len - used};
    }
    return true;
}

bool request_label(struct request *rq, const char **ret_key, const char **ret_value,
                   struct err *err)
{
    struct slice text;
    *ret_key = *ret_value = NULL;
    if (!request_param(rq, "label", &text))
        return true;
    const char *colon = memchr(text.ptr, ':', text.len);
    if (colon == NULL || colon == text.ptr)
        return request_bad_param(err, "label", "name:value");
    size_t len = (size_t)(colon - text.ptr);
    *ret_key = arena_dup(&rq->arena, (struct slice){text.ptr, len});
    *ret_value = arena_dup(&rq->arena, (struct slice){colon + 1, text.len - len - 1});
    return true;
}

bool request_job_id(struct request *rq, struct job_id *ret, struct err *err)
{
    return self_job_id(rq, rq->match.args[0], ret, err);
}

/* RFC 9110, section 13.1: "*", or a list of tags. The comparison is weak, which for our strong tags
 * is equality. */
bool request_etag_matches(const struct request *rq, enum header header, int64_t version)
{
    struct slice tags = request_header(rq, header);
    char own[24];
    if (tags.ptr == NULL)
        return false;
    if (slice_is(tags, "*"))
        return true;
    int len = snprintf(own, sizeof own, "\"%lld\"", (long long)version);
    const char *at = memmem(tags.ptr, tags.len, own, (size_t)len);
    return at != NULL;
}

/* Wants to hear when the client leaves while the connection is suspended: the HTTP library does not
 * look then. */
static void watch_client(struct request *rq)
{
    struct conn *conn = rq->conn;
    if (conn->is_armed)
        return;
    struct epoll_event event = {
        .events = EPOLLONESHOT | (conn->half_closed ? 0u : (uint32_t)EPOLLRDHUP), .data.ptr = conn};
    if (epoll_ctl(rq->thread->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) == 0 ||
        epoll_ctl(rq->thread->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) == 0)
        conn->is_armed = true;
}

static bool submits(const struct command *cmd)
{
    return cmd->kind == CMD_SUBMIT || cmd->kind == CMD_BATCH || cmd->kind == CMD_BATCH_ADD ||
           cmd->kind == CMD_PIPELINE || cmd->kind == CMD_BLOB;
}

static bool reserve(const struct http_shared *shared, const struct command *cmd, struct err *err)
{
    return cmd->kind == CMD_BLOB_WRITE ? blob_writer_reserve(shared->blobs, err)
                                       : engine_reserve(shared->engine, submits(cmd), err);
}

static void post(struct http_thread *thread, struct command *cmd)
{
    if (cmd->kind == CMD_BLOB_WRITE) {
        blob_writer_post(thread->shared->blobs, cmd);
        return;
    }
    engine_post(thread->shared->engine, cmd);
    if (++thread->n_unwoken == WAKE_EVERY)
        request_wake_engine(thread);
}

bool request_send(struct request *rq, step_fn next, struct err *err)
{
    struct http_thread *thread = rq->thread;
    struct command *cmd = &rq->cmd;
    bool waits = cmd->kind == CMD_PARK || cmd->wait_until_ns != 0;
    PRE(!rq->in_engine && !rq->is_replied == (rq->fill == NULL));
    if (waits && thread->n_parked >= thread->shared->cfg->http_max_parked)
        return err_set(err, ERR_TOO_MANY_WAITERS, "At most %u requests may wait at a time",
                       thread->shared->cfg->http_max_parked);
    if (!reserve(thread->shared, cmd, err))
        return false;
    cmd->home = &thread->mailbox;
    cmd->owner = rq;
    cmd->err.code = ERR_NONE;
    cmd->timed_out = false;
    cmd->waiter = ++thread->next_waiter;
    rq->next = next;
    rq->in_engine = true;
    rq->is_waiting = waits;
    rq->conn->deadline_ns = 0;
    thread->n_in_engine++;
    thread->n_parked += waits;
    MHD_suspend_connection(rq->connection); /* before the post: a wake-up may come at once */
    if (waits)
        watch_client(rq);
    post(thread, cmd);
    return true;
}

void request_wake_engine(struct http_thread *thread)
{
    thread->n_unwoken = 0;
    engine_wake(thread->shared->engine);
}

uint32_t request_epoch(const struct request *rq, uint64_t topic)
{
    return engine_epoch(rq->thread->shared->engine, topic);
}

bool request_park(struct request *rq, const struct park *park, step_fn next, struct err *err)
{
    struct command *cmd = &rq->cmd;
    PRE(!rq->in_engine);
    cmd->kind = CMD_PARK;
    cmd->wait_until_ns = 0;
    cmd->park.topic = park->topic;
    cmd->park.seen_epoch = park->epoch;
    cmd->park.deadline_ns = park->deadline_ns;
    cmd->park.not_before_ns = park->not_before_ns;
    cmd->park.watch = park->watch;
    cmd->park.wish = park->wish;
    cmd->park.told = park->told;
    cmd->park.group = park->group;
    cmd->park.add = park->add;
    cmd->park.needed = park->needed;
    cmd->park.on_failure = park->on_failure;
    cmd->park.woken = NULL;
    return request_send(rq, next, err);
}

void request_returned(struct request *rq)
{
    struct http_thread *thread = rq->thread;
    PRE(rq->in_engine && thread->n_in_engine > 0);
    rq->in_engine = false;
    thread->n_in_engine--;
    if (rq->is_waiting)
        thread->n_parked--;
    MHD_resume_connection(rq->connection);
}

void request_ask_back(struct request *rq)
{
    struct engine *engine = rq->thread->shared->engine;
    struct err ignored = {0};
    if (!rq->in_engine || !rq->is_waiting || !engine_reserve(engine, false, &ignored))
        return;
    struct command *cmd = must_alloc(sizeof *cmd);
    cmd->kind = CMD_UNPARK;
    cmd->waiter = rq->cmd.waiter;
    engine_post(engine, cmd); /* the engine frees it */
}

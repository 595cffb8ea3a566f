/* SPDX-License-Identifier: MIT */
/* The engine lends the writing end of the job's pipe to one request at a time. This thread writes
 * what has come, without blocking; while the pipe is full the connection is suspended, so the
 * client feels how fast the job reads. */
#include "api/feed.h"

#include "api/change.h"
#include "api/handlers.h"
#include "api/reply.h"

#include <errno.h>
#include <sys/epoll.h>

/* A job that reads is given some time, so that the pipe has room for more than a page; one that
 * does not wakes nobody until it does. */
#define FIRST_PAUSE_NS UINT64_C(1000000)
#define MAX_PAUSE_NS UINT64_C(100000000)
#define LOOK_NS UINT64_C(30000000000) /* whatever the pipe says */

struct feeding {
    enum source_kind kind; /* first, for the thread's epoll */
    struct request *rq;
    bool is_watched; /* `fd` is in the thread's epoll */
    struct job_id id;
    bool is_eof, has_offset;
    uint64_t offset;
    int fd; /* -1: not lent yet, or not any more */
    uint64_t holder, total;
    uint64_t n; /* bytes that the pipe has taken */
    uint64_t pause_ns;
};

/* The engine has the same pipe open, so epoll would not forget it by itself. */
static void close_pipe(struct feeding *f)
{
    if (f->is_watched)
        (void)epoll_ctl(f->rq->thread->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
    f->is_watched = false;
    auto_close(&f->fd);
    f->fd = -1;
}

void feed_room(void *source)
{
    const struct feeding *f = source;
    request_ask_back(f->rq);
}

static bool watch_room(struct feeding *f)
{
    struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.ptr = f};
    const int how = f->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    const bool is_set = epoll_ctl(f->rq->thread->epoll_fd, how, f->fd, &event) == 0;
    f->is_watched = f->is_watched || is_set;
    return is_set;
}

/* The request ends without having given back what it was lent. Reserving fails only when the engine
 * takes nothing any more, or has more commands in hand than there are connections: then the job
 * cannot be fed until its attempt ends. */
static void break_off(struct request *rq, const struct feeding *f)
{
    struct engine *engine = rq->thread->shared->engine;
    struct err ignored = {0};
    if (!engine_reserve(engine, false, &ignored))
        return;
    struct command *cmd = must_alloc(sizeof *cmd);
    cmd->kind = CMD_FEED_BREAK;
    cmd->feed = (struct feed_ask){.id = f->id, .is_done = true, .holder = f->holder, .n = f->n};
    engine_post(engine, cmd); /* the engine frees it */
    request_wake_engine(rq->thread);
}

/* In release the step of a command that has come back may not have run. */
static void take_what_came(struct request *rq, struct feeding *f)
{
    if (rq->cmd.kind != CMD_FEED || rq->cmd.err.code != ERR_NONE)
        return;
    if (rq->cmd.feed.is_done) {
        f->holder = 0;
    } else if (f->holder == 0) {
        f->fd = rq->cmd.feed.fd;
        f->holder = rq->cmd.feed.holder;
    }
    f->total = rq->cmd.feed.total;
}

static void release(struct request *rq)
{
    struct feeding *f = rq->state;
    take_what_came(rq, f);
    close_pipe(f);
    if (f->holder != 0)
        break_off(rq, f);
    free(f);
}

static bool read_params(struct request *rq, struct feeding *f, struct err *err)
{
    struct slice text;
    int64_t offset = 0;
    if (request_param(rq, "eof", &text)) {
        f->is_eof = slice_is(text, "1");
        if (!f->is_eof && !slice_is(text, "0"))
            return request_bad_param(err, "eof", "1 or 0");
    }
    f->has_offset = request_param(rq, "offset", &text);
    if (f->has_offset && (!text_to_i64(text, &offset) || offset < 0))
        return request_bad_param(err, "offset", "how many bytes were fed before");
    f->offset = (uint64_t)offset;
    return true;
}

bool feed_begin(struct request *rq, struct err *err)
{
    struct feeding f = {.kind = FROM_FEED, .rq = rq, .fd = -1, .pause_ns = FIRST_PAUSE_NS};
    if (!request_job_id(rq, &f.id, err) || !read_params(rq, &f, err))
        return false;
    struct feeding *kept = must_alloc(sizeof *kept);
    *kept = f;
    rq->state = kept;
    rq->release = release;
    return true;
}

static bool ask(struct request *rq, const struct feeding *f, bool is_done, step_fn next)
{
    rq->cmd.kind = CMD_FEED;
    rq->cmd.wait_until_ns = 0;
    rq->cmd.feed = (struct feed_ask){.id = f->id,
                                     .is_done = is_done,
                                     .is_eof = f->is_eof,
                                     .has_offset = f->has_offset,
                                     .offset = f->offset,
                                     .holder = f->holder,
                                     .n = f->n,
                                     .total = f->total + f->n,
                                     .fd = -1};
    if (request_send(rq, next, &rq->refusal))
        return true;
    rq->cmd.kind = CMD_PARK; /* it was not asked */
    return false;
}

static void lent(struct request *rq)
{
    struct feeding *f = rq->state;
    take_what_came(rq, f);
    rq->refusal = rq->cmd.err;
    rq->refusal_members = change_members(rq, &f->id, &rq->refusal);
    rq->cmd.kind = CMD_PARK; /* what it brought is taken */
}

/* A look later, when there is room, or when the job ends. False: refused. */
static bool wait_for_room(struct request *rq, struct feeding *f)
{
    const uint64_t topic = topic_end(f->id.no);
    const bool is_long = f->pause_ns >= MAX_PAUSE_NS && watch_room(f);
    const uint64_t pause_ns = is_long ? LOOK_NS : f->pause_ns;
    const struct park park = {.topic = topic,
                              .epoch = request_epoch(rq, topic),
                              .deadline_ns = clock_mono_ns() + pause_ns};
    f->pause_ns = MIN(f->pause_ns * 2, MAX_PAUSE_NS);
    return request_park(rq, &park, NULL, &rq->refusal);
}

size_t feed_take(struct request *rq, struct slice bytes)
{
    struct feeding *f = rq->state;
    if (f->fd < 0) {
        if (!ask(rq, f, false, lent))
            return bytes.len;
        return 0;
    }
    ssize_t n;
    do
        n = write(f->fd, bytes.ptr, bytes.len);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        f->n += (uint64_t)n;
        f->pause_ns = FIRST_PAUSE_NS;
        return (size_t)n;
    }
    const unsigned long long given = f->total + f->n;
    const bool waits = errno == EAGAIN
                           ? wait_for_room(rq, f)
                           : err_set(&rq->refusal, ERR_STATE_CONFLICT,
                                     "The job does not read its standard input any more; it has "
                                     "been given %llu bytes",
                                     given);
    if (!waits)
        rq->refusal_members = change_members(rq, &f->id, &rq->refusal);
    return waits ? 0 : bytes.len;
}

static void fed(struct request *rq)
{
    struct feeding *f = rq->state;
    if (rq->cmd.err.code != ERR_NONE) {
        change_refused(rq, &f->id, &rq->cmd.err);
        return;
    }
    take_what_came(rq, f);
    buf_clear(&rq->out);
    buf_printf(&rq->out, "{\"bytes\":%llu,\"total\":%llu,\"open\":%s}\n", (unsigned long long)f->n,
               (unsigned long long)f->total, f->is_eof ? "false" : "true");
    reply_json(rq, 202);
}

static void finish(struct request *rq)
{
    struct feeding *f = rq->state;
    if (rq->refusal.code == ERR_NONE) {
        close_pipe(f); /* before the engine closes its own: then the job sees the end */
        if (ask(rq, f, true, fed))
            return;
    }
    reply_problem_with(rq, &rq->refusal, rq->refusal_members);
}

static void lent_for_nothing(struct request *rq)
{
    lent(rq);
    finish(rq);
}

void job_feed(struct request *rq)
{
    struct feeding *f = rq->state;
    if (f->fd >= 0)
        finish(rq);
    else if (!ask(rq, f, false, lent_for_nothing))
        reply_problem(rq, &rq->refusal);
}

/* SPDX-License-Identifier: MIT */
/* Every change, one sequence, from the ring in the engine. The place in the ring is the cursor. */
#include "service/events.h"

#include "api/handlers.h"
#include "api/live.h"
#include "api/reply.h"

#define PIECE_EVENTS 512
#define NAMES 16u /* queues whose names a stream remembers */

struct queue_name {
    uint32_t queue; /* 0: none */
    char text[MAX_QUEUE_NAME + 1];
};

struct events {
    struct live live;
    uint64_t next; /* the cursor */
    /* Filters; NULL or 0: any. */
    const char *queue;
    struct label label;
    int64_t batch;
    uint32_t states;
    struct queue_name names[NAMES];
    struct job_id last_batch;
};

#define PUT(out, literal) buf_append(out, literal, sizeof(literal) - 1)

static const char *queue_name(struct request *rq, struct events *s, uint32_t queue)
{
    struct queue_name *name = &s->names[queue % NAMES];
    struct err err = {0};
    bool found;
    if (name->queue == queue)
        return name->text;
    name->queue = 0;
    if (!query_queue_name(rq->thread->query, queue, name->text, &found, &err) || !found)
        return "";
    name->queue = queue;
    return name->text;
}

/* A batch may be gone by now. */
static void put_batch(struct request *rq, struct events *s, int64_t no)
{
    struct err err = {0};
    char id[37];
    bool found = true;
    if (no != 0 && s->last_batch.no != no) {
        found = query_batch_id(rq->thread->query, no, &s->last_batch, &found, &err) && found;
        s->last_batch.no = found ? no : 0;
    }
    if (no == 0 || !found) {
        PUT(&rq->out, "null");
        return;
    }
    job_id_format(&s->last_batch, id);
    buf_putc(&rq->out, '"');
    buf_append(&rq->out, id, 36);
    buf_putc(&rq->out, '"');
}

static bool matches(struct request *rq, struct events *s, const struct event *e)
{
    bool has_label = true;
    struct err err = {0};
    int64_t batch = e->kind == EVENT_BATCH ? e->no : e->batch;
    if (s->batch != 0 && s->batch != batch)
        return false;
    if (s->states != 0 && (e->to == JOB_GONE || (s->states >> e->to & 1) == 0))
        return false;
    if (s->queue != NULL && strcmp(queue_name(rq, s, e->queue), s->queue) != 0)
        return false;
    if (s->label.key != NULL &&
        !query_has_label(rq->thread->query, e->no, &s->label, &has_label, &err))
        return false;
    return has_label;
}

static void put_state(struct buf *out, enum job_state state, const char *none)
{
    if (state != JOB_GONE) {
        buf_putc(out, '"');
        buf_puts(out, job_state_name(state));
        buf_putc(out, '"');
        return;
    }
    buf_puts(out, none);
}

static void put_members(struct request *rq, struct events *s, const struct event *e)
{
    struct buf *out = &rq->out;
    if (e->kind == EVENT_CALLBACK) {
        PUT(out, ",\"try\":");
        buf_put_i64(out, e->attempt);
        PUT(out, ",\"http_status\":");
        buf_put_i64(out, e->outcome);
        return;
    }
    PUT(out, ",\"queue\":");
    buf_json_string(out, slice_of(queue_name(rq, s, e->queue)));
    if (e->kind == EVENT_BATCH)
        return;
    PUT(out, ",\"from\":");
    put_state(out, e->from, "null");
    PUT(out, ",\"attempt\":");
    buf_put_i64(out, e->attempt);
    PUT(out, ",\"version\":");
    buf_put_i64(out, e->version);
    PUT(out, ",\"batch\":");
    put_batch(rq, s, e->batch);
}

static void put_event(struct request *rq, struct events *s, const struct event *e)
{
    static const char *const names[] = {
        [EVENT_JOB] = "job", [EVENT_BATCH] = "batch", [EVENT_CALLBACK] = "callback"};
    struct job_id id = {(uint64_t)e->created_us / 1000, e->no, e->salt};
    struct buf *out = &rq->out;
    char text[37];
    job_id_format(&id, text);
    live_event_begin(rq, &s->live, names[e->kind], (int64_t)e->seq);
    PUT(out, "{\"seq\":");
    buf_put_i64(out, (int64_t)e->seq);
    PUT(out, ",\"type\":\"");
    buf_puts(out, names[e->kind]);
    PUT(out, "\",\"id\":\"");
    buf_append(out, text, 36);
    PUT(out, "\",\"state\":");
    put_state(out, e->to, "\"deleted\"");
    put_members(rq, s, e);
    PUT(out, ",\"at\":");
    buf_json_time(out, e->at_us);
    buf_putc(out, '}');
    live_event_end(rq, &s->live);
}

/* Its id is that of the last event that is missed, so a client that comes back with it goes on at
 * the first one that is there. */
static void put_gap(struct request *rq, struct events *s, uint64_t next)
{
    live_event_begin(rq, &s->live, "gap", (int64_t)next - 1);
    buf_printf(&rq->out, "{\"seq\":%llu,\"type\":\"gap\",\"after\":%llu}",
               (unsigned long long)next - 1, (unsigned long long)s->next - 1);
    live_event_end(rq, &s->live);
    s->next = next;
}

static enum fill fill_events(struct request *rq)
{
    struct events *s = rq->state;
    struct event_ring *ring = engine_events(rq->thread->shared->engine);
    struct park park = {.topic = TOPIC_ALL, .epoch = request_epoch(rq, TOPIC_ALL)};
    uint64_t n = 0, next;
    struct event e;
    enum fill fill;
    if (live_beat(rq, &s->live, &fill))
        return fill;
    for (int i = 0; i < PIECE_EVENTS; i++) {
        enum events_found found = events_get(ring, s->next, &e, &next);
        if (found == EVENTS_NONE)
            return n > 0 ? live_sent(rq, &s->live, n) : live_park(rq, &s->live, park);
        if (found == EVENTS_GONE) {
            put_gap(rq, s, next);
            n++;
            continue;
        }
        s->next++;
        if (!matches(rq, s, &e))
            continue;
        put_event(rq, s, &e);
        n++;
    }
    return n > 0 ? live_sent(rq, &s->live, n) : FILL_MORE;
}

static bool read_filters(struct request *rq, struct events *s, struct err *err)
{
    struct slice text;
    struct job_id batch;
    if (request_param(rq, "queue", &text))
        s->queue = text.ptr; /* decoded parameters are terminated */
    if (request_param(rq, "batch", &text)) {
        if (!job_id_parse(text, &batch))
            return request_bad_param(err, "batch", "the id of a batch");
        s->batch = batch.no;
    }
    return request_states(rq, &s->states, err) &&
           request_label(rq, &s->label.key, &s->label.value, err);
}

static bool read_place(struct request *rq, struct events *s, struct err *err)
{
    struct slice text, last = request_header(rq, HEADER_LAST_EVENT_ID);
    int64_t after = -1;
    s->next = events_listen(engine_events(rq->thread->shared->engine));
    if (request_param(rq, "after", &text) && (!text_to_i64(text, &after) || after < 0))
        return request_bad_param(err, "after", "the seq of an event");
    if (last.ptr != NULL && !text_to_i64(last, &after))
        after = 0; /* none that was ever given: a gap */
    if (after >= 0)
        s->next = (uint64_t)after + 1;
    return true;
}

void events_show(struct request *rq)
{
    struct events *s = arena_alloc(&rq->arena, sizeof *s);
    struct err err = {0};
    PRE(s != NULL); /* the first bytes of the arena */
    rq->state = s;
    if (!read_filters(rq, s, &err) || !read_place(rq, s, &err)) {
        reply_problem(rq, &err);
        return;
    }
    live_begin(rq, &s->live, live_accepted(rq, LIVE_SSE));
    if (s->live.form == LIVE_SSE)
        /* An id without data is no event, but a client that is cut off before the first one comes
         * back with it. */
        buf_printf(&rq->out, "id: %llu\n\n", (unsigned long long)s->next - 1);
    reply_stream(rq, live_type(s->live.form), fill_events);
}

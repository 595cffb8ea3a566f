/* SPDX-License-Identifier: MIT */
#include "api/live.h"

#include "api/accept.h"
#include "api/reply.h"

/* Clients come back after this and up to RETRY_SPREAD_MS more, so that not all come at once. */
#define RETRY_MS 2000u
#define RETRY_SPREAD_MS 1000u
#define NS_PER_US UINT64_C(1000)
/* A wake-up of a stream costs some 50 µs, whatever it brings. A stream that was served a moment ago
 * gathers for a while before the next one: as long as all parked ones together take about half of
 * their thread. */
#define GATHER_MIN_NS UINT64_C(1000000)
#define GATHER_EACH_NS UINT64_C(100000)
#define GATHER_MAX_NS UINT64_C(50000000)

enum live_form live_accepted(const struct request *rq, enum live_form otherwise)
{
    const struct slice accept = rq->head.header[HEADER_ACCEPT];
    if (accept_names(accept, "text/event-stream"))
        return LIVE_SSE;
    return accept_names(accept, "application/x-ndjson") ? LIVE_LINES : otherwise;
}

const char *live_type(enum live_form form)
{
    static const char *const types[] = {
        [LIVE_BYTES] = "application/octet-stream",
        [LIVE_SSE] = "text/event-stream",
        [LIVE_LINES] = "application/x-ndjson",
    };
    return types[form];
}

void live_begin(struct request *rq, struct live *live, enum live_form form)
{
    *live = (struct live){.form = form};
    reply_header(rq, ANSWER_UNBUFFERED, "no");
    buf_clear(&rq->out);
    if (form != LIVE_SSE)
        return;
    /* The first bytes go out at once: some proxies hold the head back until there is a body. */
    buf_printf(&rq->out, ": connected\nretry: %u\n\n",
               RETRY_MS + (unsigned)(rq->thread->next_id * 37 % RETRY_SPREAD_MS));
    live->has_sent = true;
}

static void put_beat(struct request *rq, const struct live *live)
{
    buf_puts(&rq->out, live->form == LIVE_SSE ? ": alive\n\n" : "\n");
}

/* A client that only closed its sending half gets one sign of life as a probe; if it is really
 * gone, the answer to that is an error on the socket. */
bool live_beat(struct request *rq, struct live *live, enum fill *ret)
{
    uint64_t now_ns = clock_mono_ns();
    bool probe = rq->conn->half_closed && !live->is_probed;
    if (rq->conn->is_gone || (rq->conn->half_closed && live->form == LIVE_BYTES)) {
        *ret = FILL_ABORT;
        return true;
    }
    if (!probe && now_ns < live->next_beat_ns)
        return false;
    bool is_first = live->next_beat_ns == 0;
    live->is_probed = live->is_probed || probe;
    live->next_beat_ns = now_ns + (uint64_t)rq->thread->shared->cfg->http_heartbeat_us * NS_PER_US;
    if (is_first || live->form == LIVE_BYTES)
        return false;
    put_beat(rq, live);
    *ret = FILL_MORE;
    return true;
}

enum fill live_sent(struct request *rq, struct live *live, uint64_t n)
{
    live->has_sent = true;
    live->sent_ns = clock_mono_ns();
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, n);
    return FILL_MORE;
}

enum fill live_park(struct request *rq, struct live *live, struct park park)
{
    struct err err = {0};
    uint64_t gather_ns = MAX((uint64_t)rq->thread->n_parked * GATHER_EACH_NS, GATHER_MIN_NS);
    if (!live->has_sent && live->form == LIVE_LINES) {
        put_beat(rq, live);
        live->has_sent = true;
        return FILL_MORE;
    }
    if (live->sent_ns != 0)
        park.not_before_ns = live->sent_ns + MIN(gather_ns, GATHER_MAX_NS);
    park.deadline_ns = park.deadline_ns == 0 ? live->next_beat_ns
                                             : MIN(park.deadline_ns, live->next_beat_ns);
    /* When there is no room to wait, the client comes back by itself. */
    return request_park(rq, &park, NULL, &err) ? FILL_PARKED : FILL_ABORT;
}

void live_event_begin(struct request *rq, const struct live *live, const char *name, int64_t seq)
{
    if (live->form != LIVE_SSE)
        return;
    if (seq != 0) {
        buf_puts(&rq->out, "id: ");
        buf_put_i64(&rq->out, seq);
        buf_putc(&rq->out, '\n');
    }
    buf_puts(&rq->out, "event: ");
    buf_puts(&rq->out, name);
    buf_puts(&rq->out, "\ndata: ");
}

void live_event_end(struct request *rq, const struct live *live)
{
    buf_puts(&rq->out, live->form == LIVE_SSE ? "\n\n" : "\n");
}

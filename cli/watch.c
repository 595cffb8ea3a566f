/* SPDX-License-Identifier: MIT */
#include "cli/watch.h"

#include <inttypes.h>

#include "cli/output.h"

#define ARENA_MAX ((size_t)16 << 20) /* a job's strings; its metadata is not copied */

void watch_init(struct watch *w, struct cli *cli, const char *id)
{
    *w = (struct watch){.cli = cli, .id = id, .since_ns = clock_mono_ns()};
    arena_init(&w->arena, ARENA_MAX);
}

void watch_release(struct watch *w)
{
    reply_release(&w->reply);
    arena_release(&w->arena);
    *w = (struct watch){0};
}

void watch_tick_remarks(void *owner, const char *remark)
{
    struct output *out = owner;
    if (remark != NULL)
        output_note(out, "%s; trying again for a minute", remark);
}

static void show_progress(void *owner, const char *remark)
{
    const struct watch *w = owner;
    struct output *out = w->cli->out;
    watch_tick_remarks(out, remark);
    uint64_t seconds = (clock_mono_ns() - w->since_ns) / 1000000000;
    const char *state = w->job.id[0] == '\0' ? "asking" : job_state_name(w->job.state);
    if (seconds > 0) /* what is quick needs no progress */
        output_progress(out, "%s: %s, %" PRIu64 " s", w->id, state, seconds);
}

/* One request; 304 leaves everything as it was. */
static bool ask(struct watch *w, uint32_t wait_s, struct err *err)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s", w->id);
    struct call call = {.method = "GET", .path = path, .harmless = true};
    if (wait_s > 0 && w->reply.etag[0] != '\0') {
        call.wait_s = wait_s;
        call.if_none_match = w->reply.etag;
    }
    struct reply AUTO_REPLY reply = {0};
    if (!client_call(w->cli->client, &call, &reply, err))
        return false;
    if (reply.status == 304)
        return true;
    if (reply.status < 200 || reply.status > 299)
        return reply_refuse(&reply, err);
    reply_release(&w->reply);
    w->reply = reply;
    reply = (struct reply){0};
    arena_clear(&w->arena);
    return json_read_job(buf_slice(&w->reply.body), &w->arena, &w->job, err);
}

bool watch_look(struct watch *w, struct err *err)
{
    return ask(w, 0, err);
}

bool watch_change(struct watch *w, uint32_t wait_s, struct err *err)
{
    /* Without an ETag there is no long poll; an answer that came back at once is not hammered. */
    bool can_wait = w->reply.etag[0] != '\0';
    if (!can_wait && !client_pause(w->cli->client, 500000, err))
        return false;
    return ask(w, MIN(wait_s, WAIT_MAX_S), err);
}

bool watch_end(struct watch *w, uint64_t deadline_ns, bool *ret_timed_out, struct err *err)
{
    client_set_ticker(w->cli->client, show_progress, w);
    *ret_timed_out = false;
    bool ok = watch_look(w, err);
    while (ok && !w->job.done) {
        const uint32_t wait_s = client_wait_left(deadline_ns);
        *ret_timed_out = wait_s == 0;
        if (*ret_timed_out)
            break;
        ok = watch_change(w, wait_s, err);
    }
    client_set_ticker(w->cli->client, watch_tick_remarks, w->cli->out);
    output_progress_end(w->cli->out);
    return ok;
}

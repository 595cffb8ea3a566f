/* SPDX-License-Identifier: MIT */
#include "api/change.h"

#include "api/codec.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/view.h"

bool change_condition(struct request *rq, const struct job_id *id, int64_t *ret_version,
                      struct err *err)
{
    struct job_mark mark;
    *ret_version = 0;
    if (request_header(rq, HEADER_IF_MATCH).ptr == NULL)
        return true;
    if (!query_mark(rq->thread->query, id, &mark, err))
        return false;
    if (!request_etag_matches(rq, HEADER_IF_MATCH, mark.version))
        return err_set(err, ERR_VERSION_MISMATCH, "The job has changed: its entity tag is \"%lld\"",
                       (long long)mark.version);
    *ret_version = mark.version;
    return true;
}

struct slice change_members(struct request *rq, const struct job_id *id, const struct err *err)
{
    struct job_mark mark;
    struct err ignored = {0};
    AUTO_BUF struct buf members = {0};
    buf_init(&members, 1024);
    if (err->code != ERR_STATE_CONFLICT || !query_mark(rq->thread->query, id, &mark, &ignored))
        return (struct slice){0};
    buf_printf(&members, ",\"state\":\"%s\",\"allowed\":[", job_state_name(mark.state));
    const char *comma = "";
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        if (!job_state_may_move(mark.state, (enum job_state)s))
            continue;
        buf_printf(&members, "%s\"%s\"", comma, job_state_name((enum job_state)s));
        comma = ",";
    }
    buf_putc(&members, ']');
    const char *text = arena_dup(&rq->arena, buf_slice(&members));
    return (struct slice){text, text == NULL ? 0 : members.len};
}

void change_refused(struct request *rq, const struct job_id *id, const struct err *err)
{
    reply_problem_with(rq, err, change_members(rq, id, err));
}

void change_reply(struct request *rq, const struct job_id *id, int status)
{
    struct job_view job;
    struct err err = rq->cmd.err;
    if (err.code != ERR_NONE) {
        change_refused(rq, id, &err);
        return;
    }
    if (!query_job(rq->thread->query, id, request_scratch(rq), &job, &err)) {
        reply_problem(rq, &err);
        return;
    }
    buf_clear(&rq->out);
    view_write_job(&job, &rq->out);
    buf_putc(&rq->out, '\n');
    reply_etag(rq, job.version);
    reply_json(rq, status);
}

static void changed(struct request *rq)
{
    change_reply(rq, &rq->cmd.change.id, 200);
}

static bool prepare_change(struct request *rq, struct err *err)
{
    struct command *cmd = &rq->cmd;
    struct change_request *asked = arena_alloc(&rq->arena, sizeof *asked);
    if (asked == NULL)
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    cmd->kind = CMD_CHANGE;
    if (!request_job_id(rq, &cmd->change.id, err) ||
        !codec_read_change(buf_slice(&rq->body), rq->thread->shared->cfg, &rq->arena, asked, err) ||
        !change_condition(rq, &cmd->change.id, &cmd->change.if_version, err))
        return false;
    cmd->change.members = asked->members;
    cmd->change.spec = &asked->spec;
    cmd->change.due_us = asked->spec.run_at_us != 0 ? asked->spec.run_at_us
                                                    : clock_wall_us() + asked->spec.delay_us;
    return true;
}

void job_change(struct request *rq)
{
    struct err err = {0};
    if (!prepare_change(rq, &err) || !request_send(rq, changed, &err))
        reply_problem(rq, &err);
}

static void retried(struct request *rq)
{
    change_reply(rq, &rq->cmd.retry.id, 202);
}

void job_retry(struct request *rq)
{
    struct err err = {0};
    struct command *cmd = &rq->cmd;
    cmd->kind = CMD_RETRY;
    if (!codec_read_nothing(buf_slice(&rq->body), &err) ||
        !request_job_id(rq, &cmd->retry.id, &err) ||
        !change_condition(rq, &cmd->retry.id, &cmd->retry.if_version, &err) ||
        !request_send(rq, retried, &err))
        reply_problem(rq, &err);
}

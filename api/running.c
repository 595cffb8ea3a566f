/* SPDX-License-Identifier: MIT */
/* A running job within reach: its processes, signals to them. */
#include "service/running.h"

#include "api/change.h"
#include "api/codec.h"
#include "api/handlers.h"
#include "api/reply.h"

#define PROCESSES_BYTES (12u << 20)

/* Bytes of other programs, made fit for JSON: what is no UTF-8 becomes "?". */
static void put_text(struct buf *out, char *text, size_t len)
{
    uint32_t code;
    for (size_t at = 0; at < len;) {
        const size_t step = text_utf8_step(text + at, len - at, &code);
        if (step == 0)
            text[at] = '?';
        at += MAX(step, (size_t)1);
    }
    buf_json_string(out, (struct slice){text, len});
}

static void put_argv(struct buf *out, struct slice argv)
{
    char text[MAX_ARGV_BYTES];
    const char *comma = "";
    buf_putc(out, '[');
    for (size_t at = 0; at < argv.len;) {
        const size_t len = strnlen(argv.ptr + at, argv.len - at);
        memcpy(text, argv.ptr + at, len);
        buf_puts(out, comma);
        put_text(out, text, len);
        comma = ",";
        at += len + 1;
    }
    buf_putc(out, ']');
}

static const char *state_name(char state)
{
    switch (state) {
    case 'R': return "running";
    case 'S':
    case 'I': return "sleeping";
    case 'D': return "uninterruptible";
    case 'T':
    case 't': return "stopped";
    case 'Z':
    case 'X': return "zombie";
    default: return "unknown";
    }
}

static void put_process(struct buf *out, const struct process_view *p)
{
    char name[sizeof p->name];
    memcpy(name, p->name, sizeof name);
    buf_printf(out, "{\"pid\":%d,\"ppid\":%d,\"state\":\"%s\",\"name\":", p->pid, p->ppid,
               state_name(p->state));
    put_text(out, name, strnlen(name, sizeof name));
    buf_puts(out, ",\"argv\":");
    put_argv(out, p->argv);
    buf_printf(out, ",\"rss\":%llu,\"cpu\":", (unsigned long long)p->rss_bytes);
    buf_json_seconds_us(out, p->cpu_us);
    buf_putc(out, '}');
}

static void put_processes(struct buf *out, const struct process_list *list)
{
    const struct job_view *job = &list->job;
    char id[37];
    job_id_format(&job->id, id);
    buf_printf(out,
               "{\"id\":\"%s\",\"state\":\"%s\",\"worker\":{\"name\":\"worker-%d\",\"pid\":", id,
               job_state_name(job->state), job->slot);
    if (job->worker_pid > 0)
        buf_put_i64(out, job->worker_pid);
    else
        buf_puts(out, "null");
    buf_printf(out, "},\"truncated\":%s,\"processes\":[", list->is_cut ? "true" : "false");
    for (uint32_t i = 0; i < list->n; i++) {
        if (i > 0)
            buf_putc(out, ',');
        put_process(out, &list->items[i]);
    }
    buf_puts(out, "]}\n");
}

void job_processes(struct request *rq)
{
    AUTO_ARENA struct arena a = {0};
    struct job_id id;
    struct process_list list;
    struct err err = {0};
    arena_init(&a, PROCESSES_BYTES);
    if (!request_job_id(rq, &id, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (!query_processes(rq->thread->query, &id, &a, &list, &err)) {
        change_refused(rq, &id, &err);
        return;
    }
    buf_clear(&rq->out);
    put_processes(&rq->out, &list);
    reply_json(rq, 200);
}

static void reached(struct request *rq)
{
    change_reply(rq, &rq->cmd.reach.id, 202);
}

static void reach(struct request *rq, enum reach_verb verb, const struct signal_request *asked)
{
    struct command *cmd = &rq->cmd;
    struct err err = {0};
    cmd->kind = CMD_REACH;
    cmd->reach.verb = verb;
    cmd->reach.signal = asked->signal;
    cmd->reach.is_tree = asked->is_tree;
    if (!request_job_id(rq, &cmd->reach.id, &err) || !request_send(rq, reached, &err))
        reply_problem(rq, &err);
}

void job_signal(struct request *rq)
{
    struct signal_request asked;
    struct err err = {0};
    if (codec_read_signal(buf_slice(&rq->body), &asked, &err))
        reach(rq, REACH_SIGNAL, &asked);
    else
        reply_problem(rq, &err);
}

static void stand_or_go(struct request *rq, enum reach_verb verb)
{
    const struct signal_request none = {0};
    struct err err = {0};
    if (codec_read_nothing(buf_slice(&rq->body), &err))
        reach(rq, verb, &none);
    else
        reply_problem(rq, &err);
}

void job_suspend(struct request *rq)
{
    stand_or_go(rq, REACH_SUSPEND);
}

void job_resume(struct request *rq)
{
    stand_or_go(rq, REACH_RESUME);
}

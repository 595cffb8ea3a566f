/* SPDX-License-Identifier: MIT */
#include "api/view.h"

/* Literals are most of an answer: their lengths are known here. */
#define PUT(out, literal) buf_append(out, literal, sizeof(literal) - 1)

static void put(struct buf *out, const char *text)
{
    buf_puts(out, text);
}

static void put_string_or_null(struct buf *out, const char *text)
{
    if (text == NULL)
        PUT(out, "null");
    else
        buf_json_string(out, slice_of(text));
}

static void put_signal(struct buf *out, int32_t signal)
{
    put_string_or_null(out, signal > 0 ? text_signal_name(signal) : NULL);
}

static void put_i64_or_null(struct buf *out, bool known, int64_t v)
{
    if (known)
        buf_put_i64(out, v);
    else
        PUT(out, "null");
}

static void put_bool(struct buf *out, bool v)
{
    put(out, v ? "true" : "false");
}

static void put_raw(struct buf *out, struct slice raw, const char *when_absent)
{
    if (raw.ptr == NULL || raw.len == 0)
        put(out, when_absent);
    else
        buf_append(out, raw.ptr, raw.len);
}

static void put_batch(struct buf *out, const struct job_view *job)
{
    char id[37];
    if (job->batch.no == 0) {
        PUT(out, ",\"batch\":null,\"index\":null");
        return;
    }
    job_id_format(&job->batch, id);
    PUT(out, ",\"batch\":\"");
    buf_append(out, id, 36);
    PUT(out, "\",\"index\":");
    buf_put_i64(out, job->index);
}

void view_write_parent(const struct job_id *submitter, struct buf *out)
{
    char id[37];
    if (submitter->no == 0) {
        PUT(out, ",\"parent\":null");
        return;
    }
    job_id_format(submitter, id);
    PUT(out, ",\"parent\":\"");
    buf_append(out, id, 36);
    buf_putc(out, '"');
}

/* Why a job failed, in words. */
static const char *reason_title(enum job_reason reason)
{
    static const char *const titles[REASON_COUNT] = {
        [REASON_EXIT_CODE] = "The command ended with an exit code other than 0",
        [REASON_SIGNAL] = "The command was ended by a signal",
        [REASON_TIMEOUT] = "The attempt took longer than its timeout",
        [REASON_QUEUE_TIMEOUT] = "The job waited longer than its queue_timeout",
        [REASON_DEADLINE] = "The job was not done by its deadline",
        [REASON_OOM] = "The attempt ran out of memory",
        [REASON_EXEC] = "The command could not be started",
        [REASON_FUNCTION_ERROR] = "The function reported an error",
        [REASON_OUTPUT_LIMIT] = "The job wrote more than its output limit",
        [REASON_DEPENDENCY] = "A job that this one waits for did not succeed",
        [REASON_LOST] = "The attempt was lost: its worker or the service ended under it",
        [REASON_UNKILLABLE] = "A process of the job could not be ended",
    };
    PRE(reason >= 0 && reason < REASON_COUNT);
    return titles[reason];
}

void view_write_error(const struct job_view *job, struct buf *out)
{
    bool has_words = job->state == JOB_CANCELLED && job->error_detail != NULL;
    bool has_failed = job->state == JOB_FAILED && job->reason != REASON_NONE;
    if (!has_words && !has_failed) {
        PUT(out, "null");
        return;
    }
    PUT(out, "{\"type\":");
    put_string_or_null(out, has_failed ? job_reason_name(job->reason) : "cancelled");
    PUT(out, ",\"title\":");
    put_string_or_null(out, has_failed ? reason_title(job->reason) : "The job was cancelled");
    PUT(out, ",\"detail\":");
    put_string_or_null(out, job->error_detail);
    buf_putc(out, '}');
}

static void put_usage(struct buf *out, bool known, const struct job_usage *usage)
{
    if (!known) {
        PUT(out, "null");
        return;
    }
    PUT(out, "{\"wall\":");
    buf_json_seconds_us(out, usage->wall_us);
    PUT(out, ",\"user\":");
    buf_json_seconds_us(out, usage->user_us);
    PUT(out, ",\"system\":");
    buf_json_seconds_us(out, usage->system_us);
    PUT(out, ",\"max_rss\":");
    buf_put_i64(out, (int64_t)usage->max_rss_bytes);
    PUT(out, ",\"processes_killed\":");
    buf_put_i64(out, usage->processes_killed);
    buf_putc(out, '}');
}

static void put_attempt(struct buf *out, const struct job_attempt *a)
{
    PUT(out, "{\"attempt\":");
    buf_put_i64(out, a->attempt);
    PUT(out, ",\"state\":");
    put_string_or_null(out, job_state_name(a->state));
    PUT(out, ",\"reason\":");
    put_string_or_null(out, job_reason_name(a->reason));
    PUT(out, ",\"exit_code\":");
    put_i64_or_null(out, a->has_exit_code, a->exit_code);
    PUT(out, ",\"signal\":");
    put_signal(out, a->signal);
    PUT(out, ",\"started\":");
    buf_json_time(out, a->started_us);
    PUT(out, ",\"finished\":");
    buf_json_time(out, a->finished_us);
    PUT(out, ",\"usage\":");
    put_usage(out, a->started_us != 0 && a->finished_us != 0, &a->usage);
    buf_putc(out, '}');
}

void view_write_progress(const struct job_view *job, struct buf *out)
{
    if (!(job->progress_fraction >= 0) || job->progress_at_us == 0) {
        PUT(out, "null");
        return;
    }
    buf_printf(out, "{\"fraction\":%.4g,\"message\":", job->progress_fraction);
    put_string_or_null(out, job->progress_message);
    PUT(out, ",\"at\":");
    buf_json_time(out, job->progress_at_us);
    buf_putc(out, '}');
}

static void put_worker(struct buf *out, const struct job_view *job)
{
    if (job->slot < 0) {
        PUT(out, "null");
        return;
    }
    PUT(out, "{\"name\":\"worker-");
    buf_put_i64(out, job->slot);
    PUT(out, "\",\"pid\":");
    put_i64_or_null(out, job->worker_pid > 0, job->worker_pid);
    PUT(out, ",\"job_pid\":");
    put_i64_or_null(out, job->job_pid > 0, job->job_pid);
    buf_putc(out, '}');
}

static void put_links(struct buf *out, const char *id)
{
    static const char *const names[] = {"result", "stdout", "stderr", "events"};
    PUT(out, "{\"self\":\"/v1/jobs/");
    put(out, id);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        PUT(out, "\",\"");
        put(out, names[i]);
        PUT(out, "\":\"/v1/jobs/");
        put(out, id);
        buf_putc(out, '/');
        put(out, names[i]);
    }
    PUT(out, "\"}");
}

static void put_identity(struct buf *out, const struct job_view *job, const char *id)
{
    PUT(out, "{\"id\":\"");
    put(out, id);
    PUT(out, "\",\"state\":\"");
    put(out, job_state_name(job->state));
    PUT(out, "\",\"reason\":");
    put_string_or_null(out, job->state == JOB_FAILED ? job_reason_name(job->reason) : NULL);
    PUT(out, ",\"done\":");
    put_bool(out, job_state_is_end(job->state));
    PUT(out, ",\"attempt\":");
    buf_put_i64(out, job->attempt);
    PUT(out, ",\"max_attempts\":");
    buf_put_i64(out, job->max_attempts);
    PUT(out, ",\"name\":");
    put_string_or_null(out, job->name);
    PUT(out, ",\"queue\":");
    put_string_or_null(out, job->queue);
    PUT(out, ",\"priority\":");
    buf_put_i64(out, job->priority);
    PUT(out, ",\"labels\":");
    put_raw(out, job->labels, "{}");
    PUT(out, ",\"metadata\":");
    put_raw(out, job->metadata, "{}");
    put_batch(out, job);
    view_write_parent(&job->submitter, out);
}

static void put_times(struct buf *out, const struct job_view *job)
{
    PUT(out, ",\"times\":{\"created\":");
    buf_json_time(out, job->created_us);
    PUT(out, ",\"queued\":");
    buf_json_time(out, job->queued_us);
    PUT(out, ",\"started\":");
    buf_json_time(out, job->started_us);
    PUT(out, ",\"finished\":");
    buf_json_time(out, job->finished_us);
    buf_putc(out, '}');
}

static void put_attempts(struct buf *out, const struct job_view *job)
{
    PUT(out, ",\"attempts\":[");
    for (uint32_t i = 0; i < job->n_attempts; i++) {
        if (i > 0)
            buf_putc(out, ',');
        put_attempt(out, &job->attempts[i]);
    }
    buf_putc(out, ']');
}

/* null: nobody has answered yet, or the end was one that is not told. */
static const char *delivered(const struct callback_view *callback)
{
    if (callback->is_pending || !callback->has_tried)
        return "null";
    return callback->outcome == TRY_DELIVERED ? "true" : "false";
}

void view_write_callback(const struct callback_view *callback, struct buf *out)
{
    const char *comma = "";
    PUT(out, "{\"url\":");
    put_string_or_null(out, callback->receiver);
    PUT(out, ",\"on\":[");
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        if ((callback->states >> s & 1u) == 0)
            continue;
        buf_printf(out, "%s\"%s\"", comma, job_state_name((enum job_state)s));
        comma = ",";
    }
    PUT(out, "],\"tries\":");
    buf_put_i64(out, callback->tries);
    PUT(out, ",\"delivered\":");
    put(out, delivered(callback));
    PUT(out, ",\"last_status\":");
    put_i64_or_null(out, callback->http_status > 0, callback->http_status);
    buf_putc(out, '}');
}

void view_write_try(const struct callback_try *try, struct buf *out)
{
    PUT(out, "{\"at\":");
    buf_json_time(out, try->at_us);
    PUT(out, ",\"took\":");
    buf_json_seconds_us(out, try->took_us);
    PUT(out, ",\"outcome\":");
    put_string_or_null(out, try_outcome_name(try->outcome));
    PUT(out, ",\"status\":");
    put_i64_or_null(out, try->http_status > 0, try->http_status);
    PUT(out, ",\"error\":");
    put_string_or_null(out, try->error);
    buf_putc(out, '}');
}

void view_write_job(const struct job_view *job, struct buf *out)
{
    char id[37];
    job_id_format(&job->id, id);
    put_identity(out, job, id);
    PUT(out, ",\"progress\":");
    view_write_progress(job, out);
    if (job->state == JOB_RUNNING || job->state == JOB_STOPPING)
        put(out, job->is_suspended ? ",\"suspended\":true" : ",\"suspended\":false");
    PUT(out, ",\"worker\":");
    put_worker(out, job);
    PUT(out, ",\"exit_code\":");
    put_i64_or_null(out, job->has_exit_code, job->exit_code);
    PUT(out, ",\"signal\":");
    put_signal(out, job->signal);
    PUT(out, ",\"error\":");
    view_write_error(job, out);
    put_times(out, job);
    PUT(out, ",\"usage\":");
    put_usage(out, job->started_us != 0 && job->finished_us != 0, &job->usage);
    PUT(out, ",\"output\":{\"stdout_bytes\":");
    buf_put_i64(out, (int64_t)job->output.bytes[0]);
    PUT(out, ",\"stderr_bytes\":");
    buf_put_i64(out, (int64_t)job->output.bytes[1]);
    PUT(out, ",\"truncated\":");
    put_bool(out, job->output.truncated[0] || job->output.truncated[1]);
    buf_putc(out, '}');
    put_attempts(out, job);
    if (job->has_outputs) {
        PUT(out, ",\"outputs\":");
        view_write_outputs(job, out);
    }
    if (job->callback != NULL) {
        PUT(out, ",\"callback\":");
        view_write_callback(job->callback, out);
    }
    PUT(out, ",\"links\":");
    put_links(out, id);
    buf_putc(out, '}');
}

/* A line break in valid JSON is always white space: inside a string it must be escaped (RFC 8259,
 * section 7). */
void view_make_line(struct buf *out, size_t from)
{
    for (size_t i = from; i < out->len; i++) {
        if (out->ptr[i] == '\n' || out->ptr[i] == '\r')
            out->ptr[i] = ' ';
    }
}

void view_write_job_line(const struct job_view *job, struct buf *out)
{
    size_t from = out->len;
    view_write_job(job, out);
    view_make_line(out, from);
}

static const char *own_name(int64_t no, struct arena *a)
{
    char *name = arena_alloc(a, JOB_OWN_NAME_SIZE);
    if (name != NULL)
        job_own_name(no, name);
    return name;
}

static struct callback_view *callback_at_birth(const struct job_spec *spec, struct arena *a)
{
    struct callback_view *callback = arena_alloc(a, sizeof *callback);
    if (callback != NULL)
        *callback = (struct callback_view){.receiver = spec->callback_receiver.ptr,
                                           .states = spec->callback_states};
    return callback;
}

bool view_at_birth(const struct submit_item *item, struct arena *a, struct job_view *ret,
                   struct err *err)
{
    const struct job_spec *spec = &item->spec;
    *ret = (struct job_view){
        .id = item->id,
        .state = item->birth,
        .reason = REASON_NONE,
        .max_attempts = spec->max_attempts,
        .version = 1,
        .name = spec->name.ptr != NULL ? arena_dup(a, spec->name) : own_name(item->id.no, a),
        .queue = arena_dup(a, spec->queue),
        .priority = spec->priority,
        .labels = spec->labels,
        .metadata = spec->metadata,
        .submitter = spec->submitter,
        .created_us = item->created_us,
        .due_us = item->due_us,
        .queued_us = item->birth == JOB_QUEUED ? item->created_us : 0,
        .slot = -1,
        .progress_fraction = -1,
        .result = spec->result,
        .has_outputs = spec->n_outputs > 0,
    };
    if (spec->callback_url.ptr != NULL)
        ret->callback = callback_at_birth(spec, a);
    if (ret->name == NULL || ret->queue == NULL ||
        (spec->callback_url.ptr != NULL && ret->callback == NULL))
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    return true;
}

void view_make_birth(struct job_view *job)
{
    if (job->callback != NULL)
        *job->callback = (struct callback_view){.receiver = job->callback->receiver,
                                                .states = job->callback->states};
    struct job_view birth = {
        .id = job->id,
        .has_outputs = job->has_outputs,
        /* A retry moves due_us too: it tells of the birth only before the second attempt. */
        .state = job->due_us > job->created_us && job->attempt < 2 ? JOB_SCHEDULED
                 : (job->flags & JOB_CHILD) != 0                   ? JOB_BLOCKED
                                                                   : JOB_QUEUED,
        .reason = REASON_NONE,
        .max_attempts = job->max_attempts,
        .version = 1,
        .name = job->name,
        .queue = job->queue,
        .priority = job->priority,
        .labels = job->labels,
        .metadata = job->metadata,
        .submitter = job->submitter,
        .created_us = job->created_us,
        .due_us = job->due_us,
        .slot = -1,
        .progress_fraction = -1,
        .result = job->result,
        .callback = job->callback,
    };
    birth.queued_us = birth.state == JOB_QUEUED ? job->created_us : 0;
    *job = birth;
}

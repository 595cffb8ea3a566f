/* SPDX-License-Identifier: MIT */
#include "service/query_impl.h"

#include "pool/family.h"
#include "pool/pool.h"
#include "storage/deliveries.h"
#include "storage/reader_batch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define READER_CACHE_BYTES (4u << 20) /* per HTTP thread */

bool query_open(struct engine *engine, struct query **ret_query, struct err *err)
{
    const char *data = engine_config(engine)->data;
    struct query *q = must_alloc(sizeof *q);
    q->engine = engine;
    q->page_bytes = sysconf(_SC_PAGESIZE);
    q->data_fd = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (q->data_fd < 0) {
        query_close(q);
        return err_sys(err, ERR_STORAGE, "open data directory %s", data);
    }
    if (!reader_open(data, READER_CACHE_BYTES, &q->reader, err)) {
        query_close(q);
        return err_wrap(err, "open reader");
    }
    *ret_query = q;
    return true;
}

void query_close(struct query *query)
{
    if (query == NULL)
        return;
    reader_close(query->reader);
    auto_close(&query->data_fd);
    free(query);
}

void query_rest(struct query *query)
{
    reader_rest(query->reader);
}

static void add_progress(struct job_view *job, const struct progress *progress, struct arena *a)
{
    if (!progress->is_known)
        return;
    job->progress_fraction = (double)progress->ppm / 1e6;
    job->progress_at_us = progress->at_us;
    job->progress_message = progress->text[0] == '\0' ? NULL
                                                      : arena_dup(a, slice_of(progress->text));
}

static void add_live_facts(const struct query *q, struct job_view *job, struct arena *a)
{
    struct pool_live live;
    if ((job->state != JOB_RUNNING && job->state != JOB_STOPPING) || job->slot < 0)
        return;
    if (!pool_live(engine_pool(q->engine), (uint32_t)job->slot, job->id.no, &live))
        return;
    job->worker_pid = live.worker_pid;
    job->job_pid = live.job_pid;
    job->is_suspended = live.suspended;
    job->output.bytes[0] = live.bytes[0];
    job->output.bytes[1] = live.bytes[1];
    add_progress(job, &live.progress, a);
}

bool query_listen(struct query *query, struct job_view *job, struct arena *a)
{
    if ((job->state != JOB_RUNNING && job->state != JOB_STOPPING) || job->slot < 0 ||
        !pool_listen(engine_pool(query->engine), (uint32_t)job->slot, job->id.no))
        return false;
    add_live_facts(query, job, a);
    return true;
}

bool query_job(struct query *query, const struct job_id *id, struct arena *a, struct job_view *ret,
               struct err *err)
{
    if (!reader_job(query->reader, id, a, ret, err))
        return false;
    add_live_facts(query, ret, a);
    return true;
}

bool query_job_by_no(struct query *query, int64_t no, struct arena *a, struct job_view *ret,
                     struct err *err)
{
    if (!reader_job_by_no(query->reader, no, a, ret, err))
        return false;
    add_live_facts(query, ret, a);
    return true;
}

bool query_list(struct query *query, const struct job_filter *filter, struct arena *a,
                struct job_page *page, struct err *err)
{
    if (!reader_list(query->reader, filter, a, page, err))
        return false;
    for (size_t i = 0; i < page->n && !page->only_ids; i++)
        add_live_facts(query, &page->jobs[i], a);
    return true;
}

bool query_tries(struct query *query, int64_t no, struct arena *a, struct try_page *page,
                 struct err *err)
{
    return reader_tries(query->reader, no, a, page, err);
}

bool query_mark(struct query *query, const struct job_id *id, struct job_mark *ret, struct err *err)
{
    return reader_mark(query->reader, id, ret, err);
}

bool query_submitter(struct query *query, int64_t no, struct job_id *ret, struct err *err)
{
    return reader_submitter(query->reader, no, ret, err);
}

bool query_batch(struct query *query, const struct job_id *id, struct arena *a,
                 struct batch_view *ret, struct err *err)
{
    return reader_batch(query->reader, id, a, ret, err);
}

bool query_batch_by_no(struct query *query, int64_t no, struct arena *a, struct batch_view *ret,
                       struct err *err)
{
    return reader_batch_by_no(query->reader, no, a, ret, err);
}

bool query_batch_nos(struct query *query, int64_t before, struct number_page *page, struct err *err)
{
    return reader_batch_nos(query->reader, before, page, err);
}

bool query_batch_mark(struct query *query, const struct job_id *id, struct batch *ret,
                      struct err *err)
{
    return reader_batch_mark(query->reader, id, ret, err);
}

bool query_element_rules(struct query *query, int64_t batch, struct arena *a,
                         struct element_rules *ret, struct err *err)
{
    AUTO_ARENA struct arena scratch = {0};
    struct slice template_bytes;
    arena_init(&scratch, (size_t)12 << 20);
    if (!reader_template(query->reader, batch, &scratch, &template_bytes, err))
        return false;
    if (template_bytes.ptr == NULL)
        return err_set(err, ERR_STATE_CONFLICT, "The batch is not made from items");
    return element_rules(template_bytes, a, ret, err);
}

bool query_queue(struct query *query, const char *name, struct arena *a, struct queue_view *ret,
                 struct err *err)
{
    return reader_queue(query->reader, name, a, ret, err);
}

bool query_queues(struct query *query, const char *after, struct arena *a, struct queue_page *page,
                  struct err *err)
{
    return reader_queues(query->reader, after, a, page, err);
}

bool query_defaults(struct query *query, struct slice queue, struct arena *a, struct slice *ret,
                    struct err *err)
{
    return reader_defaults(query->reader, queue, a, ret, err);
}

bool query_position(struct query *query, int64_t no, int64_t max, int64_t *ret, struct err *err)
{
    return reader_position(query->reader, no, max, ret, err);
}

bool query_parents(struct query *query, int64_t child, struct parent_list *ret, struct err *err)
{
    return reader_parents(query->reader, child, ret, err);
}

bool query_spool_open(const struct query *q, const struct output_ref *ref, int *ret_fd,
                      struct err *err)
{
    char path[64];
    spool_path(ref->no, ref->attempt, ref->stream, path);
    int fd = openat(q->data_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORAGE,
                       "open output of the job");
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return err_set(err, ERR_STORAGE, "The job's output is not a regular file");
    }
    *ret_fd = fd;
    return true;
}

/* A running job: nothing to read before a worker watches it; then the file, as far as the worker
 * says that it is written. */
static bool open_running(struct query *q, const struct job_view *job, int stream,
                         struct query_output *ret, struct err *err)
{
    struct pool_live live;
    ret->running = true;
    if (job->slot < 0 ||
        !pool_live(engine_pool(q->engine), (uint32_t)job->slot, job->id.no, &live)) {
        ret->needs_watch = true; /* it ends just now, or has not begun: look again */
        return true;
    }
    if (!live.watched) {
        ret->needs_watch = true;
        return true;
    }
    ret->bytes = live.bytes[stream == STREAM_DATA ? 2 : stream];
    if (ret->bytes == 0)
        return true;
    struct err missing = {0};
    if (query_spool_open(q, &ret->ref, &ret->spool_fd, &missing))
        return true;
    ret->needs_watch = true; /* watched, but not moved yet */
    ret->bytes = 0;
    return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
}

bool query_output_open(struct query *query, const struct job_view *job, int stream,
                       struct query_output *ret, struct err *err)
{
    PRE(stream >= 0 && stream < OUTPUT_STREAMS);
    *ret = (struct query_output){
        .ref = {job->id.no, job->attempt, (uint8_t)stream},
        .spool_fd = -1,
    };
    if (job->output.expired) {
        ret->expired = true;
        return true;
    }
    if (job->state == JOB_RUNNING || job->state == JOB_STOPPING)
        return open_running(query, job, stream, ret, err);
    ret->bytes = job->output.bytes[stream];
    ret->truncated = stream < STREAM_VALUE && job->output.truncated[stream];
    if (!job->output.spooled[stream])
        return true;
    if (!query_spool_open(query, &ret->ref, &ret->spool_fd, err))
        return false;
    struct stat st;
    if (stream == STREAM_DATA && fstat(ret->spool_fd, &st) == 0)
        ret->bytes = (uint64_t)st.st_size;
    return true;
}

bool query_output_read(struct query *query, const struct query_output *out, struct chunk *chunk,
                       struct err *err)
{
    chunk->n = 0;
    if (chunk->offset >= out->bytes)
        return true;
    chunk->max = (size_t)MIN((uint64_t)chunk->max, out->bytes - chunk->offset);
    if (out->spool_fd < 0)
        return reader_output(query->reader, &out->ref, chunk, err);
    ssize_t n = pread(out->spool_fd, chunk->to, chunk->max, (off_t)chunk->offset);
    if (n < 0)
        return err_sys(err, ERR_STORAGE, "read output of the job");
    chunk->n = (size_t)n;
    return true;
}

static uint64_t resident_bytes(const struct query *q, int32_t pid)
{
    struct family_member worker;
    return family_look_at(pid, &worker) ? worker.rss_pages * (uint64_t)q->page_bytes : 0;
}

uint32_t query_workers(struct query *query, struct query_worker *ret, uint32_t max)
{
    const struct pool *pool = engine_pool(query->engine);
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < pool_slots(pool) && n < max; slot++) {
        struct pool_worker info = {0};
        if (!pool_worker_info(pool, slot, &info))
            continue;
        struct query_worker *worker = &ret[n++];
        *worker = (struct query_worker){
            .slot = slot,
            .pool = MIN(info.group, (uint32_t)MAX_POOLS - 1),
            .alive = info.alive,
            .busy = info.busy,
            .pid = info.pid,
            .last_status = info.last_status,
            .started_us = info.started_us,
            .tasks_done = info.tasks_done,
            .rss_bytes = info.alive ? resident_bytes(query, info.pid) : 0,
        };
        if (info.job_no == 0)
            continue;
        AUTO_ARENA struct arena a = {0};
        arena_init(&a, 4u << 20);
        struct job_view view;
        struct err ignored = {0};
        if (reader_job_by_no(query->reader, info.job_no, &a, &view, &ignored))
            worker->job = view.id;
    }
    return n;
}

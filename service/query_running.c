/* SPDX-License-Identifier: MIT */
#include "service/running.h"

#include "pool/family.h"
#include "pool/pool.h"
#include "service/query_impl.h"

static bool fill(const struct query *q, const struct family_member *m, struct arena *a,
                 struct process_view *ret)
{
    char argv[MAX_ARGV_BYTES];
    const long ticks = sysconf(_SC_CLK_TCK);

    *ret = (struct process_view){
        .pid = m->pid,
        .ppid = m->ppid,
        .state = m->state,
        .rss_bytes = m->rss_pages * (uint64_t)q->page_bytes,
        .cpu_us = (int64_t)(m->cpu_ticks * 1000000 / (uint64_t)ticks),
        .argv = {argv, family_argv(m, argv, sizeof argv)},
    };
    memcpy(ret->name, m->name, sizeof ret->name);
    /* A worker that runs a function, or a job's first process before it is the job's program. */
    if (ret->argv.len > 8 && memcmp(argv, "ganger: ", 8) == 0)
        ret->argv.len = strnlen(argv, ret->argv.len);
    ret->argv.ptr = arena_dup(a, ret->argv);
    return ret->argv.ptr != NULL;
}

/* Somebody who moved up while we looked may be there twice. */
static bool is_known(const struct process_list *list, const struct family_member *m)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->items[i].pid == m->pid)
            return true;
    return false;
}

static bool fill_all(const struct query *q, const struct family *family, struct arena *a,
                     struct process_list *ret)
{
    ret->n = 0;
    ret->is_cut = family->is_cut;
    ret->items = arena_alloc(a, (family->n + 1) * sizeof *ret->items);
    for (size_t i = 0; ret->items != NULL && i < family->n; i++) {
        if (is_known(ret, &family->all[i]))
            continue;
        if (!fill(q, &family->all[i], a, &ret->items[ret->n]))
            return false;
        ret->n++;
    }
    return ret->items != NULL;
}

static bool not_running(const struct job_view *job, struct err *err)
{
    return err_set(err, ERR_STATE_CONFLICT, "The job is %s; only a running one has processes",
                   job_state_name(job->state));
}

bool query_processes(struct query *query, const struct job_id *id, struct arena *a,
                     struct process_list *ret, struct err *err)
{
    AUTO_FAMILY struct family family = {0};
    struct job_view after;

    if (!query_job(query, id, a, &ret->job, err))
        return false;
    if (ret->job.state != JOB_RUNNING && ret->job.state != JOB_STOPPING)
        return not_running(&ret->job, err);
    family_init(&family, MAX_PROCESSES);
    if (!pool_family(engine_pool(query->engine), (uint32_t)ret->job.slot, id->no, &family)) {
        /* It begins or ends in this moment. */
        if (!query_job(query, id, a, &after, err))
            return false;
        if (job_state_is_end(after.state))
            return not_running(&after, err);
        family.n = 0;
    }
    return fill_all(query, &family, a, ret) ||
           err_set(err, ERR_OVERLOADED, "There is not enough memory for this answer now");
}

/* SPDX-License-Identifier: MIT */
/* One job that cannot be read, for whatever is wrong with it, is first in the ready order again in
 * every turn. So the claim is a guarded step too: what it has done is undone, the job fails, and
 * what comes behind it is claimed. */
#include "service/engine_state.h"

#define MAX_REFUSED 16                     /* in one turn; the next one goes on */
#define CLAIM_PAUSE_NS UINT64_C(100000000) /* after an error that is no job's fault */

static bool claim(struct engine *e, const void *arg, struct err *err)
{
    struct err *why = *(struct err *const *)arg;
    e->dispatch.suspect = 0;
    if (dispatch_claim(&e->dispatch, &e->turn, err))
        return true;
    *why = *err;
    return false;
}

static bool refuse(struct engine *e, const void *arg, struct err *err)
{
    const struct err *why = *(struct err *const *)arg;
    char words[sizeof why->detail + 40];
    (void)snprintf(words, sizeof words, "The job cannot begin: %s", why->detail);
    const struct job_refusal refusal = {e->dispatch.suspect, REASON_EXEC, e->turn.now_us, words};
    return jobs_refuse(e->store, &refusal, err);
}

/* *ret_refused: it has failed for `why`. */
static bool refuse_suspect(struct engine *e, struct err *why, bool *ret_refused, struct err *err)
{
    struct guarded step = {.name = "fail a job that cannot be read", .run = refuse, .arg = &why};
    struct err missing = {0};
    struct job_row row;
    char id[37] = "";
    bool dropped;
    if (jobs_get_by_no(e->store, e->dispatch.suspect, &row, &missing)) {
        step.id = row.id;
        job_id_format(&row.id, id);
    }
    if (!guard(e, &step, &dropped, err))
        return false;
    *ret_refused = !dropped;
    if (!dropped)
        log_event(e->parts.log, LOG_ERROR, "a job that cannot be read has failed",
                  LOG_STR("id", id), LOG_STR("detail", why->detail));
    return true;
}

/* *ret_again: a job has failed, and what comes behind it has not been looked at. */
static bool claim_or_refuse(struct engine *e, bool *ret_again, struct err *err)
{
    struct err why = {0}, *told = &why;
    const struct guarded step = {.name = "claim what may begin", .run = claim, .arg = &told};
    bool dropped;
    *ret_again = false;
    if (!guard(e, &step, &dropped, err))
        return false;
    if (!dropped)
        return true;
    dispatch_claim_undone(&e->dispatch);
    if (e->dispatch.suspect != 0 && !refuse_suspect(e, &why, ret_again, err))
        return false;
    if (!*ret_again)
        e->dispatch.backoff_until_ns = e->turn.now_ns + CLAIM_PAUSE_NS;
    return true;
}

bool apply_claims(struct engine *e, struct err *err)
{
    bool again = true;
    for (int i = 0; again && i < MAX_REFUSED; i++)
        if (!claim_or_refuse(e, &again, err))
            return false;
    return true;
}

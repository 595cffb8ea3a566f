/* SPDX-License-Identifier: MIT */
/* Whoever a commit is sure to need is told before it, and is awake when it is done (vigil.h). This
 * is for one thing that happens by itself: as soon as there is anything else to do, processors are
 * worth more than that, and one of two that are awake in vain would stand in the way of the other.
 */
#include "service/engine_state.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#define COMMIT_NS (VIGIL_COMMIT_NS / 4 * 3) /* a disk that is slower leaves vigils in vain */
#define SHORT_NS UINT64_C(20000)            /* attempts whose end is worth a vigil */
#define MAX_CHANGES 4                       /* of a job, its batch, and what follows from them */

/* There is one command at most, and no worker has anything to do but perhaps what is claimed now.
 */
static bool is_at_rest(const struct engine *e)
{
    return e->keeps_vigil && e->n_batch <= 1 && e->pending == NULL && e->commit_ns <= COMMIT_NS &&
           atomic_load_explicit(&e->inbox.reserved, memory_order_relaxed) <= 1 &&
           atomic_load_explicit(&e->shared.phase, memory_order_relaxed) == PHASE_RUNNING &&
           dispatch_ahead(&e->dispatch) == 0 && flight_count(&e->dispatch, FLIGHT_RUNNING) == 0;
}

/* What is claimed, when that is one flight; NULL: nothing, or more. */
static const struct flight *only_claim(const struct dispatch *d)
{
    const struct flight *only = NULL;
    for (uint32_t k = 0; k < d->n; k++) {
        if (d->flights[k].state != FLIGHT_CLAIMED)
            continue;
        if (only != NULL)
            return NULL;
        only = &d->flights[k];
    }
    return only;
}

static struct mailbox *home_of(const struct engine *e, uint64_t topic, const struct batch *batch)
{
    const struct wake wake = {.topic = topic, .now_ns = e->turn.now_ns, .batch = batch};
    return waiters_home(e->waiters, &wake);
}

/* Where somebody lives who waits for what this transaction changes. */
static struct mailbox *home_of_waiter(struct engine *e)
{
    struct mailbox *home = NULL;
    size_t n_changes = 0, n_batches = 0;
    const struct job_change *changes = store_changes(e->store, &n_changes);
    const int64_t *batches = store_changed_batches(e->store, &n_batches);
    if (n_changes > MAX_CHANGES || n_batches > MAX_CHANGES || waiters_count(e->waiters) == 0)
        return NULL;
    for (size_t i = 0; i < n_changes && home == NULL; i++)
        if (job_change_is_end(&changes[i]))
            home = home_of(e, topic_end(changes[i].no), NULL);
    for (size_t i = 0; i < n_batches && home == NULL; i++) {
        const struct batch *batch;
        struct err gone = {0};
        if (batch_get_by_no(e->store, batches[i], &batch, &gone))
            home = home_of(e, topic_batch(batches[i]), batch);
    }
    return home;
}

void standby_alert(struct engine *e)
{
    if (!is_at_rest(e))
        return;
    const struct flight *claim = only_claim(&e->dispatch);
    struct mailbox *home = e->n_batch == 1 && e->verdicts[0] == VERDICT_ANSWER ? e->batch[0]->home
                                                                               : home_of_waiter(e);
    e->has_started = claim != NULL;
    if (home != NULL && home->keeps_vigil)
        mailbox_alert(home);
    else if (claim != NULL)
        pool_alert(e->parts.pool, claim->place);
}

/* ------------------------------------------------------------------------------------------------
 * waiting */

/* Where events go. */
struct sources {
    struct epoll_event *events;
    int max;
};

/* epoll_pwait2(2) knows nanoseconds. Where an old kernel or a container's filter lacks it,
 * milliseconds must do. */
static int wait_for(struct engine *e, int fd, const struct sources *to, uint64_t ns)
{
    if (!e->lacks_pwait2) {
        struct timespec ts = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
        int n = epoll_pwait2(fd, to->events, to->max, &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        e->lacks_pwait2 = true;
    }
    return epoll_wait(fd, to->events, to->max, (int)((ns + 999999) / 1000000));
}

/* Ends soon, as far as is known, and nothing else is under way. */
static bool awaits_short_task(const struct engine *e)
{
    return e->has_started && e->typical_ns <= SHORT_NS && e->n_batch == 0 &&
           flight_count(&e->dispatch, FLIGHT_RUNNING) == 1;
}

int standby_wait(struct engine *e, struct epoll_event *events, int max)
{
    const struct sources to = {events, max};
    int n = 0;
    vigil_begin(&e->vigil, awaits_short_task(e) ? VIGIL_TASK_NS : 0);
    e->has_started = false;
    while (n == 0 && vigil_goes_on(&e->vigil))
        n = wait_for(e, e->epoll_fd, &to, 0);
    uint64_t at = pace_next_ns(e), now = clock_mono_ns();
    bool naps = pace_naps(e, now, &at);
    if (n != 0)
        return n;
    if (!naps && at > now && !pool_sleeps(e->parts.pool))
        at = now;
    n = wait_for(e, naps ? e->calm_fd : e->epoll_fd, &to,
                 at <= now ? 0 : MIN(at - now, UINT64_C(60000000000)));
    pool_wakes(e->parts.pool);
    return n;
}

/* SPDX-License-Identifier: MIT */
/* How effects leave a turn: answers, parked requests, wakes, numbers. Everything here happens after
 * the commit, or needs none. */
#include "service/engine_state.h"
#include "storage/deliveries.h"

static void answer(struct engine *e, struct command *cmd)
{
    struct mailbox *box = cmd->home;
    if (!mailbox_push(box, cmd))
        return; /* its owner has been, or is about to be, notified */
    for (size_t i = 0; i < e->n_touched; i++)
        if (e->touched[i] == box)
            return;
    PRE(e->n_touched < MAX_BOXES);
    e->touched[e->n_touched++] = box;
}

void publish_answer(struct engine *e, struct command *cmd)
{
    if (cmd->kind == CMD_DELIVERED)
        publish_delivered(e, cmd);
    else if (cmd->kind == CMD_FEED)
        publish_feed(e, cmd);
    answer(e, cmd);
    inbox_unreserve(&e->inbox);
}

void publish_answers(struct engine *e, struct command *list)
{
    uint64_t n = 0;
    for (struct command *next; list != NULL; list = next, n++) {
        next = list->next;
        answer(e, list);
    }
    metrics_add(e->parts.metrics, COUNT_WAKEUPS, n);
}

void publish_notify(struct engine *e)
{
    for (size_t i = 0; i < e->n_touched; i++)
        mailbox_notify(e->touched[i]);
    e->n_touched = 0;
}

static uint64_t park_topic(const struct command *cmd)
{
    if (cmd->kind == CMD_SUBMIT)
        return topic_end(cmd->submit.items[0].id.no);
    if (cmd->kind == CMD_CANCEL)
        return topic_end(cmd->cancel.id.no);
    if (cmd->kind == CMD_BATCH_CANCEL || cmd->kind == CMD_BATCH_RETRY || cmd->kind == CMD_PURGE)
        return topic_chore(cmd->tally.id);
    return cmd->park.topic;
}

/* Without a deadline: who waits for a verb on many jobs hears when it is done. */
static uint64_t park_deadline_ns(const struct command *cmd)
{
    if (cmd->kind == CMD_PARK)
        return cmd->park.deadline_ns;
    return cmd->wait_until_ns != 0 ? cmd->wait_until_ns : UINT64_MAX;
}

static void park(struct engine *e, struct command *cmd)
{
    uint64_t topic = park_topic(cmd);
    if (!waiters_park(e->waiters, cmd, topic, park_deadline_ns(cmd))) {
        cmd->timed_out = false;
        publish_answer(e, cmd);
        return;
    }
    inbox_unreserve(&e->inbox);
    if (cmd->kind != CMD_PARK || !cmd->park.watch)
        return;
    struct flight *f = dispatch_find(&e->dispatch, (int64_t)(topic & ((UINT64_C(1) << 56) - 1)));
    if (f != NULL && f->state == FLIGHT_RUNNING)
        pool_watch(e->parts.pool, f->place);
}

static void unpark(struct engine *e, struct command *cmd)
{
    struct command *parked = waiters_remove(e->waiters, cmd->waiter);
    if (parked != NULL)
        answer(e, parked);
    inbox_unreserve(&e->inbox);
    free(cmd);
}

/* Nobody waits for an answer to it. One that the store refused has not been done, and is asked
 * again when the store is; at the end of the service the next start finds its batch. */
static void finish_break(struct engine *e, struct command *cmd)
{
    if (cmd->err.code != ERR_NONE && atomic_load(&e->shared.phase) != PHASE_STOPPED) {
        cmd->next = e->put_off;
        e->put_off = cmd;
        return;
    }
    if (cmd->kind == CMD_FEED_BREAK)
        publish_feed(e, cmd);
    inbox_unreserve(&e->inbox);
    free(cmd);
}

static void wake(struct engine *e, uint64_t topic, bool failed)
{
    struct wake wake = {.topic = topic, .now_ns = e->turn.now_ns, .failed = failed};
    publish_answers(e, waiters_wake(e->waiters, &wake));
}

/* Who has submitted the job and waits for it is told what its end was: that saves a read, for which
 * the reader's pages would have to be fetched anew after this commit. */
static void wake_end(struct engine *e, const struct job_change *change)
{
    struct wake wake = {.topic = topic_end(change->no),
                        .now_ns = e->turn.now_ns,
                        .failed = change->to == JOB_FAILED};
    struct command *woken = waiters_wake(e->waiters, &wake);
    for (struct command *cmd = woken; cmd != NULL; cmd = cmd->next)
        if (cmd->kind == CMD_SUBMIT)
            cmd->submit.has_end = jobs_plain_end(e->store, change->no, &cmd->submit.end);
    publish_answers(e, woken);
}

/* Before the topic moves on, so that a reader who asks to hear of progress between the two finds
 * that it has moved on, and asks again. */
void publish_output(struct engine *e, const struct pool_event *event)
{
    const uint64_t topic = topic_output(event->job_no);
    struct wake wake = {.topic = topic, .now_ns = clock_mono_ns()};
    if (!waiters_any(e->waiters, topic))
        pool_hush(e->parts.pool, event->place);
    publish_answers(e, waiters_wake(e->waiters, &wake));
}

/* The newest end to those who have seen all others. */
static void tell_end(const struct engine *e, const struct batch *b, struct command *woken)
{
    const struct told_end *end = turn_find_end(&e->turn, b->no, b->ended);
    for (struct command *cmd = woken; end != NULL && cmd != NULL; cmd = cmd->next)
        if (cmd->kind == CMD_PARK && cmd->park.told != NULL && cmd->park.wish.min_ended == b->ended)
            (void)!told_set(cmd->park.told, &end->row);
}

/* However many elements have moved, once in a turn; and only those hear of it whose wish is
 * fulfilled. */
static void wake_batch(struct engine *e, int64_t no)
{
    struct wake wake = {.topic = topic_batch(no), .now_ns = e->turn.now_ns};
    struct err gone = {0};
    if (waiters_any(e->waiters, wake.topic) && !batch_get_by_no(e->store, no, &wake.batch, &gone))
        wake.batch = NULL; /* it cannot be asked: all look for themselves */
    struct command *woken = waiters_wake(e->waiters, &wake);
    if (wake.batch != NULL)
        tell_end(e, wake.batch, woken);
    publish_answers(e, woken);
}

/* Nobody can wait for what has just been born. */
static void wake_job(struct engine *e, const struct job_change *change)
{
    bool failed = change->to == JOB_FAILED;
    if (change->from == JOB_BIRTH)
        return;
    if (!change->is_batch) {
        wake(e, topic_job(change->no), failed);
        wake(e, topic_output(change->no), failed);
    }
    if (change->to == JOB_GONE || job_change_is_end(change))
        wake_end(e, change);
}

static void put_event(struct engine *e, const struct job_change *change)
{
    events_put(e->events, &(struct event){
                              .kind = change->is_batch ? EVENT_BATCH : EVENT_JOB,
                              .no = change->no,
                              .batch = change->batch,
                              .from = change->from,
                              .to = change->to,
                              .salt = change->salt,
                              .queue = change->queue,
                              .attempt = change->attempt,
                              .version = change->version,
                              .created_us = change->created_us,
                              .at_us = e->turn.now_us,
                          });
}

void publish_changes(struct engine *e)
{
    size_t n_changes = 0, n = 0;
    const struct job_change *changes = store_changes(e->store, &n_changes);
    for (size_t i = 0; i < n_changes; i++) {
        const struct job_change *change = &changes[i];
        put_event(e, change);
        wake_job(e, change);
        if (!change->is_batch && change->from != change->to && job_change_is_end(change))
            atomic_fetch_add_explicit(&e->parts.metrics->finished[change->to], 1,
                                      memory_order_relaxed);
    }
    const int64_t *batches = store_changed_batches(e->store, &n);
    for (size_t i = 0; i < n; i++)
        wake_batch(e, batches[i]);
    if (n_changes > 0)
        wake(e, TOPIC_ALL, false);
}

void publish_chore(struct engine *e)
{
    struct wake wake = {.topic = topic_chore(e->chore_over.tally.id), .now_ns = e->turn.now_ns};
    if (e->chore_over.tally.id == 0)
        return;
    struct command *woken = waiters_wake(e->waiters, &wake);
    for (struct command *cmd = woken; cmd != NULL; cmd = cmd->next) {
        cmd->tally = e->chore_over.tally;
        cmd->err = e->chore_over.err;
    }
    publish_answers(e, woken);
}

void publish_stats(struct engine *e)
{
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        atomic_store_explicit(&e->shared.count[s], store_count(e->store, (enum job_state)s),
                              memory_order_relaxed);
    atomic_store_explicit(&e->shared.wal_bytes, store_wal_bytes(e->store), memory_order_relaxed);
    atomic_store_explicit(&e->shared.disk_low, store_disk_is_low(e->store), memory_order_relaxed);
    atomic_store_explicit(&e->shared.deliveries, store_deliveries(e->store), memory_order_relaxed);
    const struct blob_totals blobs = store_blobs(e->store);
    atomic_store_explicit(&e->shared.blobs, blobs.n, memory_order_relaxed);
    atomic_store_explicit(&e->shared.blob_bytes, blobs.bytes, memory_order_relaxed);
    atomic_store_explicit(&e->shared.blob_memory, blob_cache_bytes(e->dispatch.blobs),
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&e->shared.commits, 1, memory_order_relaxed);
    publish_queues(e);
}

void publish_metrics(struct engine *e)
{
    struct metrics *m = e->parts.metrics;
    metrics_add(m, COUNT_COMMITS, 1);
    metrics_add(m, COUNT_JOBS_SUBMITTED, e->turn.submitted);
    metrics_add(m, COUNT_RETRIES, e->turn.retried);
}

void publish_unlinks(struct engine *e)
{
    for (size_t i = 0; i < e->turn.n_blobs; i++)
        blob_cache_forget(e->dispatch.blobs, e->turn.blobs[i]);
    unlinker_give(e->unlinker, &e->turn);
}

/* Who waits is linked before publish_changes looks for waiters: what this very turn has brought to
 * the awaited job would be told to nobody. */
void publish_parks(struct engine *e)
{
    size_t n_left = 0;
    for (size_t i = 0; i < e->n_batch; i++) {
        struct command *cmd = e->batch[i];
        if (cmd->kind == CMD_UNPARK) {
            unpark(e, cmd);
        } else if (e->verdicts[i] == VERDICT_PARK) {
            park(e, cmd);
        } else {
            e->verdicts[n_left] = e->verdicts[i];
            e->batch[n_left++] = cmd;
        }
    }
    e->n_batch = n_left;
}

void publish_commands(struct engine *e)
{
    publish_parks(e);
    for (size_t i = 0; i < e->n_batch; i++) {
        if (e->batch[i]->kind == CMD_BATCH_BREAK || e->batch[i]->kind == CMD_FEED_BREAK)
            finish_break(e, e->batch[i]);
        else
            publish_answer(e, e->batch[i]);
    }
    e->n_batch = 0;
}

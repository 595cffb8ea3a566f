/* SPDX-License-Identifier: MIT */
/* Which callbacks are made when, and what is told of them. */
#include "service/callbacks_impl.h"
#include "storage/reader_batch.h"

#define MAX_RECEIVERS 256 /* looked at before calls under way are looked after again */

/* ------------------------------------------------------------------------------------------------
 * the results */

void callbacks_judge(const struct callbacks *c, struct slot *slot, struct delivery_answer answer)
{
    struct command *cmd = &slot->cmd;
    uint64_t random;
    random_bytes(&random, sizeof random);
    answer.tries_before = slot->delivery.tries;
    struct delivery_verdict verdict = delivery_judge(c->cfg, &answer, clock_wall_us(), random);
    cmd->delivered.about = slot->about;
    cmd->delivered.http_status = answer.http_status;
    cmd->delivered.outcome = verdict.outcome;
    cmd->delivered.again_us = verdict.again_us;
    buf_release(&slot->message);
    slot->state = SLOT_ENDED;
}

void callbacks_put_words(struct slot *slot, const char *words)
{
    (void)snprintf(slot->cmd.delivered.error, sizeof slot->cmd.delivered.error, "%.*s",
                   (int)sizeof slot->cmd.delivered.error - 1, words);
}

bool callbacks_report(struct callbacks *c)
{
    bool all = true;
    for (size_t i = 0; i < MAX_SLOTS; i++) {
        struct slot *slot = &c->slots[i];
        struct err ignored = {0};
        if (slot->state != SLOT_ENDED)
            continue;
        (void)FAULT("callback-before-record");
        if (!engine_reserve(c->engine, false, &ignored)) {
            all = false;
            continue;
        }
        slot->state = SLOT_REPORTING;
        engine_post(c->engine, &slot->cmd);
    }
    engine_wake(c->engine);
    return all;
}

static void log_try(const struct callbacks *c, const struct slot *slot)
{
    const struct command *cmd = &slot->cmd;
    enum try_outcome outcome = cmd->delivered.outcome;
    log_event(c->log, outcome == TRY_GAVE_UP ? LOG_WARN : LOG_DEBUG, "callback",
              LOG_STR("receiver", slot->receiver), LOG_INT("no", slot->delivery.no),
              LOG_STR("outcome", try_outcome_name(outcome)),
              LOG_INT("status", cmd->delivered.http_status),
              LOG_STR("error", cmd->delivered.error));
}

/* What has been stored frees its slot; what could not be stored is told again. */
bool callbacks_take_reports(struct callbacks *c)
{
    bool all = true;
    struct command *next;
    mailbox_heard(&c->mailbox);
    for (struct command *cmd = mailbox_take(&c->mailbox); cmd != NULL; cmd = next) {
        struct slot *slot = cmd->owner;
        next = cmd->next;
        if (cmd->err.code != ERR_NONE) {
            slot->state = SLOT_ENDED;
            all = false;
            continue;
        }
        atomic_fetch_add_explicit(
            &engine_metrics(c->engine)->callback_tries[cmd->delivered.outcome], 1,
            memory_order_relaxed);
        log_try(c, slot);
        slot->state = SLOT_FREE;
        c->look = true;
    }
    return all;
}

/* ------------------------------------------------------------------------------------------------
 * what is due */

static struct slot *find_free(struct callbacks *c)
{
    for (size_t i = 0; i < MAX_SLOTS; i++) {
        if (c->slots[i].state == SLOT_FREE)
            return &c->slots[i];
    }
    return NULL;
}

static bool is_under_way(const struct callbacks *c, int64_t id)
{
    for (size_t i = 0; i < MAX_SLOTS; i++) {
        if (c->slots[i].state != SLOT_FREE && c->slots[i].delivery.id == id)
            return true;
    }
    return false;
}

static size_t count_calls(const struct callbacks *c, const char *receiver)
{
    size_t n = 0;
    for (size_t i = 0; i < MAX_SLOTS; i++)
        n += c->slots[i].state != SLOT_FREE && strcmp(c->slots[i].receiver, receiver) == 0;
    return n;
}

/* With its earlier attempts. */
static bool write_job(struct callbacks *c, struct slot *slot, struct arena *a, struct err *err)
{
    struct job_view job;
    if (!reader_job_by_no(c->reader, slot->delivery.no, a, &job, err))
        return false;
    slot->about = job.id;
    if (!reader_job(c->reader, &slot->about, a, &job, err))
        return false;
    c->writers.job(&job, &slot->message);
    return true;
}

static bool write_batch(struct callbacks *c, struct slot *slot, struct arena *a, struct err *err)
{
    struct batch_view batch;
    if (!reader_batch_by_no(c->reader, slot->delivery.no, a, &batch, err))
        return false;
    slot->about = batch.batch.id;
    c->writers.batch(&batch, &slot->message);
    return true;
}

/* The job or batch as answers show it. */
static bool write_message(struct callbacks *c, struct slot *slot, struct arena *a, struct err *err)
{
    const struct delivery *d = &slot->delivery;
    struct buf *out = &slot->message;
    buf_printf(out, "{\"type\":\"%s.%s\",\"timestamp\":", d->is_batch ? "batch" : "job",
               job_state_name(d->state));
    buf_json_time(out, d->created_us);
    buf_puts(out, ",\"data\":");
    if (!(d->is_batch ? write_batch(c, slot, a, err) : write_job(c, slot, a, err)))
        return false;
    buf_putc(out, '}');
    return buf_ok(out) || err_set(err, ERR_TOO_LARGE, "the message is too large");
}

static bool call_begin(struct callbacks *c, struct slot *slot, struct err *err)
{
    AUTO_ARENA struct arena a = {0};
    struct callback_target target;
    const char *url;
    size_t max = (size_t)c->cfg->http_max_body * 3 + (1u << 20); /* members, and what is around */
    arena_init(&a, max);
    buf_init(&slot->message, max);
    if (!reader_callback_url(c->reader, slot->delivery.no, &a, &url, err) ||
        !callback_check(c->cfg, slice_of(url), &target, err) || !write_message(c, slot, &a, err))
        return false;
    slot->is_private = target.is_private;
    return callbacks_call(c, slot, url, err);
}

/* False: the store could not be read; nothing was begun. */
static bool slot_begin(struct callbacks *c, struct slot *slot, const struct delivery *d,
                       struct err *err)
{
    slot->delivery = *d;
    slot->about = (struct job_id){0};
    (void)snprintf(slot->receiver, sizeof slot->receiver, "%s", c->receiver);
    slot->was_blocked = slot->has_head = false;
    slot->n_answer = 0;
    slot->cmd = (struct command){.kind = CMD_DELIVERED, .home = &c->mailbox, .owner = slot};
    slot->cmd.delivered.id = d->id;
    slot->cmd.delivered.no = d->no;
    slot->cmd.delivered.is_batch = d->is_batch;
    slot->cmd.delivered.state = d->state;
    slot->cmd.delivered.n = d->tries + 1;
    slot->cmd.delivered.at_us = clock_wall_us();
    bool ok = call_begin(c, slot, err);
    if (!ok && err->code == ERR_STORAGE) {
        buf_release(&slot->message);
        return false;
    }
    engine_delivery_began(c->engine);
    slot->state = SLOT_CALLING;
    if (ok)
        return true;
    /* The lists of hosts have changed since, or the job has gone meanwhile. */
    callbacks_put_words(slot, err->detail);
    callbacks_judge(c, slot, (struct delivery_answer){.is_hopeless = true});
    *err = (struct err){0};
    return true;
}

static bool serve_receiver(struct callbacks *c, int64_t now_us, struct err *err)
{
    struct delivery due[MAX_PER_RECEIVER * 2];
    struct delivery_line line = {c->receiver, now_us, due, ARRAY_LEN(due), 0};
    size_t n = count_calls(c, c->receiver);
    if (n >= MAX_PER_RECEIVER)
        return true;
    if (!reader_line(c->reader, &line, err))
        return false;
    for (size_t i = 0; i < line.n && n < MAX_PER_RECEIVER; i++) {
        struct slot *slot = find_free(c);
        if (slot == NULL)
            return true;
        if (is_under_way(c, due[i].id))
            continue;
        if (!slot_begin(c, slot, &due[i], err))
            return false;
        n++;
    }
    return true;
}

/* The receivers take turns, in a circle. Its end is where it began, or behind that, as receivers
 * come and go meanwhile. */
static bool next_receiver(struct callbacks *c, bool *ret_found, struct err *err)
{
    bool wraps = false;
    if (!reader_receiver(c->reader, c->receiver, c->receiver, ret_found, err))
        return false;
    if (!*ret_found && c->receiver[0] != '\0') {
        wraps = true;
        if (!reader_receiver(c->reader, "", c->receiver, ret_found, err))
            return false;
    }
    bool is_first = c->circle[0] == '\0', is_round = wraps || c->has_wrapped;
    if (is_first)
        memcpy(c->circle, c->receiver, sizeof c->circle);
    else if ((wraps && c->has_wrapped) || (is_round && strcmp(c->receiver, c->circle) >= 0))
        *ret_found = false;
    c->has_wrapped = !is_first && is_round;
    return true;
}

bool callbacks_look(struct callbacks *c, struct err *err)
{
    int64_t now_us = clock_wall_us();
    if (c->look) {
        c->circle[0] = '\0';
        c->has_wrapped = false;
        c->next_due_us = INT64_MAX; /* this round sees to it; a past one would begin it again */
    }
    c->look = c->goes_on = false;
    for (size_t i = 0; i < MAX_RECEIVERS && find_free(c) != NULL; i++) {
        bool found;
        if (!next_receiver(c, &found, err))
            return false;
        if (!found)
            return reader_next_due(c->reader, now_us, &c->next_due_us, err);
        if (!serve_receiver(c, now_us, err))
            return false;
    }
    c->goes_on = find_free(c) != NULL;
    return true;
}

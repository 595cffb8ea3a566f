/* SPDX-License-Identifier: MIT */
/* How an attempt leaves for its worker: by a START frame when the worker is idle, by an offer when
 * it is busy. */
#include "service/dispatch.h"

#define MAX_ENV_BYTES (16u << 10)
#define MAX_OVERTAKEN 4

static void env_add(struct start_env *env, const char *name, struct slice value)
{
    size_t name_len = strlen(name), size = name_len + value.len + 2;
    char *text = arena_alloc(&env->arena, size);
    PRE(text != NULL && env->n < MAX_START_ENV); /* names and header values are bounded by the codec
                                                  */
    memcpy(text, name, name_len);
    text[name_len] = '=';
    memcpy(text + name_len + 1, value.ptr, value.len);
    env->items[env->n++] = (struct slice){text, size - 1};
}

void flight_env(const struct dispatch *d, const struct start_names *names, struct start_env *env)
{
    char id[37], attempt[21], token[JOB_TOKEN_SIZE];
    arena_init_small(&env->arena, MAX_ENV_BYTES);
    env->n = 0;
    job_id_format(names->id, id);
    (void)text_from_i64(names->attempt, attempt);
    env_add(env, "GANGER_JOB_ID", slice_of(id));
    env_add(env, "GANGER_JOB_NAME", slice_of(names->name));
    env_add(env, "GANGER_ATTEMPT", slice_of(attempt));
    if (d->url != NULL)
        env_add(env, "GANGER_URL", slice_of(d->url));
    job_token_write(&d->token_key, names->id, names->attempt, token);
    env_add(env, "GANGER_TOKEN", slice_of(token));
    if (names->traceparent.len > 0)
        env_add(env, "TRACEPARENT", names->traceparent);
}

/* What the worker gets for this attempt. `env` owns the texts; release its arena. */
static struct pool_task make_task(const struct dispatch *d, const struct flight *f,
                                  struct place place, struct start_env *env)
{
    const struct start_names names = {.id = &f->info.row.id,
                                      .name = f->info.name,
                                      .attempt = f->attempt,
                                      .traceparent = f->info.traceparent};
    env->arena = (struct arena){0};
    env->n = 0;
    if (!task_is_native(f->info.task)) /* which has no environment of its own */
        flight_env(d, &names, env);
    starts_note(&d->starts, f->info.row.no, f->attempt, env->note);
    struct pool_task task = {
        .place = place,
        .job_no = f->info.row.no,
        .attempt = f->attempt,
        .wire = f->info.task,
        .extra = {.env = env->items, .n_env = env->n, .inputs = f->inputs, .n_inputs = f->n_inputs},
        .note = {(const char *)env->note, sizeof env->note},
    };
    if (f->chunk != NULL)
        chunk_put(f, &task);
    return task;
}

/* The bank has the bytes now. */
static void left(struct dispatch *d, struct flight *f)
{
    if (f->chunk != NULL)
        chunk_left(d, f);
}

/* The worker has the bytes now; names are not needed any more. */
static void begun(struct dispatch *d, struct flight *f)
{
    f->state = FLIGHT_RUNNING;
    f->begun_ns = f->chunk == NULL ? 0 : clock_mono_ns();
    f->info.task = (struct slice){0};
    f->info.name = f->info.queue = NULL;
    f->info.traceparent = (struct slice){0};
    f->inputs = NULL;
    f->n_inputs = 0;
    arena_clear(&f->arena);
    admission_begun(d, f);
    metrics_add(d->metrics, COUNT_ATTEMPTS, 1);
}

/* Begun from a reservation: the row follows in the next transaction. */
static void begun_unrecorded(struct dispatch *d, struct flight *f)
{
    begun(d, f);
    f->unrecorded = true;
    d->dirty = true;
}

/* The memfds of its blobs; those that could be had stay the flight's in any case. */
static bool take_blobs(struct dispatch *d, struct flight *f, int ret_fds[MAX_JOB_BLOBS],
                       struct err *err)
{
    uint32_t n = 0;
    f->cache = d->blobs;
    for (uint32_t i = 0; i < f->n_inputs; i++) {
        const struct task_input *input = &f->inputs[i];
        if (!input->is_blob)
            continue;
        PRE(n < MAX_JOB_BLOBS); /* inputs.c has counted them */
        if (!blob_cache_take(d->blobs, input->blob, input->size, &ret_fds[n], err))
            return false;
        if (n < f->n_blobs) /* held since an earlier try */
            blob_cache_give(d->blobs, input->blob, clock_mono_ns());
        else
            f->blobs[f->n_blobs++] = input->blob;
        n++;
    }
    return true;
}

bool flight_launch(struct dispatch *d, struct flight *f, const struct pool_ends *ends)
{
    struct err err = {0};
    struct start_env env;
    int blobs[MAX_JOB_BLOBS];
    struct pool_ends own = ends == NULL ? (struct pool_ends){-1, -1} : *ends;
    int in = -1; /* closed here as soon as the worker has it: one that stayed would be a reader */
    bool is_fed = task_stdin_is_open(f->info.task) && own.in < 0;
    struct pool_task task = make_task(d, f, f->place, &env);
    bool started = !is_fed || feed_open(&f->feed, &in, &err);
    own.in = is_fed ? in : own.in;
    task.ends = own.in >= 0 || own.out >= 0 ? &own : NULL;
    task.blobs = blobs;
    started = started && take_blobs(d, f, blobs, &err) && pool_start(d->pool, &task, &err);
    auto_close(&in);
    arena_release(&env.arena);
    if (!started) {
        feed_free(f->feed);
        f->feed = NULL;
        log_error(d->log, "start failed", &err);
        return false;
    }
    left(d, f);
    begun(d, f);
    return true;
}

bool flight_recall(struct dispatch *d, struct flight *f)
{
    PRE(f->state == FLIGHT_OFFERED);
    if (pool_recall(d->pool, f->place)) {
        f->state = FLIGHT_RESERVED;
        return true;
    }
    begun_unrecorded(d, f);
    return false;
}

/* In the ready order of the last claim, in which both waited. */
static bool is_before(const struct flight *a, const struct flight *b)
{
    return b == NULL || a->rank < b->rank;
}

/* The job that is first in the ready order among the reservations, and among the offers if those
 * may be recalled. */
static struct flight *first_waiting(struct dispatch *d, uint32_t group, bool with_offers)
{
    struct flight *best = NULL;
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        bool waits = f->state == FLIGHT_RESERVED || (with_offers && f->state == FLIGHT_OFFERED);
        if (waits && f->group == group && is_before(f, best))
            best = f;
    }
    return best;
}

bool flight_start_reserved(struct dispatch *d, uint32_t slot)
{
    struct place place;
    struct flight *f;
    while (!d->closed && pool_idle_bank(d->pool, slot, &place) &&
           (f = first_waiting(d, pool_group_of(d->pool, slot), true)) != NULL) {
        if (f->state == FLIGHT_OFFERED && !flight_recall(d, f))
            continue; /* its worker was faster */
        f->place = place;
        if (!flight_launch(d, f, NULL))
            return false;
        f->unrecorded = true;
        d->dirty = true;
        return true;
    }
    return false;
}

static bool offer_one(struct dispatch *d, struct flight *f, struct place place)
{
    struct start_env env;
    if (task_stdin_is_open(f->info.task))
        return false; /* a pipe goes beside a START alone */
    struct pool_task task = make_task(d, f, place, &env);
    bool offered = pool_offer(d->pool, &task);
    arena_release(&env.arena);
    if (!offered)
        return false;
    f->place = place;
    f->state = FLIGHT_OFFERED;
    left(d, f);
    return true;
}

static void offer_in(struct dispatch *d, uint32_t group)
{
    struct place place;
    while (pool_find_offer(d->pool, group, &place)) {
        struct flight *f = first_waiting(d, group, false);
        /* Nothing is reserved, or it can leave by a START alone: it is too large for a bank, or has
         * blobs or a pipe. Then it waits for an idle worker, and nothing behind it is offered
         * meanwhile: a worker that always has a next job in hand is never idle. */
        if (f == NULL || !offer_one(d, f, place))
            return;
    }
}

static bool may_leave_early(const struct turn *turn, const struct flight *f)
{
    return f->info.row.no > turn->newest && task_is_pure(f->info.task) && f->stages == 0 &&
           f->chunk == NULL;
}

/* To busy workers, in the order in which they would be offered after the commit. */
static uint32_t offer_early(struct dispatch *d, const struct turn *turn, uint32_t group)
{
    struct place place;
    struct flight *f;
    uint32_t n = 0;
    while (pool_find_offer(d->pool, group, &place) &&
           (f = first_waiting(d, group, false)) != NULL && may_leave_early(turn, f) &&
           offer_one(d, f, place)) {
        f->is_early = true;
        n++;
    }
    return n;
}

uint32_t dispatch_start_early(struct dispatch *d, const struct turn *turn)
{
    uint32_t n = 0;
    if (d->closed)
        return 0;
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state != FLIGHT_CLAIMED || !may_leave_early(turn, f) || !flight_launch(d, f, NULL))
            continue; /* one that could not leave tries again after the commit, as others do */
        f->is_early = true;
        n++;
    }
    for (uint32_t group = 0; group < (d->has_pools ? POOL_GROUPS : 1u); group++)
        n += offer_early(d, turn, group);
    return n;
}

void dispatch_offer(struct dispatch *d)
{
    if (d->closed)
        return;
    offer_in(d, 0);
    for (uint32_t group = 1; group < POOL_GROUPS && d->has_pools; group++)
        if (d->pool_queue[group] != 0)
            offer_in(d, group);
}

/* ------------------------------------------------------------------------------------------------
 * what the pool tells */

void dispatch_idle(struct dispatch *d, uint32_t slot)
{
    d->dirty = true;
    if (!flight_start_reserved(d, slot))
        d->starved = true;
}

void dispatch_ended(struct dispatch *d, struct place place)
{
    struct flight *f = flight_at(d, place);
    PRE(f != NULL); /* the pool has checked job and attempt */
    d->dirty = true;
    if (f->state == FLIGHT_OFFERED)
        begun_unrecorded(d, f);
    f->state = FLIGHT_ENDED;
}

bool dispatch_hear_early(struct dispatch *d, const struct pool_event *ev)
{
    if (ev->type != POOL_DONE && ev->type != POOL_STARTED)
        return false;
    struct flight *f = flight_at(d, ev->place);
    if (f == NULL || !f->is_early)
        return false;
    if (f->state == FLIGHT_OFFERED)
        begun_unrecorded(d, f);
    if (ev->type == POOL_DONE)
        f->state = FLIGHT_ENDED;
    d->dirty = true;
    return true;
}

void dispatch_part(struct dispatch *d, struct place place)
{
    struct flight *f = flight_at(d, place);
    if (f == NULL || f->chunk == NULL)
        return;
    if (f->state == FLIGHT_OFFERED) /* else a failed recall has told so before */
        begun_unrecorded(d, f);
    f->chunk->has_part = true;
}

/* Makes room for one offer in the slot: its last one in the order goes back. */
static bool make_room(struct dispatch *d, uint32_t slot, struct place *ret)
{
    if (pool_offer_place(d->pool, slot, ret))
        return true;
    struct flight *last = NULL;
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state == FLIGHT_OFFERED && f->place.slot == slot &&
            (last == NULL || is_before(last, f)))
            last = f;
    }
    return last != NULL && flight_recall(d, last) && pool_offer_place(d->pool, slot, ret);
}

/* A job that lies in the hand of a worker with a long task must not wait for it while others go on.
 * It is moved to the worker that has just overtaken it once too often. */
static void rescue_overtaken(struct dispatch *d, const struct flight *begun_now)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        struct place place;
        if (f->state != FLIGHT_OFFERED || f->group != begun_now->group ||
            !is_before(f, begun_now) || ++f->overtaken < MAX_OVERTAKEN)
            continue;
        f->overtaken = 0;
        if (flight_recall(d, f) && make_room(d, begun_now->place.slot, &place))
            (void)offer_one(d, f, place);
    }
}

void dispatch_offer_begun(struct dispatch *d, struct place place)
{
    struct flight *f = flight_at(d, place);
    if (f == NULL)
        return;
    if (f->state == FLIGHT_OFFERED) /* else a failed recall has told so before */
        begun_unrecorded(d, f);
    rescue_overtaken(d, f);
}

void dispatch_offer_returned(struct dispatch *d, struct place place)
{
    pool_release(d->pool, place);
    struct flight *f = flight_at(d, place);
    PRE(f == NULL || f->state == FLIGHT_OFFERED); /* what runs is lost, and keeps its bank */
    if (f != NULL)
        f->state = FLIGHT_RESERVED;
    d->dirty = true;
}

/* SPDX-License-Identifier: MIT */
#include "service/chunk_run.h"

#include "pool/task.h"
#include "service/dispatch.h"
#include "service/element.h"

#define LATE_NS (5 * BRIEF_TURN_NS)
#define MAX_MATE_BYTES (5u << 20) /* one of them, before it is known whether it fits */

/* ------------------------------------------------------------------------------------------------
 * who comes along */

const struct flight *chunk_flight(const struct dispatch *d, const struct batch *b, int64_t idx)
{
    for (uint32_t k = 0; k < d->n; k++) {
        const struct flight *f = &d->flights[k];
        if (f->state != FLIGHT_FREE && f->chunk != NULL && f->chunk->head.batch == b->no &&
            f->chunk->head.idx / b->chunksize == idx / b->chunksize)
            return f;
    }
    return NULL;
}

/* How many may come behind the head: the rest of its chunk. A queue with a rate counts each
 * beginning before it happens, so there every element begins by itself; so does one that is tried
 * again while its chunk is under way. */
static bool room_behind(struct dispatch *d, struct chunk_run *run, size_t *ret, int64_t *ret_end,
                        struct err *err)
{
    const struct job_row *row = &run->head;
    const struct batch *b;
    *ret = 0;
    if (row->batch == 0 || (row->flags & ~(uint32_t)(JOB_PARENT | JOB_CHUNKED)) != JOB_ITEM)
        return true;
    if (!batch_get_by_no(d->store, row->batch, &b, err))
        return false;
    int64_t first = row->idx - row->idx % b->chunksize;
    if (b->chunksize == 1 || b->phase == BATCH_HALTED || admission_has_rate(d, row->queue) ||
        chunk_flight(d, b, first) != NULL)
        return true;
    run->is_free = (b->flags & JOB_FREE_CHUNKS) != 0;
    *ret_end = first + b->chunksize;
    *ret = (size_t)MIN(*ret_end - row->idx - 1, (int64_t)MAX_MATES);
    if (b->max_failures > 0)
        run->max_failed = (uint32_t)MIN(MAX(b->max_failures - b->count[JOB_FAILED], (int64_t)1),
                                        (int64_t)UINT32_MAX);
    return true;
}

/* What the tasks and names of all mates are made from. */
struct mate_maker {
    const struct dispatch *d;
    struct flight *f;
    const char *name;
    struct element_maker element;
    struct arena *scratch; /* of one of them */
};

/* As flight_make_own does it for the head; "job-<no>" when the batch has no name. */
static const char *name_of(const struct mate_maker *m, const struct element *element, int64_t no,
                           struct arena *a)
{
    char text[32];
    (void)snprintf(text, sizeof text, "job-%lld", (long long)m->f->info.row.no);
    if (strcmp(text, m->name) == 0) {
        (void)snprintf(text, sizeof text, "job-%lld", (long long)no);
        return arena_dup(a, slice_of(text));
    }
    if (strchr(m->name, '{') == NULL)
        return m->name;
    const struct template_item item = {
        .raw = element->item, .index = element->index, .star = m->element.head.star != 0};
    return template_name(slice_of(m->name), &item, a);
}

static bool put_task(const struct mate_maker *m, const struct task_extra *extra, struct slice wire,
                     struct slice *ret)
{
    char *bytes = arena_alloc(&m->f->arena, task_extra_size(extra) + wire.len);
    if (bytes == NULL)
        return false;
    const size_t len = task_extra_write(bytes, extra);
    memcpy(bytes + len, wire.ptr, wire.len);
    *ret = (struct slice){bytes, len + wire.len};
    return true;
}

static bool put_command(const struct mate_maker *m, const struct mate *mate,
                        const struct element *element, struct slice wire, struct slice *ret)
{
    struct start_env env = {0};
    const struct start_names names = {
        .id = &mate->row.id,
        .name = name_of(m, element, mate->row.no, m->scratch),
        .attempt = m->f->attempt,
        .traceparent = m->f->info.traceparent,
    };
    if (names.name == NULL)
        return false;
    flight_env(m->d, &names, &env);
    const bool is_put = put_task(m, &(struct task_extra){.env = env.items, .n_env = env.n}, wire,
                                 ret);
    arena_release(&env.arena);
    return is_put;
}

/* What its worker gets. False: it cannot be made, and says so when it is started alone. */
static bool make_task(const struct mate_maker *m, const struct mate *mate, struct slice *ret)
{
    struct err ignored;
    struct slice wire;
    const struct element element = {
        .item = mate->item, .index = mate->row.idx, .deadline_us = mate->row.deadline_us};
    arena_clear(m->scratch);
    if (!element_make(&m->element, &element, m->scratch, &wire, &ignored) ||
        task_stdin_is_open(wire))
        return false; /* a pipe goes beside a START alone */
    return task_is_native(wire) ? put_task(m, &(struct task_extra){0}, wire, ret)
                                : put_command(m, mate, &element, wire, ret);
}

static void add_mates(const struct mate_maker *m, const struct mate_list *list)
{
    struct chunk_run *run = m->f->chunk;
    size_t room = BANK_IN_SIZE;
    for (size_t i = 0; i < list->n; i++) {
        struct pool_mate *task = &run->tasks[run->n];
        task->no = list->mates[i].row.no;
        if (!make_task(m, &list->mates[i], &task->bytes) || task->bytes.len > room)
            return;
        room -= task->bytes.len;
        run->mates[run->n++] = (struct chunk_mate){.row = list->mates[i].row};
        run->span = task->no - run->head.no + 1;
    }
}

static void make_mates(const struct dispatch *d, struct flight *f, const struct mate_list *list,
                       const struct chunk_source *source)
{
    AUTO_ARENA struct arena of_all = {0}, of_one = {0};
    struct mate_maker m = {.d = d, .f = f, .name = source->name, .scratch = &of_one};
    struct err ignored; /* the head was made from the same bytes */
    arena_init(&of_all, ELEMENT_MEMORY);
    arena_init(&of_one, MAX_MATE_BYTES);
    if (element_read(source->template_bytes, &of_all, &m.element, &ignored))
        add_mates(&m, list);
}

bool chunk_board(struct dispatch *d, struct flight *f, const struct chunk_source *source,
                 struct err *err)
{
    struct chunk_run run = {.head = f->info.row, .span = 1};
    struct mate_list list = {.max_bytes = BANK_IN_SIZE, .arena = &f->arena};
    int64_t end = 0;
    /* What more than its task and its streams belongs to an element needs a START of its own. */
    if (source->template_bytes.ptr == NULL || f->n_inputs > 0 ||
        (f->info.row.flags & JOB_OUTPUTS) != 0)
        return true;
    if (!room_behind(d, &run, &list.max, &end, err))
        return false;
    if (list.max == 0)
        return true;
    AUTO_FREE struct mate *mates = must_alloc(list.max * sizeof *mates);
    list.mates = mates;
    if (!batch_mates(d->store, &run.head, end, &list, err))
        return err_wrap(err, "look for the rest of a chunk");
    if (list.n == 0)
        return true;
    run.mates = must_alloc(list.n * sizeof *run.mates);
    run.tasks = must_alloc(list.n * sizeof *run.tasks);
    f->chunk = must_alloc(sizeof *f->chunk);
    *f->chunk = run;
    make_mates(d, f, &list, source);
    if (f->chunk->n == 0)
        chunk_free(f);
    return true;
}

void chunk_free(struct flight *f)
{
    if (f->chunk == NULL)
        return;
    free(f->chunk->mates);
    free(f->chunk->tasks);
    free(f->chunk);
    f->chunk = NULL;
}

void chunk_put(const struct flight *f, struct pool_task *ret)
{
    ret->mates = f->chunk->tasks;
    ret->n_mates = f->chunk->n;
    ret->note_no_at = STARTS_NOTE_NO_AT;
    ret->max_failed = f->chunk->max_failed;
}

void chunk_left(struct dispatch *d, struct flight *f)
{
    f->chunk->n = pool_mates(d->pool, f->place);
}

/* ------------------------------------------------------------------------------------------------
 * who has begun */

static struct job_row *row_of(struct chunk_run *run, uint32_t element)
{
    return element == 0 ? &run->head : &run->mates[element - 1].row;
}

static void move_to(struct dispatch *d, struct flight *f, uint32_t element)
{
    f->chunk->current = element;
    f->info.row = *row_of(f->chunk, element);
    pool_mate_is_current(d->pool, f->place, element, f->info.row.no);
}

/* Its row becomes RUNNING; who was the current one before has ended. */
static bool record(struct dispatch *d, struct turn *turn, struct flight *f, uint32_t element,
                   struct err *err)
{
    struct chunk_run *run = f->chunk;
    const struct job_start start = {row_of(run, element)->no, f->attempt, f->place.slot,
                                    turn->now_us};
    struct err why = {0};
    if (!jobs_start_mate(d->store, &start, &why)) {
        /* Fencing, as for its end: the row is not this attempt's any more. */
        if (why.code == ERR_STATE_CONFLICT || why.code == ERR_NOT_FOUND)
            return true;
        *err = why;
        return err_wrap(err, "record start");
    }
    run->mates[element - 1].recorded = true;
    if (element <= run->current)
        return true;
    if (run->current == 0)
        run->head_stop_requested |= f->stop_requested;
    else
        run->mates[run->current - 1].stop_requested |= f->stop_requested;
    f->stop_requested = f->stop_due = f->reach_due = false; /* that was said of the one before */
    f->reach = (struct pool_reach){0};
    f->early_stop_ns = 0;
    move_to(d, f, element);
    return true;
}

bool chunk_record_now(struct dispatch *d, struct turn *turn, struct flight *f, struct err *err)
{
    const uint32_t now = pool_mate_now(d->pool, f->place);
    if (now <= f->chunk->current || now > f->chunk->n)
        return true;
    return record(d, turn, f, now, err);
}

/* ------------------------------------------------------------------------------------------------
 * who shall not begin */

static bool has_end(const struct chunk_run *run, uint32_t mate)
{
    return mate < run->applied.mate_plus1;
}

/* Mates are in the order of their numbers. */
static uint32_t find_mate(const struct chunk_run *run, int64_t no)
{
    uint32_t low = 0, high = run->n;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (run->mates[middle].row.no < no)
            low = middle + 1;
        else
            high = middle;
    }
    return low < run->n && run->mates[low].row.no == no ? low + 1 : 0;
}

struct flight *chunk_find(struct dispatch *d, int64_t no, uint32_t *ret_mate)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state == FLIGHT_FREE || f->chunk == NULL || f->outcome_applied ||
            no <= f->chunk->head.no || no >= f->chunk->head.no + f->chunk->span)
            continue;
        *ret_mate = find_mate(f->chunk, no);
        if (*ret_mate != 0 && !has_end(f->chunk, *ret_mate))
            return f;
    }
    return NULL;
}

/* From the last one on. False: this one has begun. */
static bool take_back(struct dispatch *d, struct flight *f, uint32_t mate)
{
    struct chunk_run *run = f->chunk;
    const bool has_left = f->state != FLIGHT_RESERVED && f->state != FLIGHT_CLAIMED;
    while (run->n >= mate && (!has_left || pool_mate_recall(d->pool, f->place, run->n)))
        run->n--;
    return run->n < mate;
}

bool chunk_settle(struct dispatch *d, struct turn *turn, struct flight *f, uint32_t mate,
                  struct err *err)
{
    if (f->outcome_applied || mate > f->chunk->n || has_end(f->chunk, mate) ||
        mate == f->chunk->current)
        return true;
    if (take_back(d, f, mate)) {
        d->dirty = true;
        return true;
    }
    /* It has begun, so those before it have as well. */
    if (f->state == FLIGHT_OFFERED && !flight_take_offer(d, turn, f, err))
        return false;
    return f->state == FLIGHT_RESERVED || record(d, turn, f, mate, err);
}

bool chunk_settle_range(struct dispatch *d, struct turn *turn, struct flight *f,
                        const struct batch_range *range, struct err *err)
{
    for (uint32_t mate = 1; f->chunk != NULL && mate <= f->chunk->n; mate++) {
        const struct job_row *row = &f->chunk->mates[mate - 1].row;
        if (row->idx >= range->first && row->idx - range->first < range->n &&
            !chunk_settle(d, turn, f, mate, err))
            return false;
    }
    return true;
}

void chunk_cut(struct dispatch *d, struct flight *f)
{
    (void)take_back(d, f, 1);
}

/* ------------------------------------------------------------------------------------------------
 * who waits behind a slow one */

static bool may_be_late(const struct dispatch *d, const struct flight *f)
{
    return f->state == FLIGHT_RUNNING && f->chunk != NULL && f->chunk->is_free &&
           pool_mate_now(d->pool, f->place) < f->chunk->n;
}

uint64_t chunk_late_ns(const struct dispatch *d)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t k = 0; k < d->n; k++)
        if (may_be_late(d, &d->flights[k]))
            at = MIN(at, d->flights[k].begun_ns + LATE_NS);
    return at;
}

/* They go in, and may begin elsewhere, while this turn goes on: from this transaction on it does
 * not speak for them any more, also to the next server (recover.c). */
static bool part(struct dispatch *d, const struct turn *turn, struct flight *f, struct err *err)
{
    struct chunk_run *run = f->chunk;
    const uint32_t n = run->n;
    chunk_cut(d, f);
    run->span = row_of(run, run->n)->no - run->head.no + 1;
    for (uint32_t mate = run->n + 1; mate <= n; mate++)
        if (!batch_release(d->store, run->mates[mate - 1].row.no, turn->now_us, err))
            return err_wrap(err, "part a chunk");
    d->dirty = true;
    return true;
}

bool chunk_part_late(struct dispatch *d, const struct turn *turn, struct err *err)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (may_be_late(d, f) && f->begun_ns + LATE_NS <= turn->now_ns && !part(d, turn, f, err))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * what is left behind the gate */

bool chunk_has(struct store *store, struct batch_range range, uint32_t states, bool *ret,
               struct err *err)
{
    const int64_t end = range.first + range.n;
    int64_t no;
    struct due_list list = {&no, 1, 0};
    while (list.n == 0 && range.first < end) {
        struct batch_range part = {range.batch, range.first, end - range.first};
        if (!batch_find(store, &part, states, &list, err))
            return err_wrap(err, "look at a chunk");
        range.first += part.n;
    }
    *ret = list.n > 0;
    return true;
}

bool chunk_first_gated(struct store *store, struct batch_range range, struct job_row *ret,
                       struct err *err)
{
    const int64_t end = range.first + range.n;
    int64_t no = 0;
    *ret = (struct job_row){0};
    while (no == 0 && range.first < end) {
        struct batch_range part = {range.batch, range.first, end - range.first};
        if (!batch_gated_in(store, &part, &no, err))
            return err_wrap(err, "find what a chunk holds back");
        range.first += part.n;
    }
    return no == 0 || jobs_get_by_no(store, no, ret, err);
}

bool chunk_go_on(struct dispatch *d, const struct turn *turn, const struct chunk_place *place,
                 struct err *err)
{
    const uint32_t begun = 1u << JOB_QUEUED | 1u << JOB_RUNNING | 1u << JOB_STOPPING;
    const struct batch *b = place->batch;
    const int64_t no = b->no, first = place->idx - place->idx % b->chunksize;
    const int64_t end = MIN(first + b->chunksize, b->n), behind = place->idx + 1;
    struct job_row next;
    bool is_begun = false;
    if (b->phase == BATCH_HALTED || (b->flags & JOB_WAITS) != 0 || b->gated == 0)
        return true;
    if (!chunk_first_gated(d->store, (struct batch_range){no, behind, end - behind}, &next, err) ||
        (next.no == 0 &&
         !chunk_first_gated(d->store, (struct batch_range){no, first, behind - first}, &next, err)))
        return false;
    if (next.no == 0)
        return true;
    if (place->checks &&
        !chunk_has(d->store, (struct batch_range){no, first, end - first}, begun, &is_begun, err))
        return false;
    if (is_begun)
        return true;
    d->dirty = true;
    return batch_release(d->store, next.no, turn->now_us, err);
}

/* ------------------------------------------------------------------------------------------------
 * the transaction */

void chunk_committed(struct flight *f)
{
    f->chunk->stored = f->chunk->applied;
    f->chunk->current_stored = f->chunk->current;
}

void chunk_back_to(struct dispatch *d, struct flight *f, uint32_t element)
{
    const struct chunk_run *run = f->chunk;
    if (run->current == element)
        return;
    move_to(d, f, element);
    f->stop_requested |= element == 0 ? run->head_stop_requested
                                      : run->mates[element - 1].stop_requested;
}

void chunk_rolled_back(struct dispatch *d, struct flight *f)
{
    struct chunk_run *run = f->chunk;
    if (f->state < FLIGHT_RUNNING)
        return;
    run->has_part = true;
    run->applied = run->stored;
    chunk_back_to(d, f, run->current_stored);
}

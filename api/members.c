/* SPDX-License-Identifier: MIT */
#include "api/members.h"

#include "api/self.h"

static int by_id(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->id.no != y->id.no)
        return x->id.no < y->id.no ? -1 : 1;
    if (x->id.salt != y->id.salt)
        return x->id.salt < y->id.salt ? -1 : 1;
    if (x->id.ms != y->id.ms)
        return x->id.ms < y->id.ms ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int by_index(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return x->index < y->index ? -1 : 1;
}

/* Whoever is named twice is waited for once, at its first place. */
static void fold(struct members *m)
{
    uint32_t n = 0;
    qsort(m->all, m->n, sizeof *m->all, by_id);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct job_id *id = &m->all[i].id, *last = n == 0 ? NULL : &m->all[n - 1].id;
        if (last == NULL || !job_id_eq(id, last))
            m->all[n++] = m->all[i];
    }
    m->n = n;
    qsort(m->all, m->n, sizeof *m->all, by_index);
}

static void note_end(struct members *m, uint32_t i)
{
    m->ended[m->n_ended++] = i;
    m->n_done++;
    m->has_failed |= !m->all[i].is_gone && m->all[i].state == JOB_FAILED;
}

/* The epoch is taken before the read: a change in between is found by the engine. */
static bool look(struct request *rq, struct members *m, uint32_t i, struct err *err)
{
    struct member *member = &m->all[i];
    struct park_link *link = &m->group->links[i];
    struct member_mark mark = {0};
    link->topic = topic_end(member->id.no);
    link->seen_epoch = request_epoch(rq, link->topic);
    bool is_seen;
    if (!self_sees(rq, &member->id, &is_seen, err) ||
        !query_member(rq->thread->query, &member->id, &mark, err))
        return false;
    if (!is_seen)
        return err_set(err, ERR_NOT_FOUND, "It is no child of the job whose token asks");
    member->is_batch = mark.is_batch;
    member->is_done = mark.is_done;
    member->state = mark.state;
    member->finished_us = mark.finished_us;
    if (mark.is_done)
        return true;
    link->chain = m->add;
    m->add = link;
    return true;
}

static bool no_such_member(const struct members *m, uint32_t i, struct err *err)
{
    char id[37];
    job_id_format(&m->all[i].id, id);
    return err_set(err, ERR_NOT_FOUND, "There is no job or batch %s (/jobs/%u)", id,
                   m->all[i].index);
}

/* Those that had ended before anybody asked, in the order in which they did. */
struct finish {
    int64_t at_us;
    uint32_t i;
};

static int by_finish(const void *a, const void *b)
{
    const struct finish *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return x->i < y->i ? -1 : 1;
}

static bool note_finished(struct request *rq, struct members *m, struct err *err)
{
    struct finish *done = arena_alloc(&rq->arena, m->n * sizeof *done);
    uint32_t n = 0;
    if (done == NULL)
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->all[i].is_done)
            done[n++] = (struct finish){m->all[i].finished_us, i};
    }
    qsort(done, n, sizeof *done, by_finish);
    for (uint32_t k = 0; k < n; k++)
        note_end(m, done[k].i);
    return true;
}

static bool look_first(struct request *rq, struct members *m, uint32_t i,
                       const struct received *received, struct err *err)
{
    struct member *member = &m->all[i];
    struct err gone = {0};
    if (received != NULL && received_has(received, member->index))
        member->finished_us = -1; /* before all others */
    else if (look(rq, m, i, &gone))
        return true;
    else if (gone.code != ERR_NOT_FOUND)
        return err_set(err, gone.code, "%s", gone.detail);
    else if (received == NULL)
        return no_such_member(m, i, err);
    else
        member->is_gone = true;
    return member->is_done = true;
}

bool members_open(struct request *rq, const struct wait_request *asked,
                  const struct received *received, struct members *ret, struct err *err)
{
    *ret = (struct members){.n = asked->n};
    if (asked->n == 0)
        return true;
    ret->all = arena_alloc(&rq->arena, asked->n * sizeof *ret->all);
    ret->ended = arena_alloc(&rq->arena, asked->n * sizeof *ret->ended);
    if (ret->all == NULL || ret->ended == NULL)
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    for (uint32_t i = 0; i < asked->n; i++)
        ret->all[i] = (struct member){.id = asked->ids[i], .index = i};
    fold(ret);
    if (!request_charge(rq, ret->n * sizeof(struct park_link), err))
        return false;
    ret->group = park_group_new(ret->n);
    for (uint32_t i = ret->n; i-- > 0;) {
        if (!look_first(rq, ret, i, received, err))
            return false;
    }
    return note_finished(rq, ret, err);
}

bool members_heard(struct request *rq, struct members *m, struct err *err)
{
    struct park_link *link = rq->cmd.park.woken, *next;
    rq->cmd.park.woken = NULL;
    for (; link != NULL; link = next) {
        uint32_t i = (uint32_t)(link - m->group->links);
        struct err gone = {0};
        next = link->chain;
        if (!look(rq, m, i, &gone)) {
            if (gone.code != ERR_NOT_FOUND)
                return err_set(err, gone.code, "%s", gone.detail);
            m->all[i].is_done = m->all[i].is_gone = true; /* only what has ended is forgotten */
        }
        if (m->all[i].is_done)
            note_end(m, i);
    }
    return true;
}

struct park members_park(const struct members *m, enum return_when when, uint64_t deadline_ns)
{
    return (struct park){
        .group = m->group,
        .add = m->add,
        .needed = when == FIRST_COMPLETED ? 1 : m->n - m->n_done,
        .on_failure = when == FIRST_EXCEPTION,
        .deadline_ns = deadline_ns,
    };
}

void members_parked(struct members *m)
{
    m->add = NULL;
}

void members_leave(struct request *rq, struct members *m)
{
    if (m->group != NULL)
        engine_leave(rq->thread->shared->engine, m->group);
    m->group = NULL;
}

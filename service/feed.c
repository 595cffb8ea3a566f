/* SPDX-License-Identifier: MIT */
#include "service/feed.h"

#include "service/engine_state.h"

#include <fcntl.h>

bool feed_open(struct feed **ret, int *ret_in, struct err *err)
{
    int ends[2];
    if (!pool_pipe(ends, err))
        return false;
    if (fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0) {
        (void)err_sys(err, ERR_OVERLOADED, "cannot make a pipe");
        auto_close(&ends[0]);
        auto_close(&ends[1]);
        return false;
    }
    *ret = must_alloc(sizeof **ret);
    (*ret)->fd = ends[1];
    *ret_in = ends[0];
    return true;
}

void feed_free(struct feed *feed)
{
    if (feed == NULL)
        return;
    auto_close(&feed->fd);
    free(feed);
}

/* ------------------------------------------------------------------------------------------------
 * what clients ask */

bool apply_feed(struct engine *e, struct command *cmd, struct err *err)
{
    struct job_row row;
    if (cmd->kind != CMD_FEED || cmd->feed.is_done)
        return true;
    if (!jobs_get(e->store, &cmd->feed.id, &row, err))
        return false;
    return row.state == JOB_RUNNING ||
           err_set(err, ERR_STATE_CONFLICT, "The job is %s; only a running one can be fed",
                   job_state_name(row.state));
}

static bool may_take(const struct feed *feed, const struct feed_ask *ask, struct err *err)
{
    if (feed == NULL)
        return err_set(err, ERR_STATE_CONFLICT,
                       "The job's standard input is not open; submit it with \"stdin\": "
                       "{\"open\": true}");
    if (feed->fd < 0)
        return err_set(err, ERR_STATE_CONFLICT,
                       "The job's standard input has ended; %llu bytes were fed",
                       (unsigned long long)feed->bytes);
    if (feed->holder != 0)
        return err_set(err, ERR_STATE_CONFLICT, "Another request feeds the job just now");
    if (ask->has_offset && ask->offset != feed->bytes)
        return err_set(err, ERR_STATE_CONFLICT,
                       "%llu bytes have been fed so far; \"offset\" says %llu",
                       (unsigned long long)feed->bytes, (unsigned long long)ask->offset);
    return true;
}

static void take(struct engine *e, struct feed *feed, struct command *cmd)
{
    struct feed_ask *ask = &cmd->feed;
    if (!may_take(feed, ask, &cmd->err))
        return;
    ask->fd = fcntl(feed->fd, F_DUPFD_CLOEXEC, 3);
    if (ask->fd < 0) {
        (void)err_sys(&cmd->err, ERR_OVERLOADED, "cannot open the job's standard input");
        return;
    }
    ask->holder = feed->holder = ++e->n_feeds;
    ask->total = feed->bytes;
}

static void give_back(struct feed *feed, struct feed_ask *ask)
{
    if (feed == NULL || feed->holder != ask->holder)
        return; /* the attempt is over */
    feed->holder = 0;
    feed->bytes += ask->n;
    ask->total = feed->bytes;
    if (ask->is_eof) {
        auto_close(&feed->fd);
        feed->fd = -1;
    }
}

void publish_feed(struct engine *e, struct command *cmd)
{
    struct flight *f = dispatch_find(&e->dispatch, cmd->feed.id.no);
    const bool runs = f != NULL && f->state == FLIGHT_RUNNING;
    if (cmd->err.code != ERR_NONE)
        return;
    if (cmd->feed.is_done)
        give_back(runs ? f->feed : NULL, &cmd->feed);
    else if (runs)
        take(e, f->feed, cmd);
    else
        (void)err_set(&cmd->err, ERR_STATE_CONFLICT, "The job ends just now");
}

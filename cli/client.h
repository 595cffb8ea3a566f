/* SPDX-License-Identifier: MIT */
/* HTTP to one service, by libcurl's multi interface: one call at a time, or several streams at
 * once. Owner: the one thread of the client. Nothing here prints; remarks go through the ticker.
 *
 * 1. Nothing is asked twice unless asking twice is harmless: reading, cancelling, and submitting
 *    with an Idempotency-Key.
 * 2. A service that has never answered in this run is reported at once. One that answered before is
 *    waited for, RETRY_FOR_US in all, because it may just be starting again. */
#ifndef GANGER_CLI_CLIENT_H
#define GANGER_CLI_CLIENT_H

#include "cli/target.h"
#include "service/base/buf.h"

#define RETRY_FOR_US INT64_C(60000000)
#define WAIT_MAX_S 55u /* the service lowers longer waits to this */

struct client;
struct transfer;

struct call {
    const char *method; /* literal */
    const char *path;   /* with the query; borrowed until the end of the call */
    struct slice body;  /* borrowed; absent: none */
    bool sends_fd;      /* what can be read from `fd` is the body; such a call is never repeated */
    int fd;
    const char *type;   /* of the body; NULL: application/json */
    const char *accept; /* NULL: anything */
    uint32_t wait_s;    /* Prefer: wait; 0 = none */
    const char *key;    /* Idempotency-Key, or NULL */
    const char *if_none_match;
    const char *last_event_id;
    uint64_t from;    /* Range: bytes=<from>-; 0: all */
    bool harmless;    /* may be repeated (rule 1) */
    bool takes_429;   /* 429 is an answer, not a reason to ask again */
    bool anonymous;   /* without the token */
    bool has_beat;    /* the service sends signs of life: silence means a dead connection */
    uint32_t limit_s; /* for the whole call; 0: the wait and 30 s, or without limit for a stream */
    /* When set, the bytes of a 200 or 206 go there as they come instead of into the reply; false
     * ends it.
     */
    bool (*on_bytes)(void *owner, struct slice bytes);
    void *owner;
};

struct reply {
    int status;
    struct buf body;
    char etag[128];
    char content_type[64];
    int64_t retry_after_us; /* < 0: not given */
};
#define AUTO_REPLY __attribute__((cleanup(reply_release)))
void reply_release(struct reply *reply); /* accepts a zeroed one */

/* Seconds for one request of a wait that ends at `deadline_ns` (clock_mono_ns; 0: never); 0 when
 * that has passed. */
uint32_t client_wait_left(uint64_t deadline_ns);

/* Connects when first used. Borrows the target. */
MUST_CHECK bool client_open(const struct target *target, struct client **ret, struct err *err);
void client_close(struct client *client);

/* Called a few times a second while something is awaited, and once with a text when a pause begins
 * that the user should know of ("the service does not answer; trying again"). */
typedef void ticker_fn(void *owner, const char *remark);
void client_set_ticker(struct client *client, ticker_fn *ticker, void *owner);

/* SIGINT and SIGTERM end every wait below from now on, with client_interrupted true. */
MUST_CHECK bool client_catch_signals(struct client *client, struct err *err);
int client_interrupted(const struct client *client); /* the signal's number, or 0 */
/* Forgets the signal, so that what is left to say to the service can be said; the next one ends
 * that as well. */
void client_rearm(struct client *client);

/* A descriptor whose readability ends a turn, too; -1: none. */
void client_watch_fd(struct client *client, int fd);

/* One exchange. True when there is an answer of any status; `ret` is zeroed or released by the
 * caller before. False: no server, a broken connection, or interrupted. */
MUST_CHECK bool client_call(struct client *client, const struct call *call, struct reply *ret,
                            struct err *err);
/* The same, and an answer outside 200…299 is a failure too: its problem becomes `err`. */
MUST_CHECK bool client_ask(struct client *client, const struct call *call, struct reply *ret,
                           struct err *err);
/* Fills err from a problem+json answer. Always false. */
bool reply_refuse(const struct reply *reply, struct err *err);

/* Several streams at once, for following. The call is copied; what it points to is borrowed. */
MUST_CHECK bool transfer_start(struct client *client, const struct call *call,
                               struct transfer **ret, struct err *err);
void transfer_free(struct transfer *transfer);
bool transfer_is_over(const struct transfer *transfer);
/* True when it ended as HTTP says it must; false when the connection broke. */
bool transfer_is_whole(const struct transfer *transfer);
const struct reply *transfer_reply(const struct transfer *transfer);
/* While held, its bytes stay in the connection and with the service. */
void transfer_hold(struct transfer *transfer, bool hold);
/* Why a transfer is not whole, in words. Always false. */
bool transfer_explain(const struct transfer *transfer, struct err *err);

/* Writes to a descriptor that may block; a signal ends it. False: interrupted, or the descriptor
 * takes no more. */
MUST_CHECK bool client_write(struct client *client, int fd, struct slice bytes, struct err *err);

/* Moves all transfers on; waits up to timeout_ms for something to happen. False: interrupted. */
MUST_CHECK bool client_turn(struct client *client, int timeout_ms, struct err *err);
/* Waits; false: interrupted. */
MUST_CHECK bool client_pause(struct client *client, int64_t us, struct err *err);

#endif

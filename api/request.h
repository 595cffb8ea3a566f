/* SPDX-License-Identifier: MIT */
/* One request, from its first line to the last byte of its answer. Owner: the HTTP thread that read
 * it; while `in_engine` is set the embedded command belongs to the engine and the connection is
 * suspended. Requests are recycled: their memory stays warm.
 *
 * A handler ends with one reply_*() or with request_send() or request_park(), whose step runs when
 * the command has come back. */
#ifndef GANGER_API_REQUEST_H
#define GANGER_API_REQUEST_H

#include "api/token.h"
#include "service/blob_writer.h"
#include "service/query.h"

#include <pthread.h>

struct MHD_Connection;
struct MHD_Daemon;
struct request;

/* What all threads share; immutable while they run, but for the counter. */
struct http_shared {
    struct engine *engine;
    struct blob_writer *blobs;
    const struct config *cfg;
    struct metrics *metrics;
    struct token_store tokens;
    _Atomic uint64_t inflight_bytes; /* bodies being read or applied */
    bool is_exposed;                 /* listens beyond loopback */
};

/* What an event of a thread's epoll is about. First member of whatever the event points to. */
enum source_kind { FROM_MAILBOX, FROM_LIBRARY, FROM_LISTENER, FROM_CONN, FROM_FEED };

/* One connection, also while no request is on it. */
struct conn {
    enum source_kind kind;
    struct conn *prev, *next; /* all of its thread */
    struct request *rq;       /* the request on it, or NULL */
    int fd;
    uint64_t deadline_ns; /* the client must have sent the next part; 0 = it is our turn */
    bool on_unix;
    bool is_armed;    /* the thread's epoll watches it for the client's departure */
    bool half_closed; /* the client sends no more; it may still read */
    bool is_gone;     /* nobody reads any more */
};

struct http_thread {
    struct http_shared *shared;
    struct arena scratch; /* see request_scratch */
    struct query *query;
    struct mailbox mailbox;
    struct MHD_Daemon *daemon;
    int epoll_fd;
    struct conn *conns;
    uint32_t n_conns;
    struct request *free_requests;
    uint32_t n_free;
    uint32_t n_in_engine, n_parked;
    uint32_t n_unwoken; /* commands posted since the engine was woken last */
    uint64_t next_id, id_salt, next_waiter;
};

enum request_phase { REQUEST_HEAD, REQUEST_BODY, REQUEST_RUNNING };
enum fill { FILL_MORE, FILL_PARKED, FILL_END, FILL_ABORT };
typedef void (*step_fn)(struct request *rq);
typedef enum fill (*fill_fn)(struct request *rq);

#define MAX_REPLY_HEADERS 10

struct request {
    struct http_thread *thread;
    struct MHD_Connection *connection;
    struct conn *conn;
    struct request *next_free;

    struct head head;
    struct route_match match;
    struct principal who;
    char id[64]; /* X-Request-Id */
    uint64_t began_ns;
    enum request_phase phase;

    struct buf body;
    uint64_t charged_bytes, dropped_bytes;
    struct err refusal;           /* found while the body came; answered when it is complete */
    struct slice refusal_members; /* its own, as reply_problem_with has them */

    struct arena arena;
    void *state;     /* the handler's own, in the arena */
    step_fn release; /* frees what `state` holds beyond the arena, or NULL */
    struct command cmd;
    bool in_engine, is_waiting, is_replied, must_close;
    bool is_refused_early; /* the answer has left, and the rest of the body is forgotten */
    step_fn next;

    struct buf out; /* the answer's body, or the part of a stream not sent yet */
    size_t out_at;
    fill_fn fill;
    bool is_ending;
    struct {
        enum answer_header header;
        const char *value;
    } headers[MAX_REPLY_HEADERS];
    uint32_t n_headers;
    int status;
    char target[256];
};

/* For http.c: take one from the pool of the thread, give it back. Giving back requires !in_engine.
 */
struct request *request_new(struct http_thread *thread, struct MHD_Connection *connection,
                            const char *target);
void request_free(struct request *rq);
void request_free_pool(struct http_thread *thread);
/* For http.c: the command has come back. Does not run the step: the HTTP library calls again. */
void request_returned(struct request *rq);
/* A parked request is asked back: its client's end of the connection has changed, or what it waits
 * for has. */
void request_ask_back(struct request *rq);
/* Counts `bytes` of body against the limit of all; OVERLOADED beyond it. */
MUST_CHECK bool request_charge(struct request *rq, uint64_t bytes, struct err *err);

/* Memory for what is needed only until the next call or the next return to the loop: one read of
 * the store, as a rule. */
struct arena *request_scratch(struct request *rq);

/* A header of the request; absent also when the route's row does not say that it takes it. */
struct slice request_header(const struct request *rq, enum header header);
/* Query parameter, percent-decoded, in the arena. False: absent. */
bool request_param(struct request *rq, const char *name, struct slice *ret_value);
/* INVALID, at this parameter: "The query parameter "<name>" is <what it should be>". */
bool request_bad_param(struct err *err, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Parameters that the route does not know, that are repeated or not properly encoded, are INVALID.
 */
MUST_CHECK bool request_check_params(struct request *rq, struct err *err);
/* Seconds to wait, from `Prefer: wait=N` (RFC 7240) or ?wait=N, cut to the option http.max_wait, as
 * a deadline of clock_mono_ns; 0 = none asked. Adds Preference-Applied to the answer. */
MUST_CHECK bool request_wait(struct request *rq, uint64_t *ret_until_ns, struct err *err);
/* How many items a page may have: the parameter `limit`. One that is too large is lowered
 * (AIP-158). */
#define DEFAULT_PAGE 100
#define MAX_PAGE 1000
MUST_CHECK bool request_limit(struct request *rq, int64_t *ret_limit, struct err *err);
/* The same of a list whose cursors are numbers, and its parameter `cursor`. */
struct page {
    int64_t limit;
    int64_t cursor; /* 0: the first page */
};
MUST_CHECK bool request_page(struct request *rq, struct page *ret, struct err *err);
/* The parameters `state` (a list, to a bit mask; 0: any) and `label` (k:v, terminated copies; NULL:
 * any). */
MUST_CHECK bool request_states(struct request *rq, uint32_t *ret_mask, struct err *err);
MUST_CHECK bool request_label(struct request *rq, const char **ret_key, const char **ret_value,
                              struct err *err);
/* The {id} of the path. NOT_FOUND when it is no id. */
MUST_CHECK bool request_job_id(struct request *rq, struct job_id *ret, struct err *err);
/* If-None-Match or If-Match holds this version's entity tag (or "*"). False when the header is
 * absent. */
bool request_etag_matches(const struct request *rq, enum header header, int64_t version);

/* Hands rq->cmd (kind and members filled) to the engine, or to the thread that writes blobs, and
 * suspends; `next` runs when it is back.
 * On failure nothing was sent: OVERLOADED, DRAINING, TOO_MANY_WAITERS. `next` may be NULL inside a
 * stream: the fill function runs again instead. */
MUST_CHECK bool request_send(struct request *rq, step_fn next, struct err *err);
/* At the end of each round of the thread's loop: what it has posted is one wake-up for the engine.
 */
void request_wake_engine(struct http_thread *thread);
/* The topic's epoch for a park: to be taken *before* the read whose outcome decides whether to
 * park (waiters.h). */
uint32_t request_epoch(const struct request *rq, uint64_t topic);
struct park {
    uint64_t topic;
    uint32_t epoch;
    uint64_t deadline_ns, not_before_ns;
    bool watch;
    struct batch_wish wish;
    struct told_end *told;
    /* Instead of topic and epoch: see struct command. */
    struct park_group *group;
    struct park_link *add;
    uint32_t needed;
    bool on_failure;
};
MUST_CHECK bool request_park(struct request *rq, const struct park *park, step_fn next,
                             struct err *err);

#endif

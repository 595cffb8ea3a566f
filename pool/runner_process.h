/* SPDX-License-Identifier: MIT */
/* One warm runner: its process, its pipes, what it has said about itself. Owner: the worker. */
#ifndef GANGER_POOL_RUNNER_PROCESS_H
#define GANGER_POOL_RUNNER_PROCESS_H

#include "pool/proc.h"
#include "pool/runner.h"
#include "pool/runner_frame.h"
#include "service/base/pool_runner.h"

#define RUNNER_TAIL 2048                  /* kept of what it writes to stderr while no task runs */
#define RUNNER_BODY_MAX ((size_t)1 << 20) /* of any frame but RESULT and DATA */
/* Larger bodies go through shared memory, if it can that. */
#define RUNNER_SHM ((size_t)256 << 10)

enum runner_cap {
    CAP_INIT = 1,
    CAP_CANCEL = 2,
    CAP_SIGINT = 4,
    CAP_BUSYPING = 8,
    CAP_SHM = 16,
    CAP_FORK = 32
};

struct runner {
    const struct function *function; /* NULL: the place is free */
    pid_t pid;
    int pidfd;
    int to_fd, from_fd; /* frames; -1: closed */
    int stream_fd[2];   /* its stdout and stderr */
    int inbox_fd, outbox_fd;
    size_t inbox_bytes;
    bool has_outbox; /* there may be something in it */
    bool has_clock;
    clockid_t clock;       /* of its CPU time */
    int statm_fd;          /* proc(5) of it; -1: none */
    uint64_t limit_memory; /* of the process; 0: none */
    struct buf queue;      /* frames that the pipe did not take yet */
    size_t sent;           /* of them */
    struct runner_reader reader;
    struct buf body; /* of the frame that is being read */
    bool is_greeted; /* HELLO has come */
    bool is_ready;   /* and READY, if that is waited for */
    bool says_bye;
    bool is_stuck; /* it outlived its KILL */
    uint32_t caps, codecs;
    uint64_t boot_by_ns; /* until then HELLO and READY must have come */
    uint64_t used_ns;    /* when its last task ended */
    uint64_t ping_at_ns;
    uint64_t pong_by_ns; /* UINT64_MAX: none is waited for */
    uint32_t pings;
    uint32_t n_tail;
    char tail[RUNNER_TAIL];
};

/* It is the program of the worker's pool, and its name the pool's. */
static inline bool runner_is_of_pool(const struct runners *all, const struct function *program)
{
    return program == &all->own;
}

/* What the process gets. */
struct runner_source {
    struct runners *all;
    const struct function *function;
    const struct task *limits; /* a task whose limits are the function's; NULL: there are none */
};
/* On success `r` is a runner that has to say HELLO. On failure the place is free and `ret` says
 * why. */
enum proc_result runner_start(struct runner *r, const struct runner_source *from,
                              struct proc_started *ret);

/* Puts a frame into the queue and writes what the pipe takes now. */
void runner_say(struct runner *r, const char *verb, struct slice id, const char *keys,
                struct slice body);
void runner_say_init(struct runner *r);
void runner_flush(struct runner *r);
bool runner_has_queue(const struct runner *r);
/* Reads what it has written to stdout and stderr; keeps the last of stderr. */
void runner_drain(struct runner *r);
/* The same, when there is something. False: it has died. */
bool runner_look(struct runner *r);
/* The last line that is not empty. */
struct slice runner_last_line(struct slice text);
bool runner_is_dead(const struct runner *r);
/* How it has ended, in words: `out` or a constant. */
#define RUNNER_DEATH 64
const char *runner_death(const struct runner *r, char out[RUNNER_DEATH]);
/* Its process and group. */
void runner_signal(const struct runner *r, int signal);
/* CPU time that it has used; 0: unknown. */
int64_t runner_cpu_us(const struct runner *r);
uint64_t runner_rss_bytes(const struct runner *r);

/* Its task is over: from now on it is asked now and then whether it lives. */
void runner_rest(struct runner *r);
/* It is asked a period from now. */
void runner_await_ping(struct runner *r);
/* Asks it, and waits for its PONG until pong_by_ns. */
void runner_ping(struct runner *r);

/* How a runner ended. */
struct runner_end {
    int status;         /* wait status */
    bool was_killed;    /* by us */
    uint32_t survivors; /* what outlived its KILL */
    uint32_t ended;     /* processes of its tree that we ended */
    int64_t cpu_us;
    uint64_t max_rss_bytes;
    uint64_t limit_memory; /* that its process had */
};
/* KILLs what is left of its tree and frees the place. */
void runner_kill(struct runners *all, struct runner *r, struct runner_end *ret);
/* QUIT, a moment, then as runner_kill. */
void runner_quit(struct runners *all, struct runner *r, struct runner_end *ret);

#endif

/* SPDX-License-Identifier: MIT */
/* One task of a runner, from its place in the worker to its answer: for runner_call.c (the loop,
 * the clocks, the end), runner_task.c (what the runner is told) and runner_hear.c (what it says).
 */
#ifndef GANGER_POOL_RUNNER_CALL_H
#define GANGER_POOL_RUNNER_CALL_H

#include "pool/drive_state.h"
#include "pool/runner_process.h"

/* What is remembered of a function whose runner could not start. */
struct runner_past {
    uint32_t failed;        /* starts in a row */
    uint64_t not_before_ns; /* no other start before */
    char text[TASK_ERROR_TEXT];
};
#define RUNNER_MAX_FAILED 3 /* starts in a row before a task is told */

enum call_phase {
    CALL_PAUSE, /* there is no runner; one is started at start_at_ns */
    CALL_BOOT,  /* HELLO has not come */
    CALL_RUN,   /* TASK is in the pipe */
    CALL_END
};

enum call_answer { ANSWER_NONE, ANSWER_RESULT, ANSWER_ERROR, ANSWER_CANCELLED };

struct runner_call {
    struct runners *all;
    struct runner *runner; /* NULL: none now */
    struct runner_past *past;
    const struct function *function; /* what is called */
    const struct function *program;  /* whose program does it: the same, or the pool's */
    struct bank *bank;               /* NULL: no task, only what comes between tasks is heard */
    const struct task *task;
    const struct inputs *inputs; /* its blobs; with a task */
    struct slice id, name;       /* the job's */
    struct slice url, token;     /* where it finds the service, and who it is there */
    char number[24];
    enum call_phase phase;
    struct capture out[2];
    uint64_t started_ns, start_at_ns;
    uint64_t timeout_at_ns, term_at_ns, kill_at_ns;
    uint64_t eof_by_ns; /* it has closed its descriptor 4 */
    int64_t cpu_before_us;
    enum cause cause;
    bool stop_sent;        /* the runner was asked to stop before it answered */
    bool has_streams;      /* out[] reads the runner's pipes */
    bool must_end;         /* it is not used again */
    int child_fd;          /* its process that works on the task (runner_fork.c); -1: none */
    bool child_has_exited; /* EXITED has come */
    bool is_child_killed;  /* it has got a KILL */
    int child_status;      /* wait status, once it has exited */
    uint64_t exit_by_ns;   /* until then it must have */
    int64_t child_cpu_us;
    uint64_t child_rss_bytes;
    bool is_abandoned; /* server or zygote died */
    enum call_answer answer;
    int result_fd; /* the spool file of a large result; -1: none */
    int data_fd;   /* the spool file of partial results; -1: none yet */
    uint64_t n_data, data_bytes;
    char data_error[TASK_ERROR_TEXT]; /* why they are not complete, "" they are */
    bool is_dropped;                  /* the body that comes is passed over */
    char broken[128];                 /* what it did against the protocol, "" nothing */
    char error[TASK_ERROR_TEXT];      /* "" none */
    enum task_end refused;            /* it never began; TASK_EXITED: it did */
    struct teller teller;
};

/* Until it has its answer, or is abandoned; the bank holds the outcome. */
void runner_call_run(struct runner_call *call);

/* runner_boot.c */
void runner_call_start(struct runner_call *call);
/* The task, if it was sent, has not begun: it waits for the next runner. What this one has written
 * to stderr is the job's. */
void runner_call_start_failed(struct runner_call *call, const char *why);
/* What it has written before its final frame is there now. The pipes stay the runner's. */
void runner_call_finish_output(struct runner_call *call);
/* KILL, if it is there. */
void runner_call_end_runner(struct runner_call *call, struct runner_end *ret);
/* The runner stays; what it or its task has left behind does not. */
void runner_call_keep_runner(struct runner_call *call, struct runner_end *ret);

/* runner_fork.c */
/* FORKED and EXITED: the task has a process of its own, and that is over. */
bool runner_fork_begun(struct runner_call *call, const struct runner_frame *frame,
                       struct slice body);
bool runner_fork_exited(struct runner_call *call, const struct runner_frame *frame,
                        struct slice body);
/* To that process. False: there is none. */
bool runner_fork_signal(struct runner_call *call, int signal);
/* The task has its answer or its KILL, so its process is to end within a moment. */
void runner_fork_await(struct runner_call *call);
/* That moment is over: KILLs it, once. True: it has not ended after that either. */
bool runner_fork_is_late(struct runner_call *call, uint64_t now_ns);
/* Nothing of the task is waited for but its answer. */
bool runner_fork_is_over(const struct runner_call *call);
/* The call is over: nobody signals its process any more. */
void runner_fork_forget(struct runner_call *call);

/* runner_end.c: the bank's outcome. */
void runner_call_report(struct runner_call *call, const struct runner_end *end);

/* runner_task.c: puts TASK into the queue. False: the arguments do not fit the runner; call->error
 * says why. */
bool runner_call_send(struct runner_call *call);
/* JSON as one line. */
void runner_put_one_line(struct buf *out, struct slice json);

/* runner_hear.c: reads what there is. False: call->broken says what is wrong with it. */
bool runner_call_hear(struct runner_call *call);

/* runner_result.c */
bool runner_call_broken(struct runner_call *call, const char *fmt, ...) PRINTF_LIKE(2, 3); /* false
                                                                                            */
/* "type: message", not cut within a character. */
void runner_call_error(struct runner_call *call, struct slice type, struct slice message);
void runner_call_result_begin(struct runner_call *call, uint64_t bytes);
void runner_call_result_body(struct runner_call *call, struct slice body);
bool runner_call_result(struct runner_call *call, const struct runner_frame *frame,
                        struct slice body);
/* Forgets a result, or the part of it that has come. */
void runner_call_drop_result(struct runner_call *call);

/* runner_data.c */
bool runner_call_data(struct runner_call *call, const struct runner_frame *frame,
                      struct slice body);
void runner_call_data_end(struct runner_call *call); /* durable, as far as they have come */

#endif

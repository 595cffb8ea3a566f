/* SPDX-License-Identifier: MIT */
/* A pool on a temporary data directory, and tasks in one line. Every wait has a deadline. */
#ifndef GANGER_TESTS_POOL_FIXTURE_H
#define GANGER_TESTS_POOL_FIXTURE_H

#include "pool/pool.h"

#define FIXTURE_WAIT_MS 20000
#define FIXTURE_MAX_ARGS 16

struct fixture {
    char dir[64];
    struct log log;
    struct pool *pool;
    int64_t next_no;
    struct pool_event kept[64]; /* events that nobody has waited for yet */
    size_t n_kept;
    struct task_input *inputs; /* of the tasks that start from now on; the test's */
    uint32_t n_inputs;
};

void fixture_make_dir(char dir[64]);
void fixture_remove_dir(const char *dir);

void fixture_open(struct fixture *f, uint32_t workers);
/* The same with another deadline of the kill. */
void fixture_open_deadline(struct fixture *f, uint32_t workers, int64_t kill_deadline_us);
/* The same with functions; NULL: none. */
void fixture_open_with(struct fixture *f, uint32_t workers, int64_t kill_deadline_us,
                       const struct function_list *functions);
/* Closes the pool and checks that no process with the fixture's mark is left. */
void fixture_close(struct fixture *f);

/* A task of these words; limits and signals as the service would set them. */
struct task fixture_task(const char *const *words, struct slice argv[FIXTURE_MAX_ARGS]);
#define TASK_OF(name, ...)                      \
    struct slice name##_argv[FIXTURE_MAX_ARGS]; \
    struct task name = fixture_task((const char *const[]){__VA_ARGS__, NULL}, name##_argv)

/* Waits for an idle worker and starts the task. */
struct place fixture_start(struct fixture *f, const struct task *task, int64_t *ret_no);
/* The same with ends of pipes. */
struct place fixture_start_joined(struct fixture *f, const struct task *task,
                                  const struct pool_ends *ends, int64_t *ret_no);
/* Starts a task that goes on until it is let go: it reads the named pipe f->dir/name. */
struct place fixture_hold(struct fixture *f, const char *name);
void fixture_let_go(const struct fixture *f, const char *name);

/* A task for a worker that is busy. False: nobody takes one more. */
struct offered {
    struct buf wire; /* released by the test in any case */
    struct pool_task task;
};
bool fixture_offer(struct fixture *f, const struct task *task, struct offered *ret);
/* The next event of this type; of this place unless it is NULL. Fails the test when it does not
 * come. */
struct pool_event fixture_await(struct fixture *f, enum pool_event_type type,
                                const struct place *place);
/* Start, wait for DONE or LOST, outcome. The place must be released by the caller. */
struct place fixture_run(struct fixture *f, const struct task *task, struct task_outcome *ret);
/* The same for one use: releases the place; the text of stdout is copied (at most size - 1 bytes).
 */
struct task_outcome fixture_run_text(struct fixture *f, const struct task *task, char *out,
                                     size_t size);
/* Watches the task and waits until its stdout has so many bytes. */
void fixture_await_output(struct fixture *f, struct place place, int64_t no, uint64_t bytes);

/* Processes whose initial environment holds the text. */
int fixture_count_marked(const char *text);
/* Waits until there are none, at most 2 s; how many are left. */
int fixture_await_none_marked(const char *text);
/* The mark of this data directory as it stands in the environment of tasks. */
void fixture_mark(const struct fixture *f, char out[64]);
/* Reads a whole file below the data directory; the caller frees. */
char *fixture_read_file(const struct fixture *f, const char *path, size_t *ret_len);

#endif

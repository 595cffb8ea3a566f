/* SPDX-License-Identifier: MIT */
#include "crash/killer.h"

#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* Where a victim stands below the server: 1 zygote, 2 worker, 3 what workers start. */
static const struct {
    const char *name;
    int generation;
    bool is_runner;
} victims[VICTIM_COUNT] = {
    [VICTIM_SERVER] = {"server", 0, false}, [VICTIM_ZYGOTE] = {"zygote", 1, false},
    [VICTIM_WORKER] = {"worker", 2, false}, [VICTIM_JOB] = {"job", 3, false},
    [VICTIM_RUNNER] = {"runner", 3, true},
};

const char *victim_name(enum victim victim)
{
    return victims[victim].name;
}

/* A process that is told apart from a later one with the same number. */
struct known {
    pid_t pid;
    struct text born;
};

static bool known_is_gone(const struct known *k)
{
    return !proc_is_alive(k->pid) || strcmp(proc_born(k->pid).s, k->born.s) != 0;
}

/* The generation of a process below the server; 0: not of the family. */
static int generation_of(pid_t server, pid_t pid)
{
    for (int n = 1; n <= 3; n++) {
        pid = proc_parent(pid);
        if (pid == server)
            return n;
        if (pid <= 1)
            return 0;
    }
    return 0;
}

static bool is_of_kind(pid_t server, pid_t pid, enum victim kind)
{
    if (kind == VICTIM_SERVER)
        return pid == server;
    return generation_of(server, pid) == victims[kind].generation &&
           proc_has_env(pid, "GANGER_FUNCTION=") == victims[kind].is_runner;
}

static enum victim victim_choose(struct killer *k)
{
    uint32_t sum = 0, at = 0;
    for (int i = 0; i < VICTIM_COUNT; i++)
        sum += k->weight[i];
    uint32_t roll = dice_below(&k->dice, sum);
    for (int i = 0; i < VICTIM_COUNT; i++) {
        at += k->weight[i];
        if (roll < at)
            return (enum victim)i;
    }
    return VICTIM_SERVER;
}

static pid_t victim_find(struct killer *k, pid_t server, enum victim kind,
                         const struct pid_list *family)
{
    pid_t found[64];
    uint32_t n = 0;
    if (kind == VICTIM_SERVER)
        return server;
    for (size_t i = 0; i < family->n && n < COUNT_OF(found); i++) {
        if (is_of_kind(server, family->pids[i], kind))
            found[n++] = family->pids[i];
    }
    return n == 0 ? 0 : found[dice_below(&k->dice, n)];
}

/* True when the victim was hit while it belonged to the family. */
static bool strike(pid_t server, pid_t pid, enum victim kind)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return false;
    bool ours = proc_is_alive(pid) && is_of_kind(server, pid, kind);
    bool hit = ours && pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0;
    (void)close(fd);
    return hit;
}

static void await_tree_gone(struct killer *k, const struct known *tree, size_t n)
{
    uint64_t until = deadline_in(2);
    for (size_t i = 0; i < n; i++) {
        while (!known_is_gone(&tree[i]) && !deadline_passed(until))
            pause_ms(2);
        if (!known_is_gone(&tree[i])) {
            printf(
                "VIOLATION: G12: process %d (%s) is alive two seconds after the end of its tree\n",
                (int)tree[i].pid, proc_name(tree[i].pid).s);
            k->n_survivors++;
        }
    }
}

static void kill_one(struct killer *k, struct pid_list *family, struct known *tree)
{
    size_t n = 0;
    enum victim kind = victim_choose(k);
    (void)pthread_mutex_lock(&k->lock);
    pid_t server = k->server;
    if (server != 0) {
        proc_find_descendants(server, family);
        pid_t pid = victim_find(k, server, kind, family);
        if (pid != 0) {
            proc_find_descendants(pid, family);
            for (size_t i = 0; i < family->n && n < MAX_PIDS; i++)
                tree[n++] = (struct known){family->pids[i], proc_born(family->pids[i])};
            if (strike(server, pid, kind))
                k->n_kills[kind]++;
            else
                n = 0;
        }
    }
    (void)pthread_mutex_unlock(&k->lock);
    await_tree_gone(k, tree, n);
}

static void *killer_main(void *arg)
{
    struct killer *k = arg;
    struct pid_list *family = need_alloc(sizeof(*family));
    struct known *tree = need_alloc(MAX_PIDS * sizeof(*tree));
    while (!k->stop) {
        pause_ms((int)dice_below(&k->dice, k->max_gap_ms + 1));
        kill_one(k, family, tree);
    }
    free(tree);
    free(family);
    return NULL;
}

void killer_start(struct killer *k, uint64_t seed, const uint32_t weight[VICTIM_COUNT],
                  uint32_t max_gap_ms)
{
    memset(k, 0, sizeof(*k));
    k->dice.state = seed;
    memcpy(k->weight, weight, sizeof(k->weight));
    k->max_gap_ms = max_gap_ms;
    CHECK(pthread_mutex_init(&k->lock, NULL) == 0, "no mutex");
    CHECK(pthread_create(&k->thread, NULL, killer_main, k) == 0, "no thread");
}

void killer_stop(struct killer *k)
{
    k->stop = true;
    (void)pthread_join(k->thread, NULL);
}

int killer_count(const struct killer *k)
{
    int sum = 0;
    for (int i = 0; i < VICTIM_COUNT; i++)
        sum += k->n_kills[i];
    return sum;
}

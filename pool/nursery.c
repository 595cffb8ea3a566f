/* SPDX-License-Identifier: MIT */
#include "pool/nursery.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#define STACK_SIZE ((size_t)128 << 10)

struct nursery {
    sem_t asked, answered;
    pid_t thread; /* once it has answered */
    const struct proc_launcher *launcher;
    const struct proc *proc;
    struct proc_started *started;
    enum proc_result result;
};

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        PRE(errno == EINTR);
}

/* Never ends: when it did, the runners would get other parents, and their death signal. */
static void *nurse(void *arg)
{
    struct nursery *n = arg;
    n->thread = gettid();
    for (;;) {
        wait_for(&n->asked);
        n->result = proc_start(n->launcher, n->proc, n->started);
        (void)sem_post(&n->answered);
    }
    return NULL;
}

static bool make_thread(struct nursery *n)
{
    pthread_attr_t attributes;
    pthread_t thread;
    bool is_made = false;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    if (pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0 &&
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0)
        is_made = pthread_create(&thread, &attributes, nurse, n) == 0;
    (void)pthread_attr_destroy(&attributes);
    return is_made;
}

static struct nursery *make_nursery(void)
{
    AUTO_FREE struct nursery *n = must_alloc(sizeof(*n));
    if (sem_init(&n->asked, 0, 0) != 0 || sem_init(&n->answered, 0, 0) != 0 || !make_thread(n))
        return NULL;
    return steal_ptr(&n);
}

enum proc_result nursery_start(struct nursery **nursery, const struct proc_launcher *launcher,
                               const struct proc *proc, struct proc_started *ret)
{
    if (*nursery == NULL)
        *nursery = make_nursery();
    struct nursery *n = *nursery;
    if (n == NULL) {
        *ret = (struct proc_started){.pidfd = -1, .error = EAGAIN};
        (void)snprintf(ret->text, sizeof(ret->text), "cannot make a thread");
        return PROC_NOT_STARTED;
    }
    n->launcher = launcher;
    n->proc = proc;
    n->started = ret;
    (void)sem_post(&n->asked);
    wait_for(&n->answered);
    return n->result;
}

pid_t nursery_thread(const struct nursery *nursery)
{
    return nursery == NULL ? 0 : nursery->thread;
}

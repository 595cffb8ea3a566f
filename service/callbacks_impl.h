/* SPDX-License-Identifier: MIT */
/* The inside of the thread that makes the callbacks, for its two files. Owner: that thread. */
#ifndef GANGER_SERVICE_CALLBACKS_IMPL_H
#define GANGER_SERVICE_CALLBACKS_IMPL_H

#include "service/callbacks.h"
#include "service/delivery.h"
#include "service/signature.h"
#include "storage/deliveries.h"

#include <pthread.h>

#define MAX_SLOTS 64       /* calls at the same time */
#define MAX_PER_RECEIVER 4 /* of them to one scheme, host and port */

enum slot_state {
    SLOT_FREE,
    SLOT_CALLING,
    SLOT_ENDED,    /* the result waits to be told */
    SLOT_REPORTING /* the engine has the command */
};

struct slot {
    enum slot_state state;
    struct delivery delivery;
    struct job_id about; /* the job or batch */
    char receiver[CALLBACK_MAX_RECEIVER];
    bool is_private, was_blocked, has_head;
    size_t n_answer;
    void *easy; /* CURL; made once, used again */
    struct curl_slist *headers;
    struct buf message;
    char words[256]; /* libcurl's, of what went wrong */
    struct command cmd;
};

struct callbacks {
    /* Of whoever opens and stops it. */
    struct engine *engine;
    const struct config *cfg;
    const struct log *log;
    pthread_t thread;
    bool has_thread;
    _Atomic bool stop;

    /* Of the thread, once it runs. */
    struct callback_writers writers;
    struct signing_keys keys;
    struct reader *reader;
    struct mailbox mailbox;
    struct libcurl *curl;
    void *multi;                          /* CURLM */
    int64_t next_due_us;                  /* look then */
    bool look;                            /* something may be due that has no slot yet */
    bool goes_on;                         /* a look has not seen all receivers yet */
    bool has_wrapped;                     /* from the last name to the first */
    char receiver[CALLBACK_MAX_RECEIVER]; /* who was served last; the others come first now */
    char circle[CALLBACK_MAX_RECEIVER];   /* the first one of this look */
    struct slot slots[MAX_SLOTS];
};

/* callbacks_due.c: begins what is due, as far as there are slots; one that becomes free looks
 * again. False: the store cannot be read. */
MUST_CHECK bool callbacks_look(struct callbacks *c, struct err *err);
/* A call is over, or cannot be made (is_hopeless). */
void callbacks_judge(const struct callbacks *c, struct slot *slot, struct delivery_answer answer);
void callbacks_put_words(struct slot *slot, const char *words);
/* Results go to the engine and come back stored. False: some could not be told, or stored. */
bool callbacks_report(struct callbacks *c);
bool callbacks_take_reports(struct callbacks *c);

/* callbacks.c: sends slot->message. */
MUST_CHECK bool callbacks_call(struct callbacks *c, struct slot *slot, const char *url,
                               struct err *err);

#endif

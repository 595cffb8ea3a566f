/* SPDX-License-Identifier: MIT */
/* What client.c (policy) and transfer.c (one exchange by libcurl) share. */
#ifndef GANGER_CLI_CLIENT_IMPL_H
#define GANGER_CLI_CLIENT_IMPL_H

#include "cli/client.h"
#include "service/base/libcurl.h"

struct client {
    const struct target *target;
    struct libcurl curl;
    CURLM *multi;
    int signal_fd; /* or -1 */
    int signal;    /* caught */
    int watch_fd;  /* or -1 */
    bool reached;  /* it has answered in this run */
    ticker_fn *ticker;
    void *ticker_owner;
    struct transfer *transfers; /* under way */
};

struct transfer {
    struct client *client;
    struct transfer *next;
    CURL *easy;
    struct curl_slist *headers;
    struct call call;
    struct reply reply;
    bool over, held;
    CURLcode result;
    long os_errno; /* when connecting failed */
};

#endif

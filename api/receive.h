/* SPDX-License-Identifier: MIT */
/* What the HTTP library calls while a request comes in: gate, route, body, handler. */
#ifndef GANGER_API_RECEIVE_H
#define GANGER_API_RECEIVE_H

#include "api/request.h"

/* A new daemon for the thread, driven by its loop: no listening socket, no thread of its own. NULL
 * = failure. */
struct MHD_Daemon *receive_start(struct http_thread *thread);

#endif

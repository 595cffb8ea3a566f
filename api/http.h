/* SPDX-License-Identifier: MIT */
/* The HTTP side: listeners, threads, the loop around MHD_run, request life, suspend and resume,
 * dead clients. */
#ifndef GANGER_API_HTTP_H
#define GANGER_API_HTTP_H

#include "service/engine.h"

struct http;
/* Binds all listeners, makes the token at first start (<data>/token, 0600), starts the threads. */
MUST_CHECK bool http_start(struct engine *engine, struct http **ret_http, struct err *err);
/* Bound address of the first TCP listener, "http://127.0.0.1:7411", or of the socket, "unix:/path".
 * Owned by http. */
const char *http_url(const struct http *http);
/* No request is in the engine any more (engine_run has returned). Answers what is left, ends the
 * threads. Accepts NULL. */
void http_stop(struct http *http);

#endif

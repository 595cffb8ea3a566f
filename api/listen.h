/* SPDX-License-Identifier: MIT */
/* Listening sockets from texts such as "127.0.0.1:7411", "[::1]:0", "localhost:7411" or
 * "unix:/path". */
#ifndef GANGER_API_LISTEN_H
#define GANGER_API_LISTEN_H

#include "api/request.h"

#include <sys/un.h>

struct listener {
    enum source_kind kind;
    int fd;                    /* non-blocking; one descriptor shared by all threads */
    bool is_unix, is_loopback; /* a unix socket counts as loopback */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char url[160]; /* "http://127.0.0.1:7411" with the real port, or "unix:/path" */
};

/* A unix socket gets mode 0660; a left-over one is replaced only if nobody answers on it. INVALID
 * for a text that names nothing one can listen on, INTERNAL when the system refuses. */
MUST_CHECK bool listener_open(const char *text, struct listener *ret, struct err *err);
/* Removes the unix socket's file. Accepts a zeroed one. */
void listener_close(struct listener *listener);

#endif

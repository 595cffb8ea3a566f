/* SPDX-License-Identifier: MIT */
/* libcurl, loaded when it is first needed. Only the client's verbs and callbacks use it, and with
 * what it needs itself (OpenSSL, Kerberos, LDAP, SSH) it would be the largest part of an idle
 * server, its zygote and its workers. Packages depend on it all the same: libcurl.c leaves a note
 * in the binary that says so (https://systemd.io/ELF_DLOPEN_METADATA/).
 *
 * Owner: whoever has loaded it. No file but this includes curl.h, and nothing links the library. */
#ifndef GANGER_BASE_LIBCURL_H
#define GANGER_BASE_LIBCURL_H

#include "service/base/error.h"

#include <curl/curl.h>

/* What is used of it; each function has the type that curl.h declares. */
/* clang-format off */
#define LIBCURL_FUNCTIONS(X)                                                                      \
    X(global_init) X(global_cleanup)                                                              \
    X(easy_init) X(easy_setopt) X(easy_getinfo) X(easy_pause) X(easy_reset) X(easy_strerror)      \
    X(easy_cleanup)                                                                               \
    X(multi_init) X(multi_setopt) X(multi_add_handle) X(multi_perform) X(multi_poll)              \
    X(multi_wakeup) X(multi_info_read) X(multi_strerror) X(multi_remove_handle) X(multi_cleanup)  \
    X(slist_append) X(slist_free_all)
/* clang-format on */

struct libcurl {
    bool is_loaded;
#define X(name) __typeof__(curl_##name) *name;
    LIBCURL_FUNCTIONS(X)
#undef X
};

/* Loads and starts it; before the process has other threads that might do the same. */
MUST_CHECK bool libcurl_load(struct libcurl *ret, struct err *err);
/* Ends its use. It stays in memory: the libraries below it have registered what runs at exit.
 * Accepts one that was not loaded. */
void libcurl_unload(struct libcurl *curl);

#endif

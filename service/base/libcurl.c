/* SPDX-License-Identifier: MIT */
#include "service/base/libcurl.h"

#include <dlfcn.h>

#define SONAME "libcurl.so.4" /* the only one since 2006: its interface is kept */

/* For those who build packages: what `ldd` does not show. */
#define NOTE_TYPE 0x407c0c0a
#define NOTE_TEXT                                                                 \
    "[{\"feature\":\"client\",\"description\":\"client commands and callbacks\"," \
    "\"priority\":\"required\",\"soname\":[\"" SONAME "\"]}]"
static const struct {
    uint32_t name_len, text_len, type;
    char name[4];
    char text[sizeof(NOTE_TEXT)];
} note __attribute__((used, aligned(4), section(".note.dlopen"))) = {4, sizeof(NOTE_TEXT),
                                                                     NOTE_TYPE, "FDO", NOTE_TEXT};

static bool refuse(struct err *err)
{
    const char *why = dlerror();
    return err_set(err, ERR_INTERNAL, "cannot load libcurl: %s", why == NULL ? SONAME : why);
}

bool libcurl_load(struct libcurl *ret, struct err *err)
{
    static const struct {
        const char *name;
        size_t at;
    } functions[] = {
#define X(name) {"curl_" #name, offsetof(struct libcurl, name)},
        LIBCURL_FUNCTIONS(X)
#undef X
    };
    void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    *ret = (struct libcurl){0};
    if (library == NULL)
        return refuse(err);
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        void *function = dlsym(library, functions[i].name);
        if (function == NULL)
            return refuse(err);
        /* POSIX allows it, ISO C has no cast for it. */
        memcpy((char *)ret + functions[i].at, &function, sizeof(function));
    }
    ret->is_loaded = ret->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    return ret->is_loaded || err_set(err, ERR_INTERNAL, "libcurl does not start");
}

void libcurl_unload(struct libcurl *curl)
{
    if (curl->is_loaded)
        curl->global_cleanup();
    curl->is_loaded = false;
}

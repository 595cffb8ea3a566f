/* SPDX-License-Identifier: MIT */
/* The program of a pool: what its workers start before they take a task, and what calls go to that
 * have no program of their own. */
#ifndef GANGER_BASE_POOL_RUNNER_H
#define GANGER_BASE_POOL_RUNNER_H

#include "service/base/function.h"

/* Bytes of its text with the NUL: JSON on one line, {"command":[…],"preload":[…],"init_base64":"…",
 * "codec":"…"}. "": the pool has none. */
#define POOL_RUNNER_MAX 4096

/* How values travel between a runner and its worker; a runner names several. */
enum runner_codec { CODEC_JSON = 1, CODEC_RAW = 2, CODEC_PICKLE = 4 };
#define RUNNER_CODECS 3
struct runner_word {
    const char *text;
    uint32_t bit;
};
extern const struct runner_word runner_codecs[RUNNER_CODECS];

/* `object` is validated JSON with these members; "initializer" is the text whose base64 would be
 * "init_base64". INVALID says below `pointer` what is wrong. */
MUST_CHECK bool pool_runner_read(struct slice object, const char *pointer,
                                 char ret[POOL_RUNNER_MAX], struct err *err);
/* What such a text says, as a function of the kind runner without a name. */
MUST_CHECK bool pool_runner_program(const char *text, struct arena *a, struct function *ret,
                                    struct err *err);

/* While a section of the configuration is read: `key` is one of the object's members, or "runner"
 * for its command. False and no error: it is none. */
bool pool_runner_is_key(const char *key);
MUST_CHECK bool pool_runner_set(char text[POOL_RUNNER_MAX], const char *key, struct slice value,
                                struct err *err);
/* The section is read: the keys become the pool's text. */
MUST_CHECK bool pool_runner_finish(char text[POOL_RUNNER_MAX], struct err *err);

#endif

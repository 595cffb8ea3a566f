/* SPDX-License-Identifier: MIT */
/* A list of the service, page by page:
 *
 *     do {
 *         if (!pages_next(&pages, err))
 *             return false;
 *         while (pages_item(&pages, &item))
 *             …
 *     } while (pages_more(&pages)); */
#ifndef GANGER_CLI_PAGES_H
#define GANGER_CLI_PAGES_H

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/json.h"

/* Items of one request. Jobs and batches may be so large that no more of them fit an answer. */
#define PAGES_SIZE 100

struct pages {
    struct cli *cli;
    const char *path; /* with its filters; borrowed */
    int64_t left;     /* items that are still wanted */
    int64_t size;     /* items of one request */
    char cursor[512]; /* of the next page, or "" */
    struct reply reply;
    struct json_iter items; /* in the reply */
};

#define AUTO_PAGES __attribute__((cleanup(pages_release)))
void pages_release(struct pages *pages);

MUST_CHECK bool pages_next(struct pages *pages, struct err *err);
/* The next item of this page; it lasts until the next page. */
bool pages_item(struct pages *pages, struct slice *ret);

static inline bool pages_more(const struct pages *pages)
{
    return pages->left > 0 && pages->cursor[0] != '\0';
}

#endif

/* SPDX-License-Identifier: MIT */
/* Standard input for a running job: piece by piece, each with its place, so that one whose answer
 * was lost is not taken twice. */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/outcome.h"
#include "cli/output.h"

#include <errno.h>
#include <inttypes.h>

#define LONGEST_S 86400u /* that a job may let one piece wait */
#define PIECE ((size_t)64 << 10)

/* What standard input has now, at most a piece; 0 at its end. */
static bool read_piece(struct buf *piece, struct err *err)
{
    ssize_t n;
    buf_clear(piece);
    char *to = buf_reserve(piece, PIECE);
    PRE(to != NULL); /* it may hold that much */
    do
        n = read(STDIN_FILENO, to, PIECE);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(err, ERR_BAD_REQUEST, "cannot read standard input");
    buf_commit(piece, (size_t)n);
    return true;
}

static bool put_piece(struct cli *cli, const char *id, const struct buf *piece, int64_t *total,
                      struct err *err)
{
    char path[160];
    struct reply AUTO_REPLY reply = {0};
    const bool is_end = piece->len == 0 && !args_has(cli->args, OPT_KEEP_OPEN);
    int len = *total < 0 ? snprintf(path, sizeof(path), "/v1/jobs/%s/stdin?eof=%d", id, is_end)
                         : snprintf(path, sizeof(path), "/v1/jobs/%s/stdin?eof=%d&offset=%" PRId64,
                                    id, is_end, *total);
    struct call call = {.method = "PUT",
                        .path = path,
                        .body = buf_slice(piece),
                        .type = "application/octet-stream",
                        .limit_s = LONGEST_S};
    PRE(len > 0 && (size_t)len < sizeof(path));
    if (!facts_ask(cli, &call, &reply, err))
        return false;
    *total = json_i64_at(buf_slice(&reply.body), "total", -1);
    return true;
}

int command_feed(struct cli *cli)
{
    const char *id = cli->args->operands[0];
    struct buf AUTO_BUF piece;
    struct err err = {0};
    int64_t total = -1; /* what others have fed before is asked with the first piece */
    bool ok;
    buf_init(&piece, PIECE);
    do
        ok = read_piece(&piece, &err) && put_piece(cli, id, &piece, &total, &err);
    while (ok && piece.len > 0);
    if (ok)
        return CLI_OK;
    output_error(cli->out, "%s: %s", id, err.detail);
    return outcome_of_error(cli, &err);
}

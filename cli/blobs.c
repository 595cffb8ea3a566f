/* SPDX-License-Identifier: MIT */
/* ganger blob put, get, ls, rm. */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/submit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

enum { ID_WIDTH = 36, BYTES_WIDTH = 14, SHA_WIDTH = 12 };

/* ------------------------------------------------------------------------------------------------
 * put */

static bool open_file(const char *name, int *ret_fd, struct err *err)
{
    if (strcmp(name, "-") == 0) {
        *ret_fd = STDIN_FILENO;
        return true;
    }
    struct stat st;
    AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_set(err, ERR_INVALID, "%s", strerrordesc_np(errno));
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "is a directory; tar makes one file of it");
    *ret_fd = steal_fd(&fd);
    return true;
}

/* The seconds of --keep as the query has them. */
static void put_keep(struct buf *path, const struct args *args)
{
    struct buf AUTO_BUF seconds = {0};
    if (!args_has(args, OPT_KEEP))
        return;
    buf_init(&seconds, 64);
    buf_json_seconds_us(&seconds, args_duration_us(args, OPT_KEEP, 0));
    query_put(path, "keep", buf_slice(&seconds));
}

static bool put_one(struct cli *cli, const char *name, struct err *err)
{
    struct buf AUTO_BUF path = {0};
    struct arena AUTO_ARENA arena = {0};
    struct reply AUTO_REPLY reply = {0};
    char key[KEY_SIZE];
    int fd = -1;
    if (!open_file(name, &fd, err))
        return false;
    buf_init(&path, 256);
    arena_init(&arena, 4096);
    buf_puts(&path, "/v1/blobs");
    put_keep(&path, cli->args);
    buf_putc(&path, '\0');
    submit_make_key(key);
    struct call call = {.method = "POST",
                        .path = path.ptr,
                        .type = "application/octet-stream",
                        .sends_fd = true,
                        .fd = fd,
                        .key = key};
    bool ok = facts_ask(cli, &call, &reply, err);
    if (fd != STDIN_FILENO)
        (void)close(fd);
    if (!ok)
        return false;
    struct slice blob = json_trim(buf_slice(&reply.body));
    if (args_has(cli->args, OPT_JSON))
        return output_json(blob) || err_sys(err, ERR_INTERNAL, "cannot write the output");
    return (output_text(slice_of(json_text_at(blob, "id", &arena))) &&
            output_text(SLICE_LIT("\n"))) ||
           err_sys(err, ERR_INTERNAL, "cannot write the output");
}

int command_blob_put(struct cli *cli)
{
    static char from_stdin[] = "-";
    char *operands[] = {from_stdin};
    struct args args = *cli->args;
    if (args.n_operands > 0)
        return facts_each(cli, put_one);
    args.operands = operands;
    args.n_operands = 1;
    struct cli with = *cli;
    with.args = &args;
    return facts_each(&with, put_one);
}

/* ------------------------------------------------------------------------------------------------
 * get */

struct sink {
    struct client *client;
    uint64_t n; /* bytes that were written */
    struct err *err;
};

static bool take_bytes(void *owner, struct slice bytes)
{
    struct sink *sink = owner;
    if (!client_write(sink->client, STDOUT_FILENO, bytes, sink->err))
        return false;
    sink->n += bytes.len;
    return true;
}

/* A connection that breaks off is taken up where it ended: a blob never changes. */
static bool get_one(struct cli *cli, const char *id, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    struct sink sink = {.client = cli->client, .err = err};
    char path[64];
    (void)snprintf(path, sizeof(path), "/v1/blobs/%s", id);
    for (int tries = 0;; tries++) {
        const uint64_t before = sink.n;
        const struct call call = {
            .method = "GET", .path = path, .from = sink.n, .on_bytes = take_bytes, .owner = &sink};
        reply_release(&reply);
        if (client_call(cli->client, &call, &reply, err))
            break;
        if (sink.n == before || client_interrupted(cli->client) != 0 || tries == 100)
            return false;
        *err = (struct err){0};
    }
    /* All of it was there when the connection broke. */
    return reply.status == 200 || reply.status == 206 || (reply.status == 416 && sink.n > 0) ||
           reply_refuse(&reply, err);
}

int command_blob_get(struct cli *cli)
{
    return facts_each(cli, get_one);
}

/* ------------------------------------------------------------------------------------------------
 * ls, rm */

static void put_head(struct buf *out)
{
    buf_printf(out, "%-*s %*s  %-*s  %s\n", ID_WIDTH, "ID", BYTES_WIDTH, "BYTES", SHA_WIDTH,
               "SHA256", "NAME");
}

static void put_row(struct buf *out, struct slice blob, struct arena *a)
{
    const char *sha = json_text_at(blob, "sha256", a);
    buf_printf(out, "%-*s %*" PRId64 "  %-*.*s  ", ID_WIDTH, json_text_at(blob, "id", a),
               BYTES_WIDTH, json_i64_at(blob, "bytes", 0), SHA_WIDTH, SHA_WIDTH, sha);
    const char *name = json_text_at(blob, "name", a);
    cell_put(out, slice_of(name[0] == '\0' ? "-" : name), 0);
    buf_putc(out, '\n');
}

int command_blob_ls(struct cli *cli)
{
    static const struct facts_table table = {
        .path = "/v1/blobs", .name = "id", .put_head = put_head, .put_row = put_row, .most = 20};
    return facts_list(cli, &table);
}

static bool remove_one(struct cli *cli, const char *id, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    char path[64];
    (void)snprintf(path, sizeof(path), "/v1/blobs/%s", id);
    const struct call call = {.method = "DELETE", .path = path};
    return client_ask(cli->client, &call, &reply, err);
}

int command_blob_rm(struct cli *cli)
{
    return facts_each(cli, remove_one);
}

/* SPDX-License-Identifier: MIT */
#include "cli/batch.h"

#include <inttypes.h>

bool json_take_batch(struct slice object, struct json_batch *ret, struct err *err)
{
    struct arena AUTO_ARENA arena;
    arena_init(&arena, 4096);
    struct json_batch batch = {.raw = object};
    if (object.len == 0 || json_type_of(object) != JSON_OBJECT)
        return err_set(err, ERR_INTERNAL, "the server's answer is not a batch");
    const char *id = json_text_at(object, "id", &arena);
    const char *state = json_text_at(object, "state", &arena);
    if (strlen(id) != sizeof(batch.id) - 1 || strlen(state) >= sizeof(batch.state) ||
        state[0] == '\0' || json_at(object, "counts").ptr == NULL)
        return err_set(err, ERR_INTERNAL, "the server's answer is not a batch");
    memcpy(batch.id, id, sizeof(batch.id));
    (void)snprintf(batch.state, sizeof(batch.state), "%s", state);
    batch.done = json_is_true(json_at(object, "done"));
    batch.total = json_i64_at(object, "total", 0);
    batch.succeeded = json_i64_at(object, "counts.succeeded", 0);
    batch.failed = json_i64_at(object, "counts.failed", 0);
    batch.cancelled = json_i64_at(object, "counts.cancelled", 0);
    batch.n_done = batch.succeeded + batch.failed + batch.cancelled;
    *ret = batch;
    return true;
}

bool json_read_batch(struct slice text, struct json_batch *ret, struct err *err)
{
    return json_check(text, err) && json_take_batch(json_trim(text), ret, err);
}

void outcome_put_batch(const struct json_batch *batch, struct buf *out)
{
    buf_printf(out, "%s, %" PRId64 " of %" PRId64, batch->state, batch->n_done, batch->total);
    if (batch->failed > 0)
        buf_printf(out, ", %" PRId64 " failed", batch->failed);
    if (batch->cancelled > 0)
        buf_printf(out, ", %" PRId64 " cancelled", batch->cancelled);
}

static bool post(struct cli *cli, const char *id, const char *verb, struct err *err)
{
    char path[96];
    struct reply AUTO_REPLY reply = {0};
    (void)snprintf(path, sizeof(path), "/v1/batches/%s/%s", id, verb);
    struct call call = {.method = "POST", .path = path, .harmless = true};
    return client_ask(cli->client, &call, &reply, err);
}

bool ask_batch_cancel(struct cli *cli, const char *id, struct err *err)
{
    return post(cli, id, "cancel", err);
}

bool ask_batch_close(struct cli *cli, const char *id, struct err *err)
{
    return post(cli, id, "close", err);
}

/* SPDX-License-Identifier: MIT */
/* Idempotency-Key: the same request twice is done once. The key is stored in the transaction that
 * does what it is for. */
#include "service/engine_state.h"

bool key_find(struct engine *e, struct command_key *key, bool *ret_found, struct err *err)
{
    struct idem_entry entry;
    key->replayed = false;
    *ret_found = false;
    if (!key->is_given)
        return true;
    if (!idem_find(e->store, key->key, &entry, ret_found, err))
        return false;
    if (*ret_found && entry.created_us + e->parts.cfg->idempotency_keep_us <= e->turn.now_us)
        *ret_found = false; /* over, only not pruned yet */
    if (!*ret_found)
        return true;
    key->first_no = entry.first_no;
    key->n = entry.n;
    memcpy(key->first_body, entry.body, sizeof key->first_body);
    return true;
}

bool key_check(struct engine *e, struct command *cmd, bool *ret_new, struct err *err)
{
    struct command_key *key = &cmd->key;
    bool found;
    if (!key_find(e, key, &found, err))
        return false;
    *ret_new = !found;
    if (!found)
        return true;
    if (memcmp(key->first_body, key->body, sizeof key->body) != 0)
        return err_set(err, ERR_KEY_REUSED, KEY_REUSED_TEXT);
    key->replayed = true;
    return true;
}

bool key_keep(struct engine *e, const struct command_key *key, int64_t first_no, int64_t n,
              struct err *err)
{
    if (!key->is_given)
        return true;
    struct idem_entry entry = {.first_no = first_no, .n = n, .created_us = e->turn.now_us};
    memcpy(entry.key, key->key, sizeof entry.key);
    memcpy(entry.body, key->body, sizeof entry.body);
    apply_due_at(e, e->turn.now_us + e->parts.cfg->idempotency_keep_us);
    return idem_put(e->store, &entry, err);
}

/* ------------------------------------------------------------------------------------------------
 * a batch, whose items may come for a long time */

static bool is_zero(const uint8_t digest[32])
{
    static const uint8_t zeros[32] = {0};
    return memcmp(digest, zeros, sizeof zeros) == 0;
}

bool key_check_batch(struct engine *e, struct command_key *key, bool *ret_new, struct err *err)
{
    const struct batch *b;
    struct err missing = {0};
    bool found;
    if (!key_find(e, key, &found, err))
        return false;
    if (found && is_zero(key->first_body)) {
        found = batch_get_by_no(e->store, key->first_no, &b, &missing) &&
                b->phase == BATCH_UPLOADING;
        if (found)
            return err_set(
                err, ERR_KEY_IN_FLIGHT,
                "The first request with this Idempotency-Key is still sending its items");
    }
    *ret_new = !found;
    if (!found)
        return missing.code == ERR_NONE || missing.code == ERR_NOT_FOUND ||
               err_set(err, missing.code, "%s", missing.detail);
    if (!is_zero(key->body) && memcmp(key->first_body, key->body, sizeof key->body) != 0)
        return err_set(err, ERR_KEY_REUSED, KEY_REUSED_TEXT);
    key->replayed = true;
    return true;
}

bool key_keep_batch(struct engine *e, const struct command *cmd, int64_t no, struct err *err)
{
    struct command_key key = cmd->key;
    if (cmd->batch.phase == BATCH_UPLOADING)
        memset(key.body, 0, sizeof key.body);
    return key_keep(e, &key, no, 1, err);
}

/* ------------------------------------------------------------------------------------------------
 * more items for a batch */

/* A request for many items is done in pieces, and a key that is repeated goes on where the first
 * request ended. So what is kept of it after each piece is how many items are in, n, or ~n while
 * the request has more; with a digest of those. */
bool key_check_items(struct engine *e, struct command *cmd, bool *ret_new, struct err *err)
{
    struct command_key *key = &cmd->key;
    const struct batch_ask *ask = &cmd->batch;
    bool found;
    if (!key_find(e, key, &found, err))
        return false;
    *ret_new = !found;
    if (!found)
        return true;
    const bool is_whole = key->n >= 0;
    const int64_t in = is_whole ? key->n : ~key->n, end = ask->first + ask->n_items;
    const bool is_same = end == in && memcmp(key->first_body, key->body, sizeof key->body) == 0;
    key->replayed = ask->is_last ? is_whole && is_same : end < in || (is_same && !is_whole);
    *ret_new = !is_whole && in == ask->first && !key->replayed;
    return key->replayed || *ret_new || err_set(err, ERR_KEY_REUSED, KEY_REUSED_TEXT);
}

bool key_keep_items(struct engine *e, const struct command *cmd, struct err *err)
{
    const struct batch_ask *ask = &cmd->batch;
    const int64_t end = ask->first + ask->n_items;
    return key_keep(e, &cmd->key, ask->id.no, ask->is_last ? end : ~end, err);
}

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

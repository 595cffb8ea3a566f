/* SPDX-License-Identifier: MIT */
#include "storage/inputs.h"

#include "storage/store_impl.h"

bool inputs_put(struct store *store, int64_t no, uint32_t k, const struct input_row *row,
                struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_INPUT_PUT);

    bind_i64(put, 1, no);
    bind_i64(put, 2, k);
    bind_i64(put, 3, (int64_t)row->kind);
    bind_i64(put, 4, row->parent);
    bind_i64(put, 5, row->stream);
    bind_i64(put, 6, row->argument);
    bind_i64(put, 7, row->at);
    bind_i64(put, 8, row->len);
    bind_text(put, 9, row->name);
    return store_run(store, put, err);
}

static bool no_room(struct err *err)
{
    return err_set(err, ERR_OVERLOADED, "There is not enough memory for what the job takes.");
}

static bool row_fill(sqlite3_stmt *get, struct arena *a, struct input_row *ret, struct err *err)
{
    struct slice name = column_slice(get, 6);

    *ret = (struct input_row){
        .kind = (enum job_input_kind)sqlite3_column_int(get, 0),
        .parent = sqlite3_column_int64(get, 1),
        .stream = (uint8_t)sqlite3_column_int(get, 2),
        .argument = (uint32_t)sqlite3_column_int64(get, 3),
        .at = (uint32_t)sqlite3_column_int64(get, 4),
        .len = (uint32_t)sqlite3_column_int64(get, 5),
    };
    if (ret->kind > JOB_INPUT_ARGUMENT || ret->stream > INPUT_OF_BLOB ||
        (ret->kind == JOB_INPUT_FILE && name.ptr == NULL))
        return err_set(err, ERR_INTERNAL, "A stored input is damaged.");
    if (name.ptr == NULL)
        return true;
    ret->name = (struct slice){arena_dup(a, name), name.len};
    return ret->name.ptr != NULL || no_room(err);
}

bool inputs_get(struct store *store, int64_t no, struct arena *a, struct input_list *ret,
                struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_INPUTS_GET);
    bool found;

    *ret = (struct input_list){arena_alloc(a, MAX_JOB_INPUTS * sizeof(*ret->rows)), 0};
    if (ret->rows == NULL)
        return no_room(err);
    bind_i64(get, 1, no);
    while (db_next(&store->db, get, &found, err)) {
        if (!found)
            return true;
        if (ret->n == MAX_JOB_INPUTS)
            return err_set(err, ERR_INTERNAL, "Job %lld has too many stored inputs.",
                           (long long)no);
        if (!row_fill(get, a, &ret->rows[ret->n], err))
            return false;
        ret->n++;
    }
    return false;
}

bool inputs_forget(struct store *store, int64_t no, struct err *err)
{
    return store_run_no(store, SQL_INPUTS_DELETE, no, err);
}

static enum source_state state_of(const struct row *row, uint8_t stream)
{
    if (!job_state_is_end(row->state))
        return SOURCE_AGAIN;
    if (row->output.expired)
        return SOURCE_EXPIRED;
    if (row->output.truncated[stream])
        return SOURCE_CUT;
    return row->output.spooled[stream] ? SOURCE_SPOOLED : SOURCE_HERE;
}

/* Of the attempt and the size that `ret` names. No row in `outputs`: both streams are empty. */
static bool bytes_get(struct store *store, uint8_t stream, struct arena *a,
                      struct input_source *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_OUTPUT_GET);
    struct slice bytes = {NULL, 0};
    bool found;

    bind_i64(get, 1, ret->id.no);
    bind_i64(get, 2, ret->attempt);
    if (!db_next(&store->db, get, &found, err))
        return false;
    if (found)
        bytes = column_slice(get, stream);
    if (bytes.len != ret->size) {
        ret->state = SOURCE_DAMAGED;
        return true;
    }
    ret->bytes = (struct slice){arena_dup(a, bytes), bytes.len};
    return ret->bytes.ptr != NULL || no_room(err);
}

bool inputs_source(struct store *store, const struct input_row *input, struct arena *a,
                   struct input_source *ret, struct err *err)
{
    struct err missing = {0};
    struct row row;

    *ret = (struct input_source){.state = SOURCE_GONE};
    if (!row_load(store, input->parent, &row, &missing))
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    ret->state = state_of(&row, input->stream);
    ret->id = row_id(&row);
    ret->attempt = row.attempt;
    ret->size = row.output.bytes[input->stream];
    return ret->state != SOURCE_HERE || bytes_get(store, input->stream, a, ret, err);
}

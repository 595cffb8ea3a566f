/* SPDX-License-Identifier: MIT */
/* Batches and the names of their elements, for readers. */
#include "storage/reader_batch.h"

#include "service/base/template.h"
#include "storage/batches_impl.h"
#include "storage/deliveries.h"
#include "storage/items.h"
#include "storage/reader_impl.h"

/* A batch's texts; the caller holds the snapshot open. */
static bool texts_fill(struct reader *reader, int64_t no, struct arena *a, struct batch_view *view,
                       struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BATCH_SPEC);
    struct slice name;
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_STORAGE, "The specification of batch %lld is missing.",
                       (long long)no);
    if (!reader_keep(get, 0, a, &name) || !reader_keep(get, 1, a, &view->labels) ||
        !reader_keep(get, 2, a, &view->metadata))
        return reader_no_room(err);
    view->name = name.ptr;
    return true;
}

static bool queue_fill(struct reader *reader, uint32_t queue, struct arena *a,
                       struct batch_view *view, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_QUEUE);
    struct slice name = {NULL, 0};
    bool found;

    bind_i64(get, 1, queue);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (found && !reader_keep(get, 0, a, &name))
        return reader_no_room(err);
    view->queue = name.ptr == NULL ? "default" : name.ptr;
    return true;
}

static bool batch_load(struct reader *reader, sqlite3_stmt *get, int64_t no, struct batch *ret,
                       struct err *err)
{
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    return found ? batch_read(get, ret, err)
                 : err_set(err, ERR_NOT_FOUND, "There is no such batch.");
}

static bool stage_id(struct reader *reader, int64_t no, struct job_id *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_JOB_ID);
    bool found;

    *ret = (struct job_id){0};
    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (found)
        *ret = (struct job_id){(uint64_t)sqlite3_column_int64(get, 0) / 1000, no,
                               (uint32_t)sqlite3_column_int(get, 1)};
    return true;
}

/* Who reads a pipeline wants to read its jobs, which are few. */
static bool stages_fill(struct reader *reader, struct arena *a, struct batch_view *view,
                        struct err *err)
{
    const struct batch *b = &view->batch;
    struct batch_part part;

    if (b->kind != BATCH_PIPELINE || b->n < 1 || b->n > MAX_STAGES)
        return true;
    if (!reader_part_of(reader, b->no, 0, &part, err))
        return false;
    view->n_stages = (uint32_t)b->n;
    view->stages = arena_alloc(a, view->n_stages * sizeof(*view->stages));
    if (view->stages == NULL)
        return reader_no_room(err);
    for (uint32_t i = 0; i < view->n_stages; i++) {
        if (!stage_id(reader, part.first_no + i, &view->stages[i], err))
            return false;
    }
    return true;
}

bool reader_batch_by_no(struct reader *reader, int64_t no, struct arena *a, struct batch_view *ret,
                        struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BATCH);

    *ret = (struct batch_view){0};
    return batch_load(reader, get, no, &ret->batch, err) && texts_fill(reader, no, a, ret, err) &&
           queue_fill(reader, ret->batch.queue, a, ret, err) && stages_fill(reader, a, ret, err) &&
           ((ret->batch.flags & JOB_OFFSPRING) == 0 ||
            reader_submitter(reader, no, &ret->submitter, err)) &&
           ((ret->batch.flags & JOB_CALLBACK) == 0 ||
            reader_callback(reader, no, a, &ret->callback, err));
}

bool reader_batch(struct reader *reader, const struct job_id *id, struct arena *a,
                  struct batch_view *ret, struct err *err)
{
    if (!reader_batch_by_no(reader, id->no, a, ret, err))
        return false;
    return job_id_eq(&ret->batch.id, id) || err_set(err, ERR_NOT_FOUND, "There is no such batch.");
}

bool reader_batch_nos(struct reader *reader, int64_t before, struct number_page *page,
                      struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BATCH_NOS);
    bool found;

    bind_i64(get, 1, before);
    bind_i64(get, 2, (int64_t)page->max);
    page->n = 0;
    while (db_next(&reader->db, get, &found, err)) {
        if (!found)
            return true;
        page->nos[page->n++] = sqlite3_column_int64(get, 0);
    }
    return false;
}

bool reader_batch_mark(struct reader *reader, const struct job_id *id, struct batch *ret,
                       struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BATCH);

    if (!batch_load(reader, get, id->no, ret, err))
        return false;
    return job_id_eq(&ret->id, id) || err_set(err, ERR_NOT_FOUND, "There is no such batch.");
}

bool reader_part_of(struct reader *reader, int64_t batch, int64_t index, struct batch_part *ret,
                    struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_PART_OF);
    bool found;

    bind_i64(get, 1, batch);
    bind_i64(get, 2, index);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "The batch has no elements.");
    *ret = (struct batch_part){sqlite3_column_int64(get, 0), sqlite3_column_int64(get, 1),
                               sqlite3_column_int64(get, 2)};
    return true;
}

/* The only column of the only row that the statement `which` finds by this number. */
struct lookup {
    enum reader_sql which;
    int64_t no;
};

/* Absent when there is none. */
static bool bytes_get(struct reader *reader, struct lookup lookup, struct arena *a,
                      struct slice *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, lookup.which);
    bool found;

    *ret = (struct slice){NULL, 0};
    bind_i64(get, 1, lookup.no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    return !found || reader_keep(get, 0, a, ret) || reader_no_room(err);
}

bool reader_template(struct reader *reader, int64_t batch, struct arena *a, struct slice *ret,
                     struct err *err)
{
    return bytes_get(reader, (struct lookup){SQL_READ_TEMPLATE, batch}, a, ret, err);
}

bool reader_item_name(struct reader *reader, const struct row *row, struct arena *a,
                      struct slice *name, struct err *err)
{
    AUTO_ARENA struct arena scratch = {0};
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_ITEM);
    struct slice template_bytes, item;
    struct template_head head;

    /* When the payload has expired, the pattern is all that is left. */
    if (name->ptr == NULL || row->output.expired || memchr(name->ptr, '{', name->len) == NULL)
        return true;
    arena_init(&scratch, (size_t)24 << 20);
    if (!reader_template(reader, row->batch, &scratch, &template_bytes, err) ||
        !template_open(template_bytes, &head, NULL, err) ||
        !item_read(&reader->db, get, row->no, &item, err))
        return false;
    if (item.ptr == NULL)
        return true;
    struct template_item values = {.raw = item, .index = row->idx, .star = head.star != 0};
    name->ptr = template_name(*name, &values, a);
    name->len = name->ptr == NULL ? 0 : strlen(name->ptr);
    return name->ptr != NULL ? true : reader_no_room(err);
}

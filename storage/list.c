/* SPDX-License-Identifier: MIT */
/* Pages of jobs. A walk along the row numbers, since there is no index for each filter (an index
 * costs every job, a list is rarely asked for); so a page reads a bounded number of rows and
 * may be short. */
#include "storage/reader_batch.h"
#include "storage/reader_impl.h"

#include "service/base/json.h"
#include "storage/results.h"

#define MAX_ROWS_READ 10000

/* The walk's place and what it has to do. */
struct walk {
    struct reader *reader;
    const struct job_filter *filter;
    struct arena *arena;
    int64_t queue;   /* number; 0 = any */
    int64_t last_no; /* row read last */
    bool at_end, only_ids;
};

static bool label_matches(struct slice labels, const char *key, const char *value)
{
    struct slice found;

    return labels.ptr != NULL && labels.len > 0 && json_type_of(json_trim(labels)) == JSON_OBJECT &&
           json_find(json_trim(labels), key, &found) && json_type_of(found) == JSON_STRING &&
           json_string_eq(found, value);
}

/* Name and labels, looked at where they are: thousands of rows may be refused for one that is
 * taken. */
static bool spec_matches(const struct walk *walk, const struct row *row, bool *ret, struct err *err)
{
    bool is_item = (row->flags & JOB_ITEM) != 0; /* its texts are the batch's */
    AUTO_STMT sqlite3_stmt *get = reader_stmt(walk->reader,
                                              is_item ? SQL_READ_BATCH_SPEC : SQL_READ_SPEC);
    const struct job_filter *filter = walk->filter;
    AUTO_ARENA struct arena names = {0};
    char number[JOB_OWN_NAME_SIZE];
    struct slice name;
    bool found;

    *ret = true;
    if (filter->name == NULL && filter->label_key == NULL)
        return true;
    bind_i64(get, 1, is_item ? row->batch : row->no);
    if (!db_next(&walk->reader->db, get, &found, err))
        return false;
    arena_init(&names, 4096);
    job_own_name(row->no, number);
    name = found ? column_slice(get, 0) : (struct slice){NULL, 0};
    if (name.ptr == NULL)
        name = slice_of(number);
    if (filter->name != NULL && is_item && !reader_item_name(walk->reader, row, &names, &name, err))
        return false;
    if (filter->name != NULL)
        *ret = slice_is(name, filter->name);
    if (*ret && filter->label_key != NULL)
        *ret = found && label_matches(column_slice(get, 1), filter->label_key, filter->label_value);
    return true;
}

/* What the hot row alone can tell, before all of it is read: most rows may be passed over. */
static bool row_matches(const struct walk *walk, sqlite3_stmt *stmt)
{
    const struct job_filter *filter = walk->filter;

    if (filter->states != 0 &&
        (filter->states >> (sqlite3_column_int(stmt, ROW_STATE) & 31) & 1) == 0)
        return false;
    return (walk->queue == 0 || sqlite3_column_int64(stmt, ROW_QUEUE) == walk->queue) &&
           sqlite3_column_int64(stmt, ROW_CREATED) > filter->created_after_us;
}

/* Number of a queue's name; 0 when there has never been one. */
static bool queue_find(struct reader *reader, const char *name, int64_t *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_QUEUE_ID);
    bool found;

    bind_text(get, 1, slice_of(name));
    if (!db_next(&reader->db, get, &found, err))
        return false;
    *ret = found ? sqlite3_column_int64(get, 0) : 0;
    return true;
}

static bool newest_no(struct reader *reader, int64_t *ret_no, bool *ret_found, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_LAST);

    if (!db_next(&reader->db, get, ret_found, err))
        return false;
    if (*ret_found)
        *ret_no = sqlite3_column_int64(get, 0);
    return true;
}

/* The number of the first row from `no` on, when that one was created at `us` or before; else 0. */
static bool too_old_from(struct reader *reader, int64_t no, int64_t us, int64_t *ret_no,
                         struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_AT);
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    *ret_no = found && sqlite3_column_int64(get, 1) <= us ? sqlite3_column_int64(get, 0) : 0;
    return true;
}

/* The number before the first row that was created later than `us`: where an ascending walk
 * begins. Creation times never decrease as the numbers grow, so halving finds it in as many reads
 * as the newest number has bits. */
static bool seek_created(struct reader *reader, int64_t us, int64_t *ret_before, struct err *err)
{
    int64_t low = 1, high = 0, too_old;
    bool found;

    *ret_before = 0;
    if (!newest_no(reader, &high, &found, err))
        return false;
    if (!found)
        return true;
    high++; /* every row from `high` on is young enough, or there is none */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (!too_old_from(reader, middle, us, &too_old, err))
            return false;
        if (too_old != 0)
            low = too_old + 1;
        else
            high = middle;
    }
    *ret_before = low - 1;
    return true;
}

static bool walk_begin(struct walk *walk, int64_t cursor, sqlite3_stmt **ret, struct err *err)
{
    const struct job_filter *filter = walk->filter;
    int64_t from = cursor;

    if (filter->queue != NULL) {
        if (!queue_find(walk->reader, filter->queue, &walk->queue, err))
            return false;
        walk->at_end = walk->queue == 0;
    }
    if (cursor == 0 && !filter->oldest_first)
        from = INT64_MAX;
    if (cursor == 0 && filter->oldest_first && filter->created_after_us > 0 &&
        !seek_created(walk->reader, filter->created_after_us, &from, err))
        return false;
    if (filter->submitter != 0) {
        *ret = reader_stmt(walk->reader, filter->oldest_first ? SQL_READ_OFFSPRING_OLDEST
                                                              : SQL_READ_OFFSPRING_NEWEST);
        bind_i64(*ret, 2, filter->submitter);
    } else {
        *ret = reader_stmt(walk->reader, filter->oldest_first ? SQL_READ_OLDEST : SQL_READ_NEWEST);
    }
    bind_i64(*ret, 1, from);
    return true;
}

/* Reads one row; *ret_taken when the view was filled with it. The walk is at its end when there is
 * none, or when only older ones than asked for can follow. */
static bool walk_step(struct walk *walk, sqlite3_stmt *stmt, struct job_view *view, bool *ret_taken,
                      struct err *err)
{
    struct row row;
    bool found;

    *ret_taken = false;
    if (!db_next(&walk->reader->db, stmt, &found, err))
        return false;
    if (!found || (!walk->filter->oldest_first &&
                   sqlite3_column_int64(stmt, ROW_CREATED) <= walk->filter->created_after_us)) {
        walk->at_end = true;
        return true;
    }
    walk->last_no = sqlite3_column_int64(stmt, ROW_NO);
    if (!row_matches(walk, stmt))
        return true;
    if (!row_read(stmt, &row, err) || !spec_matches(walk, &row, ret_taken, err))
        return false;
    if (!*ret_taken)
        return true;
    view->id = row_id(&row);
    return walk->only_ids || reader_fill(walk->reader, &row, walk->arena, view, err);
}

/* ---- the elements of a batch ---- */

/* A walk along the elements of one batch, whose numbers lie in few runs. */
struct batch_walk {
    int64_t index; /* to be read next */
    int64_t rows;  /* read so far, runs included */
    bool at_end;
};

/* The elements of one run, from the walk's index on. */
static bool part_list(struct walk *walk, struct batch_walk *b, const struct batch_part *part,
                      struct job_page *page, struct err *err)
{
    bool up = walk->filter->oldest_first, taken;
    AUTO_STMT sqlite3_stmt *stmt = reader_stmt(walk->reader,
                                               up ? SQL_READ_OLDEST : SQL_READ_NEWEST);
    int64_t first = part->first_no + b->index - part->first_index;

    bind_i64(stmt, 1, up ? first - 1 : first + 1);
    b->index = up ? part->first_index + part->n : part->first_index - 1;
    while (!walk->at_end) {
        struct job_view *view = &page->jobs[page->n];

        walk->last_no = 0;
        if (!walk_step(walk, stmt, view, &taken, err))
            return false;
        if (walk->last_no < part->first_no || walk->last_no >= part->first_no + part->n)
            return true; /* behind the run, or behind the last row */
        page->n += taken ? 1 : 0;
        if (++b->rows >= MAX_ROWS_READ || page->n == page->max) {
            b->index = part->first_index + walk->last_no - part->first_no + (up ? 1 : -1);
            return true;
        }
    }
    return true;
}

static bool batch_walk_begin(struct walk *walk, struct batch_walk *b, int64_t cursor,
                             struct err *err)
{
    const struct job_filter *filter = walk->filter;
    struct err missing = {0};
    struct batch batch;

    if (filter->queue != NULL) {
        if (!queue_find(walk->reader, filter->queue, &walk->queue, err))
            return false;
        b->at_end = walk->queue == 0;
    }
    if (!reader_batch_mark(walk->reader, &filter->batch, &batch, &missing)) {
        b->at_end = true;
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    }
    b->index = cursor;
    if (!filter->oldest_first)
        b->index = (cursor == 0 ? batch.n : cursor) - 1;
    return true;
}

/* The page's cursor is an index here: the one to begin with, or, newest first, one more. */
static bool batch_list(struct walk *walk, struct job_page *page, struct err *err)
{
    struct batch_walk b = {0};
    bool up = walk->filter->oldest_first;

    if (!batch_walk_begin(walk, &b, page->cursor, err))
        return false;
    while (!b.at_end && b.index >= 0 && b.rows < MAX_ROWS_READ && page->n < page->max) {
        struct err missing = {0};
        struct batch_part part;

        if (!reader_part_of(walk->reader, walk->filter->batch.no, b.index, &part, &missing)) {
            if (missing.code != ERR_NOT_FOUND)
                return err_set(err, missing.code, "%s", missing.detail);
            break;
        }
        b.at_end = b.index >= part.first_index + part.n;
        b.rows++;
        if (!b.at_end && !part_list(walk, &b, &part, page, err))
            return false;
        /* A run ends where the walk sees a row behind it; only a run's own rows end the list. */
        walk->at_end = false;
    }
    page->cursor = b.at_end || b.index < 0 ? 0 : b.index + (up ? 0 : 1);
    return true;
}

bool reader_has_label(struct reader *reader, int64_t no, const struct label *label, bool *ret,
                      struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_LABELS);
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    *ret = found && label_matches(column_slice(get, 0), label->key, label->value);
    return true;
}

bool reader_list(struct reader *reader, const struct job_filter *filter, struct arena *a,
                 struct job_page *page, struct err *err)
{
    struct walk walk = {.reader = reader, .filter = filter, .arena = a, .only_ids = page->only_ids};
    AUTO_STMT sqlite3_stmt *stmt = NULL;

    PRE(page->max > 0 && ERGO(filter->label_key != NULL, filter->label_value != NULL));

    page->n = 0;
    if (filter->batch.no != 0 && filter->submitter != 0) {
        struct job_id submitter; /* all elements are children of whose child the batch is */
        if (!reader_submitter(reader, filter->batch.no, &submitter, err))
            return false;
        if (submitter.no != filter->submitter) {
            page->cursor = 0;
            return true;
        }
    }
    if (filter->batch.no != 0)
        return batch_list(&walk, page, err);
    if (!walk_begin(&walk, page->cursor, &stmt, err))
        return false;
    for (int rows = 0; rows < MAX_ROWS_READ && page->n < page->max && !walk.at_end; rows++) {
        bool taken;

        if (!walk_step(&walk, stmt, &page->jobs[page->n], &taken, err))
            return false;
        page->n += taken ? 1 : 0;
    }
    page->cursor = walk.at_end ? 0 : walk.last_no;
    return true;
}

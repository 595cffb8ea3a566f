/* SPDX-License-Identifier: MIT */
/* The rows of attempts that began and ended since the last commit. What a turn has of them is
 * written together, since most of what an UPDATE costs is not its row: those whose numbers lie
 * close to each other and that have ended alike, by one statement, which asks leap() for what
 * differs. */
#include "storage/jobs.h"
#include "storage/store_impl.h"

static bool is_alike(const struct row *a, const struct row *b)
{
    return b->keep_us == a->keep_us && leap_is_alike(a, b);
}

static sqlite3_stmt *pass_bind(struct store *store, const struct row *first, size_t span)
{
    sqlite3_stmt *pass = store_stmt(store, SQL_ROWS_PASS);

    bind_i64(pass, 1, first->no);
    bind_i64(pass, 2, first->no + (int64_t)span);
    bind_i64(pass, 3, (int64_t)first->state);
    bind_i64(pass, 4, first->version);
    bind_i64(pass, 5, first->attempt);
    bind_i64(pass, 6, first->keep_us);
    bind_i64(pass, 7, row_output_flags(first));
    return pass;
}

/* In the order of their numbers, of which the last one is less than PASSES_AT_ONCE behind the first
 * one. */
static bool write_some(struct store *store, const struct row *const *rows, size_t n,
                       struct err *err)
{
    struct leap_row asked[PASSES_AT_ONCE];
    const int64_t first_no = rows[0]->no;
    const size_t span = (size_t)(rows[n - 1]->no - first_no) + 1;
    bool ok;

    if (n == 1)
        return row_write_passed(store, rows[0], err);
    for (size_t i = 0; i < span; i++)
        asked[i] = (struct leap_row){0};
    for (size_t i = 0; i < n; i++) {
        struct leap_row *row = &asked[rows[i]->no - first_no];
        leap_row_of(rows[i], row);
        row->timer = row_timer(rows[i], &row->wake_us);
    }
    store->leaping = (struct leaping){first_no, span, asked};
    ok = store_run(store, pass_bind(store, rows[0], span), err);
    store->leaping = (struct leaping){0};
    return ok;
}

/* They come worker by worker. */
static void sort_by_no(const struct row **rows, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t at = i; at > 0 && rows[at - 1]->no > rows[at]->no; at--) {
            const struct row *later = rows[at - 1];
            rows[at - 1] = rows[at];
            rows[at] = later;
        }
}

bool jobs_passed(struct store *store, struct err *err)
{
    const struct row *rows[PASSES_AT_ONCE];
    const size_t n = store->passing.n;

    store->passing.n = 0;
    for (size_t i = 0; i < n; i++)
        rows[i] = &store->passing.rows[i];
    sort_by_no(rows, n);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && rows[end]->no - rows[first]->no < PASSES_AT_ONCE; end++)
            if (!is_alike(rows[first], rows[end]))
                break;
        if (!write_some(store, rows + first, end - first, err))
            return false;
        /* Else the row in memory was not the one in the database. */
        if (sqlite3_changes64(store->db.handle) != (sqlite3_int64)(end - first))
            return err_set(err, ERR_STORAGE, "A job that has ended is not queued any more.");
    }
    return true;
}

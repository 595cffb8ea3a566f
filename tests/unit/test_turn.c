/* SPDX-License-Identifier: MIT */
/* Ends that a turn may tell: small ones, of steps that were not undone. */
#include "service/turn.h"

#include <criterion/criterion.h>

static struct turn turn;

static void note(int64_t batch, int64_t seq, const char *value)
{
    const struct result_row row = {
        .seq = seq, .state = JOB_SUCCEEDED, .stdout_inline = slice_of(value)};
    turn_note_end(&turn, batch, &row);
}

Test(turn, an_end_is_found_by_its_place)
{
    char value[] = "bytes";

    turn_begin(&turn);
    note(7, 3, value);
    note(8, 3, "others");
    memset(value, 'x', sizeof(value) - 1); /* what was noted is a copy */
    const struct told_end *end = turn_find_end(&turn, 7, 3);
    cr_assert_not_null(end);
    cr_assert(slice_is(end->row.stdout_inline, "bytes"));
    cr_assert_null(turn_find_end(&turn, 7, 2));
    turn_begin(&turn);
    cr_assert_null(turn_find_end(&turn, 7, 3));
}

Test(turn, a_step_that_is_undone_tells_nothing)
{
    turn_begin(&turn);
    note(7, 1, "kept");
    const struct turn_mark mark = turn_mark(&turn);
    note(7, 2, "undone");
    turn_back(&turn, mark);
    cr_assert_not_null(turn_find_end(&turn, 7, 1));
    cr_assert_null(turn_find_end(&turn, 7, 2));
}

Test(turn, what_is_long_or_elsewhere_is_read)
{
    char value[TOLD_BYTES + 2];
    const struct result_row spooled = {.seq = 3, .is_spooled = true};

    memset(value, 'x', sizeof(value));
    value[TOLD_BYTES + 1] = '\0';
    turn_begin(&turn);
    note(7, 1, value);
    cr_assert_null(turn_find_end(&turn, 7, 1));
    value[TOLD_BYTES] = '\0';
    note(7, 2, value);
    cr_assert_not_null(turn_find_end(&turn, 7, 2));
    turn_note_end(&turn, 7, &spooled);
    cr_assert_null(turn_find_end(&turn, 7, 3));
    for (int64_t i = 0; i < 2 * TURN_MAX_ENDS; i++)
        note(9, i + 1, "");
    cr_assert_null(turn_find_end(&turn, 9, 2 * TURN_MAX_ENDS));
}

/* SPDX-License-Identifier: MIT */
/* service/brief.c: what is known of calls by their ends. */
#include "service/brief.h"
#include "service/element.h"

#include <criterion/criterion.h>

#define KEY UINT64_C(42)

static void note(struct brief *brief, uint64_t key, int n, uint64_t took_us)
{
    for (int i = 0; i < n; i++)
        brief_note(brief, key, took_us);
}

Test(brief, nothing_is_concluded_from_a_few)
{
    static struct brief brief;
    note(&brief, KEY, 31, 10);
    cr_assert_eq(brief_together(&brief, KEY), 1);
    note(&brief, KEY, 1, 10);
    cr_assert_eq(brief_together(&brief, KEY), BRIEF_MAX);
    cr_assert_eq(brief_together(&brief, KEY + 1), 1);
}

Test(brief, a_turn_has_as_many_as_its_time_allows)
{
    static struct brief brief;
    note(&brief, 1, 100, 100);
    note(&brief, 2, 100, 400);
    note(&brief, 3, 100, 501);
    note(&brief, 4, 100, 0);
    cr_assert_eq(brief_together(&brief, 1), 10);
    cr_assert_eq(brief_together(&brief, 2), 2);
    cr_assert_eq(brief_together(&brief, 3), 1);
    cr_assert_eq(brief_together(&brief, 4), BRIEF_MAX);
}

Test(brief, one_slow_call_is_enough_and_is_forgotten)
{
    static struct brief brief;
    note(&brief, KEY, 100, 20);
    note(&brief, KEY, 1, 1000000);
    cr_assert_eq(brief_together(&brief, KEY), 1);
    note(&brief, KEY, 400, 20);
    cr_assert_eq(brief_together(&brief, KEY), BRIEF_MAX);
}

Test(brief, who_comes_to_the_place_of_another_begins_anew)
{
    static struct brief brief;
    note(&brief, KEY, 100, 20);
    note(&brief, KEY + BRIEF_TEMPLATES, 1, 20);
    cr_assert_eq(brief_together(&brief, KEY), 1);
    cr_assert_eq(brief_together(&brief, KEY + BRIEF_TEMPLATES), 1);
}

static uint64_t key_of(const char *call, const char *program)
{
    AUTO_ARENA struct arena a = {0};
    struct slice argv[] = {slice_of(program)}, bytes;
    struct job_spec spec = {.argv = argv, .n_argv = 1};
    struct err err = {0};
    arena_init(&a, 1 << 16);
    if (call != NULL)
        spec.call = slice_of(call);
    cr_assert(element_template(&spec, false, &a, &bytes, &err), "%s", err.detail);
    return brief_key(bytes);
}

Test(brief, templates_are_told_apart_and_commands_are_not_counted)
{
    static struct brief brief;
    const uint64_t f = key_of("[1]", "f"), g = key_of("[1]", "g"), other = key_of("[2]", "f");
    cr_assert(f != 0 && f == key_of("[1]", "f"));
    cr_assert(f != g && f != other && g != other);
    cr_assert_eq(key_of(NULL, "f"), 0);
    note(&brief, 0, 100, 20);
    cr_assert_eq(brief_together(&brief, 0), 1);
    cr_assert_eq(brief_key((struct slice){"x", 1}), 0, "damaged");
}

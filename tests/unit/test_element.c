/* SPDX-License-Identifier: MIT */
/* What becomes of template and item, and which items are refused before. */
#include "service/element.h"

#include "pool/task.h"

#include <criterion/criterion.h>

static struct arena a;

static void setup(void)
{
    arena_init(&a, (size_t)64 << 20);
}

static void teardown(void)
{
    arena_release(&a);
}

TestSuite(element, .init = setup, .fini = teardown, .timeout = 60);

static struct slice template_of(struct slice *argv, uint32_t n, const char *input, bool star)
{
    struct job_spec spec = {.argv = argv,
                            .n_argv = n,
                            .stdin_bytes = slice_of(input),
                            .max_attempts = 1,
                            .limit_output = 1,
                            .stop_signal = 15};
    struct slice bytes;
    struct err err = {0};

    cr_assert(element_template(&spec, star, &a, &bytes, &err), "%s", err.detail);
    return bytes;
}

static bool make(struct slice bytes, const struct element *element, struct slice *ret,
                 struct err *err)
{
    struct element_maker maker;

    return element_read(bytes, &a, &maker, err) && element_make(&maker, element, &a, ret, err);
}

static struct task task_of(struct slice bytes, const char *item)
{
    struct element element = {slice_of(item), 7, 99};
    struct slice wire;
    struct task task;
    struct err err = {0};

    cr_assert(make(bytes, &element, &wire, &err), "%s", err.detail);
    cr_assert(task_decode(wire, &a, &task, &err), "%s", err.detail);
    return task;
}

Test(element, the_item_is_put_into_its_places)
{
    struct slice argv[] = {SLICE_LIT("p{index}"), SLICE_LIT("x"), SLICE_LIT("-{}-")};
    struct task task = task_of(template_of(argv, 3, "in {}", false), "\"i\"");
    cr_assert_eq(task.n_argv, 3);
    cr_assert(slice_is(task.argv[0], "p7") && slice_is(task.argv[2], "-i-"));
    cr_assert(slice_is(task.stdin_bytes, "in i"));
    cr_assert_eq(task.deadline_us, 99);
}

/* What one element is made of leaves nothing for the next one. */
Test(element, a_template_is_read_once_for_many)
{
    struct slice argv[] = {SLICE_LIT("p{index}"), SLICE_LIT("{}")};
    struct element_maker maker;
    struct err err = {0};
    cr_assert(element_read(template_of(argv, 2, "in {}", false), &a, &maker, &err), "%s",
              err.detail);
    for (int i = 0; i < 3; i++) {
        char item[16], want[16];
        struct task task;
        struct slice wire;
        (void)snprintf(item, sizeof item, "%d", i * 100);
        struct element element = {slice_of(item), i, i};
        cr_assert(element_make(&maker, &element, &a, &wire, &err), "%s", err.detail);
        cr_assert(task_decode(wire, &a, &task, &err), "%s", err.detail);
        (void)snprintf(want, sizeof want, "p%d", i);
        cr_assert(slice_is(task.argv[0], want) && slice_is(task.argv[1], item));
        (void)snprintf(want, sizeof want, "in %d", i * 100);
        cr_assert(slice_is(task.stdin_bytes, want));
        cr_assert_eq(task.deadline_us, i);
    }
}

Test(element, neighbours_share_what_was_read)
{
    struct slice one[] = {SLICE_LIT("one"), SLICE_LIT("{}")}, two[] = {SLICE_LIT("two")};
    struct element_memo memo = {0};
    struct err err = {0};
    const struct slice bytes = template_of(one, 2, NULL, false);
    const struct element_maker *maker = element_recall(&memo, bytes, &err);
    cr_assert_not_null(maker);
    memo.maker.head.priority = 77; /* a mark that reading would wipe out */
    struct slice same = {arena_dup(&a, bytes), bytes.len};
    maker = element_recall(&memo, same, &err);
    cr_assert(maker != NULL && maker->head.priority == 77, "it was read again");
    maker = element_recall(&memo, template_of(two, 1, NULL, false), &err);
    cr_assert(maker != NULL && slice_is(maker->task.argv[0], "two"));
    cr_assert_null(element_recall(&memo, SLICE_LIT("damaged"), &err));
    maker = element_recall(&memo, bytes, &err);
    cr_assert(maker != NULL && slice_is(maker->task.argv[0], "one"));
    element_forget(&memo);
    cr_assert_null(memo.bytes.ptr);
}

Test(element, without_a_place_it_comes_last)
{
    struct slice argv[] = {SLICE_LIT("echo")};
    struct task one = task_of(template_of(argv, 1, NULL, false), "{\"a\":1}");
    cr_assert_eq(one.n_argv, 2);
    cr_assert(slice_is(one.argv[1], "{\"a\":1}"));
    struct task star = task_of(template_of(argv, 1, NULL, true), "[1,\"\",[2]]");
    cr_assert_eq(star.n_argv, 4);
    cr_assert(slice_is(star.argv[2], "") && slice_is(star.argv[3], "[2]"));
    cr_assert_eq(task_of(template_of(argv, 1, NULL, true), "[]").n_argv, 1);
}

Test(element, a_place_in_the_input_alone_counts)
{
    struct slice argv[] = {SLICE_LIT("cat")};
    struct task task = task_of(template_of(argv, 1, "{}", false), "\"all of it\"");
    cr_assert_eq(task.n_argv, 1);
    cr_assert(slice_is(task.stdin_bytes, "all of it"));
}

static bool passes(struct slice bytes, struct slice item)
{
    struct element_rules rules;
    struct err err = {0};

    cr_assert(element_rules(bytes, &a, &rules, &err), "%s", err.detail);
    return element_check(&rules, item, &err);
}

Test(element, items_that_no_command_can_hold_are_refused)
{
    struct slice one[] = {SLICE_LIT("echo"), SLICE_LIT("{}")};
    struct slice four[] = {SLICE_LIT("echo"), SLICE_LIT("{}{}{}{}")};
    struct slice none[] = {SLICE_LIT("cat")};
    char *big = must_alloc(200001);
    memset(big, '1', 200000);
    struct slice of_100k = {big, 100000}, of_200k = {big, 200000};
    cr_assert(passes(template_of(one, 2, NULL, false), of_100k));
    cr_assert_not(passes(template_of(one, 2, NULL, false), of_200k));
    cr_assert_not(passes(template_of(four, 2, NULL, false), of_100k));
    cr_assert_not(passes(template_of(none, 1, NULL, false), of_200k));
    cr_assert(passes(template_of(none, 1, "{}", false), of_200k), "by input it may be large");
    char holes[2 * 100 + 1] = "";
    for (int i = 0; i < 100; i++)
        (void)snprintf(holes + 2 * i, 3, "{}");
    cr_assert_not(passes(template_of(none, 1, holes, false), of_200k), "20 MB of input");
    free(big);
}

Test(element, a_star_wants_arrays_that_are_long_enough)
{
    struct slice argv[] = {SLICE_LIT("echo"), SLICE_LIT("{2}")};
    struct slice bytes = template_of(argv, 2, NULL, true);
    cr_assert(passes(bytes, SLICE_LIT("[1,2]")));
    cr_assert_not(passes(bytes, SLICE_LIT("[1]")));
    cr_assert_not(passes(bytes, SLICE_LIT("\"ab\"")));
}

Test(element, what_makes_no_command_fails_when_it_is_made)
{
    struct slice argv[] = {SLICE_LIT("{}")};
    struct slice bytes = template_of(argv, 1, NULL, false);
    struct element element = {SLICE_LIT("\"\""), 0, 0};
    struct slice wire;
    struct err err = {0};

    cr_assert_not(make(bytes, &element, &wire, &err));
    cr_assert_eq(err.code, ERR_INVALID);
}

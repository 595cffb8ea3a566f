/* SPDX-License-Identifier: MIT */
/* Items of `map`: words, files, standard input, and their combinations. */
#include "cli/items.h"

#include <criterion/criterion.h>
#include <fcntl.h>

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

/* Reads a line of `map` and all its items: one per line of the text, which the caller frees. */
static char *all_items(char **words, bool numbered)
{
    struct args args;
    struct err err = {0};
    int n = 0, from = 0;
    while (words[n] != NULL)
        n++;
    bool is_read = args_read(command_find(words[0]), n, words, &args, &err);
    cr_assert(is_read, "%s", err.detail);
    while (from < args.n_operands && strncmp(args.operands[from], ":::", 3) != 0)
        from++;
    struct items *items = NULL;
    bool is_open = items_open(&args, from, false, &items, &err);
    cr_assert(is_open, "%s", err.detail);
    if (numbered)
        items_number(items);
    struct buf out;
    buf_init(&out, 65536);
    enum items_state state = ITEMS_ITEM;
    while (state != ITEMS_END) {
        bool ok = items_next(items, &out, &state, &err);
        cr_assert(ok, "%s", err.detail);
        if (state == ITEMS_ITEM)
            buf_putc(&out, '\n');
        if (state == ITEMS_WANTED) {
            bool is_filled = items_fill(items, &err);
            cr_assert(is_filled, "%s", err.detail);
        }
    }
    buf_putc(&out, '\0');
    items_close(items);
    args_release(&args);
    return buf_steal(&out);
}

static void expect_items(const char *expected, char **words, bool numbered)
{
    char *got = all_items(words, numbered);
    cr_assert_str_eq(got, expected);
    free(got);
}

static void make_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

Test(items, words_after_the_mark)
{
    expect_items("\"a\"\n\"b \\\"c\"\n\"\"\n", WORDS("map", "echo", ":::", "a", "b \"c", ""),
                 false);
    expect_items("", WORDS("map", "echo", ":::"), false);
}

Test(items, several_lists_are_combined_and_the_last_turns_fastest)
{
    expect_items("[\"a\",\"x\"]\n[\"a\",\"y\"]\n[\"b\",\"x\"]\n[\"b\",\"y\"]\n",
                 WORDS("map", "echo", ":::", "a", "b", ":::", "x", "y"), false);
    expect_items("", WORDS("map", "echo", ":::", "a", ":::"), false);
}

Test(items, lines_of_files)
{
    char path[] = "/tmp/ganger-items-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    (void)close(fd);
    make_file(path, "one\n\ntwo words\nthe last has no end");
    expect_items("\"one\"\n\"\"\n\"two words\"\n\"the last has no end\"\n",
                 WORDS("map", "echo", "::::", path), false);
    expect_items("\"one\"\n\"\"\n\"two words\"\n\"the last has no end\"\n",
                 WORDS("map", "-a", path, "echo"), false);
    make_file(path, "p\nq\n");
    expect_items("[\"p\",\"1\"]\n[\"p\",\"2\"]\n[\"q\",\"1\"]\n[\"q\",\"2\"]\n",
                 WORDS("map", "echo", "::::", path, ":::", "1", "2"), false);
    (void)unlink(path);
}

Test(items, columns_and_numbers)
{
    expect_items("[\"x\",\"y\",\"\"]\n[\"z\"]\n",
                 WORDS("map", "--colsep", ",", "echo", ":::", "x,y,", "z"), false);
    expect_items("[\"1\",\"a\"]\n[\"2\",\"b\"]\n", WORDS("map", "echo", ":::", "a", "b"), true);
    expect_items("[\"1\",\"x,y\",\"x\",\"y\"]\n",
                 WORDS("map", "--colsep", ",", "echo", ":::", "x,y"), true);
    expect_items("[\"1\",\"a x\",\"a\",\"x\"]\n[\"2\",\"a y\",\"a\",\"y\"]\n",
                 WORDS("map", "echo", ":::", "a", ":::", "x", "y"), true);
}

Test(items, what_is_not_text_is_refused)
{
    char path[] = "/tmp/ganger-items-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, "ok\n\xff\n", 5) == 5);
    (void)close(fd);
    struct args args;
    struct err err = {0};
    struct items *items = NULL;
    char *words[] = {"map", "-a", path, "echo", NULL};
    bool is_read = args_read(command_find("map"), 4, words, &args, &err) &&
                   items_open(&args, 1, false, &items, &err) && items_fill(items, &err);
    cr_assert(is_read, "%s", err.detail);
    struct buf AUTO_BUF out;
    enum items_state state;
    buf_init(&out, 4096);
    bool first = items_next(items, &out, &state, &err);
    bool second = items_next(items, &out, &state, &err);
    cr_assert(first);
    cr_assert_not(second);
    cr_assert_str_eq(err.detail, "item 2 is not text in UTF-8");
    items_close(items);
    args_release(&args);
    (void)unlink(path);
}

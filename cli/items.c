/* SPDX-License-Identifier: MIT */
#include "cli/items.h"

#include <errno.h>
#include <fcntl.h>

#include "cli/lines.h"
#include "cli/spec.h"
#include "service/base/text.h"

#define SOURCES_MAX 16u
#define WORDS_MAX ((size_t)256 << 20) /* of sources that are combined: these are kept in memory */

/* Words of the command line, or of a file. */
struct source {
    const char *path; /* NULL: words */
    char *const *words;
    size_t n;
};

struct items {
    const struct args *args;
    struct source sources[SOURCES_MAX];
    size_t n_sources;
    struct lines lines; /* of the only source, when that is a file */
    int file;           /* opened here, or -1 */
    bool reads;         /* `lines` is in use */
    bool numbered, over;
    bool are_values;        /* what is JSON is given as what it is: arguments of a function */
    size_t at[SOURCES_MAX]; /* the next combination */
    struct arena arena;     /* of the words that files gave */
    int64_t count;
};

static bool is_mark(const char *word)
{
    return strcmp(word, ":::") == 0 || strcmp(word, "::::") == 0;
}

static bool source_add(struct items *items, struct source source, struct err *err)
{
    if (items->n_sources == SOURCES_MAX)
        return err_set(err, ERR_INVALID, "more than %u lists of items", SOURCES_MAX);
    items->sources[items->n_sources++] = source;
    return true;
}

/* ":::" starts a list of words, "::::" one of files, each of them a list of its own. */
static bool sources_read(struct items *items, int from, struct err *err)
{
    const struct args *args = items->args;
    for (int i = from; i < args->n_operands;) {
        bool files = strcmp(args->operands[i], "::::") == 0;
        int end = i + 1;
        while (end < args->n_operands && !is_mark(args->operands[end]))
            end++;
        struct source words = {NULL, args->operands + i + 1, (size_t)(end - i - 1)};
        if (!files && !source_add(items, words, err))
            return false;
        for (int j = i + 1; files && j < end; j++) {
            if (!source_add(items, (struct source){.path = args->operands[j]}, err))
                return false;
        }
        i = end;
    }
    for (size_t i = 0; i < args->arg_file.n; i++) {
        if (!source_add(items, (struct source){.path = args->arg_file.items[i]}, err))
            return false;
    }
    return true;
}

static bool file_open(const char *path, int *ret_fd, struct err *err)
{
    *ret_fd = -1;
    if (strcmp(path, "-") == 0)
        return true;
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    return *ret_fd >= 0 || err_sys(err, ERR_BAD_REQUEST, "%.160s", path);
}

static char delimiter_of(const struct args *args)
{
    return args_has(args, OPT_NULL) ? '\0' : '\n';
}

static bool check_text(struct slice text, uint64_t number, struct err *err)
{
    return text_is_utf8(text) ||
           err_set(err, ERR_INVALID, "item %llu is not text in UTF-8", (unsigned long long)number);
}

/* All lines as words in the arena: the array grows by doubling, and what it leaves behind is less
 * than what it takes. */
static bool load_words(struct items *items, struct lines *lines, struct source *source,
                       struct err *err)
{
    size_t room = 64;
    char **words = arena_alloc(&items->arena, room * sizeof(*words));
    struct slice line;
    while (words != NULL) {
        if (!lines_next(lines, &line, err))
            return false;
        source->words = words;
        if (line.ptr == NULL)
            return true;
        if (source->n == room) {
            char **more = arena_alloc(&items->arena, 2 * room * sizeof(*words));
            if (more == NULL)
                break;
            memcpy(more, words, room * sizeof(*words));
            words = more;
            room *= 2;
        }
        words[source->n] = arena_dup(&items->arena, line);
        if (words[source->n] == NULL)
            break;
        source->n++;
        if (!check_text(line, source->n, err))
            return false;
    }
    return err_set(err, ERR_TOO_LARGE, "lists that are combined must fit into memory");
}

/* Replaces a file among several sources by its words. */
static bool source_load(struct items *items, struct source *source, struct err *err)
{
    int AUTO_CLOSE fd = -1;
    struct lines lines;
    if (!file_open(source->path, &fd, err))
        return false;
    lines_init(&lines, fd >= 0 ? fd : STDIN_FILENO, delimiter_of(items->args));
    bool ok = load_words(items, &lines, source, err);
    lines_release(&lines);
    source->path = NULL;
    return ok;
}

static bool sources_prepare(struct items *items, struct err *err)
{
    if (items->n_sources == 0 && !source_add(items, (struct source){.path = "-"}, err))
        return false;
    if (items->n_sources == 1 && items->sources[0].path != NULL) {
        if (!file_open(items->sources[0].path, &items->file, err))
            return false;
        lines_init(&items->lines, items->file >= 0 ? items->file : STDIN_FILENO,
                   delimiter_of(items->args));
        items->reads = true;
        return true;
    }
    for (size_t i = 0; i < items->n_sources; i++) {
        struct source *source = &items->sources[i];
        if (source->path != NULL && !source_load(items, source, err))
            return false;
        items->over = items->over || source->n == 0;
    }
    return true;
}

bool items_open(const struct args *args, int from, bool plain, struct items **ret, struct err *err)
{
    struct items *items = must_alloc(sizeof(*items));
    *items = (struct items){.args = args, .file = -1, .lines.fd = -1};
    items->are_values = (args_has(args, OPT_FUNCTION) || args_has(args, OPT_JSON_ITEMS)) &&
                        !args_has(args, OPT_STRINGS);
    arena_init(&items->arena, WORDS_MAX);
    bool ok = true;
    if (plain && from < args->n_operands)
        ok = source_add(
            items, (struct source){NULL, args->operands + from, (size_t)(args->n_operands - from)},
            err);
    else
        ok = sources_read(items, from, err);
    if (!ok || !sources_prepare(items, err)) {
        items_close(items);
        return false;
    }
    *ret = items;
    return true;
}

void items_close(struct items *items)
{
    if (items == NULL)
        return;
    if (items->file >= 0)
        (void)close(items->file);
    lines_release(&items->lines);
    arena_release(&items->arena);
    free(items);
}

bool items_have_columns(const struct items *items)
{
    return items->n_sources > 1 || args_has(items->args, OPT_COLSEP);
}

void items_number(struct items *items)
{
    items->numbered = true;
}

int items_fd(const struct items *items)
{
    return items->reads ? items->lines.fd : -1;
}

bool items_fill(struct items *items, struct err *err)
{
    return lines_fill(&items->lines, err);
}

/* The text, split at --colsep. */
static void put_columns(const struct items *items, struct slice text, struct buf *out)
{
    const char *separator = items->args->value[OPT_COLSEP];
    size_t len = separator == NULL ? 0 : strlen(separator);
    for (;;) {
        const char *end = len == 0 || text.len < len ? NULL
                                                     : memmem(text.ptr, text.len, separator, len);
        size_t n = end == NULL ? text.len : (size_t)(end - text.ptr);
        spec_put_value(out, (struct slice){text.ptr, n}, !items->are_values);
        if (end == NULL)
            return;
        buf_putc(out, ',');
        text = (struct slice){end + len, text.len - n - len};
    }
}

/* The words of a combination between separators, as {} shows it. */
static void put_whole(const struct items *items, struct slice single, struct buf *out)
{
    struct buf AUTO_BUF joined;
    buf_init(&joined, WORDS_MAX);
    if (items->n_sources == 1) {
        buf_json_string(out, single);
        return;
    }
    for (size_t i = 0; i < items->n_sources; i++) {
        if (i > 0)
            buf_putc(&joined, ' ');
        buf_puts(&joined, items->sources[i].words[items->at[i]]);
    }
    buf_json_string(out, buf_slice(&joined));
}

/* `single` is the text of the only source, or absent for a combination. */
static void put_item(struct items *items, struct slice single, struct buf *out)
{
    bool columns = items_have_columns(items);
    items->count++;
    if (!columns && !items->numbered) {
        spec_put_value(out, single, !items->are_values);
        return;
    }
    buf_putc(out, '[');
    if (items->numbered) {
        buf_printf(out, "\"%lld\",", (long long)items->count);
        put_whole(items, single, out);
        if (columns)
            buf_putc(out, ',');
    }
    if (items->n_sources == 1 && columns)
        put_columns(items, single, out);
    for (size_t i = 0; items->n_sources > 1 && i < items->n_sources; i++) {
        if (i > 0)
            buf_putc(out, ',');
        put_columns(items, slice_of(items->sources[i].words[items->at[i]]), out);
    }
    buf_putc(out, ']');
}

/* The last list turns fastest. */
static void combination_step(struct items *items)
{
    for (size_t i = items->n_sources; i-- > 0;) {
        if (++items->at[i] < items->sources[i].n)
            return;
        items->at[i] = 0;
    }
    items->over = true;
}

bool items_next(struct items *items, struct buf *out, enum items_state *ret, struct err *err)
{
    struct slice text = {0};
    *ret = ITEMS_END;
    if (items->reads) {
        enum lines_state state = lines_take(&items->lines, &text);
        *ret = state == LINES_WANTED ? ITEMS_WANTED : state == LINES_END ? ITEMS_END : ITEMS_ITEM;
    } else if (!items->over) {
        *ret = ITEMS_ITEM;
        if (items->n_sources == 1)
            text = slice_of(items->sources[0].words[items->at[0]]);
    }
    if (*ret != ITEMS_ITEM)
        return true;
    if (!check_text(text, (uint64_t)items->count + 1, err))
        return false;
    put_item(items, text, out);
    if (!items->reads)
        combination_step(items);
    return true;
}

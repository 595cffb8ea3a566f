/* SPDX-License-Identifier: MIT */
#include "service/base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>

#include "service/base/config_option.h"
#include "service/base/text.h"

#define MAX_FILE (256u * 1024)
#define MAX_LINE (64 * 1024)

static void put_origin(struct buf *out, struct origin origin)
{
    switch (origin.source) {
    case SOURCE_DEFAULT: buf_puts(out, "default"); return;
    case SOURCE_FILE: buf_printf(out, "%s, line %u", origin.name, origin.line); return;
    case SOURCE_ENV:
    case SOURCE_FLAG: buf_puts(out, origin.name); return;
    }
}

/* "/etc/ganger/ganger.conf, line 3: …" */
bool config_refuse(struct err *err, struct origin origin, const char *what, const char *hint)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 4096);
    put_origin(&text, origin);
    buf_printf(&text, ": %s", what);
    if (hint != NULL)
        buf_printf(&text, "; did you mean %s?", hint);
    return err_set(err, ERR_INVALID, "%.*s", (int)text.len, text.ptr);
}

bool config_set_option(struct config_set *set, size_t i, struct origin origin, struct slice text,
                       struct err *err)
{
    const struct option_row *row = &config_options[i];
    struct option_state *state = &set->states[i];
    bool list = row->type == OPT_LIST || row->type == OPT_LISTEN;
    bool more = list && origin.source == SOURCE_FLAG && state->source == SOURCE_FLAG; /* a repeated
                                                                                         flag adds
                                                                                       */
    if (origin.source == SOURCE_FILE && state->source == SOURCE_FILE)
        return config_refuse(err, origin, "the key was given before", NULL);
    if (!more)
        option_clear(row, &set->values);
    const char *why = "is not allowed";
    if (!option_set(row, &set->values, text, &why)) {
        AUTO_BUF struct buf what;
        buf_init(&what, 4096);
        buf_printf(&what, "%s: '%.*s' %s; allowed: ", row->name, (int)MIN(text.len, 60u), text.ptr,
                   why);
        option_allowed(row, &what);
        buf_putc(&what, '\0');
        return config_refuse(err, origin, what.ptr, NULL);
    }
    *state = (struct option_state){.source = origin.source, .line = origin.line};
    state->automatic = option_may_be_auto(row) && slice_is(text, "auto");
    return true;
}

/* The file. libinih cuts lines at a fixed length, cuts values at " ;" and repeats the key for each
 * continuation line, all in silence. So comments on the line of a value are switched off, and it
 * reads through lines_read, which joins continuation lines, counts, and refuses what does not fit.
 */

struct lines {
    struct config_set *set;
    const char *at, *end;
    const char *file;
    uint32_t line, next_line; /* where the line given last begins; where the next one does */
    bool failed;
    struct err *err;
};

static struct origin origin_of(const struct lines *lines)
{
    return (struct origin){SOURCE_FILE, lines->file, lines->line};
}

static struct slice take_physical_line(struct lines *lines)
{
    const char *newline = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    const char *stop = newline == NULL ? lines->end : newline;
    struct slice line = {lines->at, (size_t)(stop - lines->at)};
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    lines->at = newline == NULL ? lines->end : newline + 1;
    lines->next_line++;
    return line;
}

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t')
            return false;
    }
    return true;
}

/* A line that begins with white space and holds something goes on where the one before it stopped.
 */
static bool continues(const struct lines *lines)
{
    if (lines->at == lines->end || (*lines->at != ' ' && *lines->at != '\t'))
        return false;
    struct lines ahead = *lines;
    return !is_blank(take_physical_line(&ahead));
}

/* The NAME of "<word> NAME"; absent when it is another section. */
static struct slice name_behind(struct slice section, const char *word)
{
    size_t len = strlen(word);
    if (section.len <= len + 1 || memcmp(section.ptr, word, len) != 0 || section.ptr[len] != ' ')
        return (struct slice){0};
    return (struct slice){section.ptr + len + 1, section.len - len - 1};
}

static struct slice function_name_of(struct slice section)
{
    return name_behind(section, "function");
}

static struct slice pool_name_of(struct slice section)
{
    return name_behind(section, "pool");
}

/* "[name]" with nothing behind it: libinih would drop the rest without a word. */
static bool section_is_known(struct slice line)
{
    const char *close = memchr(line.ptr, ']', line.len);
    if (close == NULL)
        return false;
    struct slice name = {line.ptr + 1, (size_t)(close - line.ptr - 1)};
    struct slice rest = {close + 1, line.len - name.len - 2};
    if (is_blank(rest) && function_name_of(name).ptr != NULL)
        return function_name_of(name).len <= MAX_FUNCTION_NAME;
    if (is_blank(rest) && pool_name_of(name).ptr != NULL)
        return pool_name_of(name).len <= MAX_POOL_NAME;
    for (size_t i = 0; is_blank(rest) && i < config_n_options; i++) {
        if (slice_eq(option_section(&config_options[i]), name))
            return true;
    }
    return false;
}

/* Appends a physical line to the logical one. */
static bool join_line(struct lines *lines, struct buf *out, struct slice part)
{
    buf_append(out, part.ptr, part.len);
    if (buf_ok(out))
        return true;
    return config_refuse(lines->err, origin_of(lines), "the line is too long", NULL);
}

static bool read_logical_line(struct lines *lines, struct buf *out)
{
    lines->line = lines->next_line;
    struct slice part = take_physical_line(lines);
    char first = part.len > 0 ? part.ptr[0] : '\0';
    if (first == '#' || first == ';')
        return true;
    if (first == '[')
        return section_is_known(part)
                   ? join_line(lines, out, part)
                   : config_refuse(lines->err, origin_of(lines), "unknown section", NULL);
    bool more = !is_blank(part);
    if (!join_line(lines, out, part))
        return false;
    while (more && continues(lines)) {
        if (!join_line(lines, out, SLICE_LIT(" ")) ||
            !join_line(lines, out, take_physical_line(lines)))
            return false;
    }
    return true;
}

/* One logical line in fgets' way; NULL at the end and after a failure. */
static char *lines_read(char *out, int size, void *stream)
{
    struct lines *lines = stream;
    if (lines->failed || lines->at == lines->end || size < 2)
        return NULL;
    AUTO_BUF struct buf line;
    buf_init(&line, (size_t)size - 1);
    if (!read_logical_line(lines, &line)) {
        lines->failed = true;
        return NULL;
    }
    if (line.len > 0)
        memcpy(out, line.ptr, line.len);
    out[line.len] = '\0';
    return out;
}

/* The library tells no sections, so the first key of another one begins it. */
static bool take_function(struct lines *lines, struct slice name, const char *key,
                          const char *value)
{
    struct function_list *list = &lines->set->values.functions;
    struct err why = {0};
    bool is_new = list->n == 0 || !slice_is(name, list->items[list->n - 1].name);
    if ((!is_new || function_begin(list, name, lines->line, &why)) &&
        function_set(list, key, slice_of(value), &why))
        return true;
    return config_refuse(lines->err, origin_of(lines), why.detail, NULL);
}

static bool take_pool(struct lines *lines, struct slice name, const char *key, const char *value)
{
    struct pool_list *list = &lines->set->values.pools;
    struct err why = {0};
    bool is_new = list->n == 0 || !slice_is(name, list->items[list->n - 1].name);
    if ((!is_new || pool_list_begin(list, name, lines->line, &why)) &&
        pool_list_set(list, key, slice_of(value), &why))
        return true;
    return config_refuse(lines->err, origin_of(lines), why.detail, NULL);
}

/* Zero means failure to libinih. */
static int take_pair(void *user, const char *section, const char *key, const char *value)
{
    struct lines *lines = user;
    if (lines->failed)
        return 0;
    struct slice function = function_name_of(slice_of(section));
    if (function.ptr != NULL) {
        lines->failed = !take_function(lines, function, key, value);
        return !lines->failed;
    }
    struct slice pool = pool_name_of(slice_of(section));
    if (pool.ptr != NULL) {
        lines->failed = !take_pool(lines, pool, key, value);
        return !lines->failed;
    }
    char name[2 * OPTION_NAME_MAX], what[4 * OPTION_NAME_MAX];
    (void)snprintf(name, sizeof(name), "%s.%s", section, key);
    const char *hint = NULL;
    for (size_t i = 0; i < config_n_options; i++) {
        if (strcmp(config_options[i].name, name) == 0) {
            lines->failed = !config_set_option(lines->set, i, origin_of(lines), slice_of(value),
                                               lines->err);
            return !lines->failed;
        }
        hint = config_nearest(name, hint, config_options[i].name);
    }
    if (section[0] == '\0')
        (void)snprintf(what, sizeof(what), "'%.60s' stands before any [section]", key);
    else
        (void)snprintf(what, sizeof(what), "unknown option %s.%.60s", section, key);
    lines->failed = true;
    (void)config_refuse(lines->err, origin_of(lines), what, hint);
    return 0;
}

static bool apply_text(struct config_set *set, const char *file, struct slice text, struct err *err)
{
    struct lines lines = {.set = set,
                          .at = text.ptr,
                          .end = text.ptr + text.len,
                          .file = file,
                          .next_line = 1,
                          .err = err};
    if (text.len == 0)
        return true;
    if (memchr(text.ptr, '\0', text.len) != NULL || !text_is_utf8(text))
        return err_set(err, ERR_INVALID, "%s: the file is not UTF-8 text", file);
    /* Constants of the library that Debian made variables; always the same values. */
    ini_use_stack = false;
    ini_initial_alloc = MAX_LINE;
    ini_max_line = MAX_LINE;
    ini_allow_inline_comments = false;
    ini_allow_multiline = false;
    ini_allow_bom = false;
    ini_stop_on_first_error = true;
    int status = ini_parse_stream(lines_read, &lines, take_pair, &lines);
    if (lines.failed)
        return false;
    if (status < 0)
        return err_set(err, ERR_INVALID, "%s: out of memory", file);
    return status == 0 ||
           config_refuse(err, origin_of(&lines), "not a [section], a comment or key = value", NULL);
}

static bool read_file(const char *path, struct buf *out, struct err *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_sys(err, ERR_INVALID, "%s", path);
    while (true) {
        char *room = buf_reserve(out, 4096);
        if (room == NULL)
            return err_set(err, ERR_INVALID, "%s: larger than %u bytes", path, MAX_FILE);
        ssize_t n = read(fd, room, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, ERR_INVALID, "%s", path);
        if (n == 0)
            return true;
        buf_commit(out, (size_t)n);
    }
}

static bool apply_file(struct config_set *set, const char *path, struct err *err)
{
    AUTO_BUF struct buf text;
    buf_init(&text, MAX_FILE);
    if (!read_file(path, &text, err))
        return false;
    set->file = must_alloc(strlen(path) + 1);
    memcpy(set->file, path, strlen(path));
    return apply_text(set, path, buf_slice(&text), err);
}

/* "<$variable or $HOME/fallback>/ganger<suffix>"; NULL when neither is set. */
static char *home_path(const char *variable, const char *fallback, const char *suffix)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    char *path = NULL;
    int len = -1;
    if (base != NULL && base[0] == '/') /* XDG base directories: relative ones are to be ignored */
        len = asprintf(&path, "%s/ganger%s", base, suffix);
    else if (home != NULL && home[0] == '/')
        len = asprintf(&path, "%s/%s/ganger%s", home, fallback, suffix);
    return len < 0 ? NULL : path;
}

char *config_default_data(void)
{
    char *path = geteuid() == 0 ? NULL : home_path("XDG_STATE_HOME", ".local/state", "");
    return path != NULL ? path : strdup("/var/lib/ganger");
}

/* The first file that exists: the user's own, then the system's. */
static bool apply_found_file(struct config_set *set, struct err *err)
{
    AUTO_FREE char *own = geteuid() == 0 && getenv("XDG_CONFIG_HOME") == NULL
                              ? NULL
                              : home_path("XDG_CONFIG_HOME", ".config", "/ganger.conf");
    const char *candidates[] = {own, "/etc/ganger/ganger.conf"};
    for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
        if (candidates[i] != NULL && access(candidates[i], F_OK) == 0)
            return apply_file(set, candidates[i], err);
    }
    return true;
}

/* ---- The whole ---- */

static struct config_set *set_of_defaults(void)
{
    struct config_set *set = must_alloc(sizeof(*set));
    function_list_init(&set->values.functions);
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        const char *why = NULL;
        bool ok = option_set(row, &set->values, slice_of(row->default_text), &why);
        POST(ok);
        set->states[i].automatic = option_may_be_auto(row);
    }
    return set;
}

static bool load(struct config_set *set, int argc, char **argv, const char *file, struct err *err)
{
    enum config_action action = CONFIG_RUN;
    const char *again = NULL;
    bool ok = file != NULL ? apply_file(set, file, err) : apply_found_file(set, err);
    return ok && config_apply_environment(set, err) &&
           config_apply_flags((struct flags){argc, argv, 0}, set, &action, &again, err) &&
           config_finish(set, err);
}

struct config_set *config_load(int argc, char **argv, enum config_action *ret_action,
                               struct err *err)
{
    enum config_action action = CONFIG_RUN;
    const char *file = getenv("GANGER_CONFIG");
    if (!config_apply_flags((struct flags){argc, argv, 0}, NULL, &action, &file, err))
        return NULL;
    struct config_set *set = set_of_defaults();
    /* Help must be given whatever the configuration looks like. */
    bool help = action == CONFIG_HELP || action == CONFIG_HELP_MARKDOWN || action == CONFIG_SAMPLE;
    if (!help && !load(set, argc, argv, file, err)) {
        config_free(set);
        return NULL;
    }
    *ret_action = action;
    return set;
}

struct config_set *config_parse_text(struct slice text, struct err *err)
{
    struct config_set *set = set_of_defaults();
    if (!apply_text(set, "text", text, err) || !config_finish(set, err)) {
        config_free(set);
        return NULL;
    }
    return set;
}

void config_free(struct config_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < config_n_options; i++)
        option_clear(&config_options[i], &set->values);
    function_list_release(&set->values.functions);
    free(set->file);
    free(set);
}

const struct config *config_get(const struct config_set *set)
{
    return &set->values;
}

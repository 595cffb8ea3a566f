/* SPDX-License-Identifier: MIT */
#include "service/base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>

#include "service/base/config_option.h"
#include "service/base/text.h"

/* A row cannot name a field of another type: the _Generic has no other case. */
#define CHECKED(type, field) (0 * sizeof(char[_Generic(((struct config *)0)->field, type : 1)]))
#define OPTION(kind, type, field) kind, offsetof(struct config, field) + CHECKED(type, field)
#define TEXT(field) OPTION(OPT_TEXT, char *, field)
#define LIST(field) OPTION(OPT_LIST, struct text_list, field)
#define LISTEN(field) OPTION(OPT_LISTEN, struct text_list, field)
#define ENUM(field) OPTION(OPT_ENUM, uint32_t, field)
#define UINT(field) OPTION(OPT_UINT, uint32_t, field)
#define COUNT(field) OPTION(OPT_COUNT, uint64_t, field)
#define BYTES(field) OPTION(OPT_BYTES, uint64_t, field)
#define DURATION(field) OPTION(OPT_DURATION, int64_t, field)

#define KIB (1LL << 10)
#define MIB (1LL << 20)
#define GIB (1LL << 30)
#define MS 1000LL
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)
#define YEARS10 (3650 * 24 * HOUR)

/* clang-format off */
const struct option_row config_options[] = {
    /* name, type and field, default, least, most,
     *     choices, flag, help */
    {"service.data",            TEXT(data),                       "",         0,        0,
         NULL, NULL, "Directory of the database, the token, the socket and large outputs. "
                     "Default: $XDG_STATE_HOME/ganger, as root /var/lib/ganger."},
    {"service.listen",          LISTEN(listen),                   "",         0,        0,
         NULL, NULL, "Where to listen; port 0 is any free one. Default: 127.0.0.1:7411 and "
                     "unix:DATA/ganger.sock, both replaced by what is given."},
    {"service.auth",            ENUM(auth),                       "token",    0,        0,
         "token|none", NULL, "Whether requests need a token; none is possible on loopback and "
                             "unix sockets only."},
    {"service.log_level",       ENUM(log_level),                  "info",     0,        0,
         "error|warn|info|debug", NULL, "What is logged to stderr."},
    {"service.log_format",      ENUM(log_format),                 "auto",     0,        0,
         "auto|json|text", NULL, "One JSON object per line, or text for people; auto is text on "
                                 "a terminal."},
    {"service.drain",           DURATION(drain_us),               "8s",       0,        HOUR,
         NULL, NULL, "How long running jobs may go on after SIGTERM."},
    {"http.hosts",              LIST(http_hosts),                 "",         0,        0,
         NULL, NULL, "Names besides localhost and addresses that the header Host may carry."},
    {"http.origins",            LIST(http_origins),               "",         0,        0,
         NULL, NULL, "Web origins whose pages may use the API."},
    {"http.max_body",           BYTES(http_max_body),             "1MiB",     KIB,      64 * MIB,
         NULL, NULL, "Largest JSON body or NDJSON line."},
    {"http.max_connections",    UINT(http_max_connections),       "12000",    16,       1000000,
         NULL, NULL, "Open connections; more wait in the kernel's queue."},
    {"http.connection_memory",  BYTES(http_connection_memory),    "8KiB",     2 * KIB,  MIB,
         NULL, NULL, "Memory of one connection; it bounds the request's header."},
    {"http.max_inflight_bytes", BYTES(http_max_inflight_bytes),   "64MiB",    MIB,      16 * GIB,
         NULL, NULL, "Bodies being read or applied, in all; beyond that 503."},
    {"http.max_parked",         UINT(http_max_parked),            "8192",     1,        1000000,
         NULL, NULL, "Waiting requests per HTTP thread; beyond that 429."},
    {"http.threads",            UINT(http_threads),               "auto",     1,        64,
         NULL, NULL, "HTTP threads; auto is 1 up to 4 CPUs, then 2 to 4."},
    {"http.header_timeout",     DURATION(http_header_timeout_us), "10s",      100 * MS, HOUR,
         NULL, NULL, "How long a request's header may take."},
    {"http.body_timeout",       DURATION(http_body_timeout_us),   "60s",      100 * MS, HOUR,
         NULL, NULL, "How long a request's body may stand still."},
    {"http.idle_timeout",       DURATION(http_idle_timeout_us),   "30s",      100 * MS, HOUR,
         NULL, NULL, "How long a connection may idle between requests."},
    {"http.heartbeat",          DURATION(http_heartbeat_us),      "15s",      100 * MS, HOUR,
         NULL, NULL, "Interval of the signs of life on a quiet stream."},
    {"http.max_wait",           DURATION(http_max_wait_us),       "55s",      100 * MS, HOUR,
         NULL, NULL, "Longest wait of one request; proxies cut at 60 s."},
    {"pool.workers",            UINT(pool_workers),               "auto",     1,        1024,
         NULL, "--workers", "Worker processes; auto = CPUs."},
    {"pool.max_workers",        UINT(pool_max_workers),           "64",       1,        1024,
         NULL, NULL, "Up to how many workers the pool can grow while it runs."},
    {"pool.kill_deadline",      DURATION(pool_kill_deadline_us),  "5s",       100 * MS, HOUR,
         NULL, NULL, "After SIGKILL, how long until a job counts as unkillable."},
    {"job.timeout",             DURATION(job_timeout_us),         "1h",       0,        YEARS10,
         NULL, NULL, "Timeout of jobs that name none; 0 = none."},
    {"job.stop_grace",          DURATION(job_stop_grace_us),      "5s",       0,        HOUR,
         NULL, NULL, "Time between the stop signal and SIGKILL, unless the job names one."},
    {"job.output",              BYTES(job_output),                "10MiB",    1,        16 * GIB,
         NULL, NULL, "Kept bytes of stdout and of stderr, unless the job names a limit."},
    {"job.keep",                DURATION(job_keep_us),            "24h",      SECOND,   YEARS10,
         NULL, NULL, "How long results are kept, unless the job says."},
    {"job.row_keep",            DURATION(job_row_keep_us),        "7d",       SECOND,   YEARS10,
         NULL, NULL, "How long finished jobs can be looked up."},
    {"job.max_attempts",        UINT(job_max_attempts),           "20",       1,        1000,
         NULL, NULL, "Most attempts a job may ask for."},
    {"job.path", TEXT(job_path), "/usr/local/bin:/usr/bin:/bin", 0, 0,
         NULL, NULL, "PATH of jobs."},
    {"job.cwd",                 TEXT(job_cwd),                    "",         0,        0,
         NULL, NULL, "Working directory of jobs that name none; empty = a fresh one each, "
                     "removed afterwards."},
    {"queue.max_jobs", COUNT(queue_max_jobs), "10000000", 1, 1000000000000,
         NULL, NULL, "Waiting jobs in all; beyond that 503."},
    {"queue.max_queues",        UINT(queue_max_queues),           "1024",     1,        1000000,
         NULL, NULL, "Different queue names."},
    {"store.sync",              ENUM(store_sync),                 "full",     0,        0,
         "full|normal", "--sync", "full: what was acknowledged survives a power cut; normal: it "
                                  "survives kill -9."},
    {"store.cache",             BYTES(store_cache),               "32MiB",    MIB,      64 * GIB,
         NULL, NULL, "Page cache of the database."},
    {"store.reserve",           BYTES(store_reserve),             "16MiB",    0,        GIB,
         NULL, NULL, "File that is given up when the disk is full, so that running jobs can "
                     "still be recorded."},
    {"store.idempotency_keep",  DURATION(idempotency_keep_us),    "24h",      SECOND,   YEARS10,
         NULL, NULL, "How long Idempotency-Keys are remembered."},
    {"callbacks.hosts",         LIST(callback_hosts),             "",         0,        0,
         NULL, NULL, "Who may be called when a job ends, by https: names, *.suffixes, public "
                     "addresses. Empty: nobody, callbacks are off."},
    {"callbacks.private_hosts", LIST(callback_private_hosts),     "",         0,        0,
         NULL, NULL, "The same for receivers in one's own network: http and addresses that are "
                     "not public are allowed for these."},
    {"callbacks.secret_file",   TEXT(callback_secret_file),       "",         0,        0,
         NULL, NULL, "File (mode 0600) with the secrets that sign callbacks, one whsec_ line "
                     "each; made when there is none. Default: DATA/callback-secret."},
    {"callbacks.timeout",       DURATION(callback_timeout_us),    "5s",       100 * MS, 60 * SECOND,
         NULL, NULL, "How long one try may take."},
    {"callbacks.max_tries",     UINT(callback_max_tries),         "10",       1,        100,
         NULL, NULL, "Tries before a callback is given up."},
    {"callbacks.first_delay",   DURATION(callback_first_delay_us), "30s",     MS,       24 * HOUR,
         NULL, NULL, "Longest pause after the first try; each further one may be four times as "
                     "long."},
    {"callbacks.max_delay",     DURATION(callback_max_delay_us),  "12h",      MS,       168 * HOUR,
         NULL, NULL, "Longest pause between two tries."},
};
/* clang-format on */

const size_t config_n_options = ARRAY_LEN(config_options);
_Static_assert(ARRAY_LEN(config_options) <= MAX_OPTIONS,
               "struct config_set has a state per option");

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

/* "[name]" with nothing behind it: libinih would drop the rest without a word. */
static bool section_is_known(struct slice line)
{
    const char *close = memchr(line.ptr, ']', line.len);
    if (close == NULL)
        return false;
    struct slice name = {line.ptr + 1, (size_t)(close - line.ptr - 1)};
    struct slice rest = {close + 1, line.len - name.len - 2};
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

/* Zero means failure to libinih. */
static int take_pair(void *user, const char *section, const char *key, const char *value)
{
    struct lines *lines = user;
    if (lines->failed)
        return 0;
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
    free(set->file);
    free(set);
}

const struct config *config_get(const struct config_set *set)
{
    return &set->values;
}

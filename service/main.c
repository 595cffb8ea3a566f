/* SPDX-License-Identifier: MIT */
/* Order of birth: options, signals, data lock, zygote (while there is one thread and nothing to
 * inherit), store and engine, HTTP. Order of death: the reverse. */
#include "api/codec.h"
#include "api/http.h"
#include "api/view.h"
#include "api/view_batch.h"
#include "cli/cli.h"
#include "pool/pool.h"
#include "service/base/footprint.h"
#include "service/callbacks.h"
#include "service/notify.h"
#include "service/starts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#define LOCK_PATIENCE_MS \
    15000 /* a dead server's workers end their trees before they let go of the lock */

enum { EXIT_USAGE = 2, EXIT_POOL = 70, EXIT_STORE = 74 };

struct server {
    struct config_set *set;
    const struct config *cfg;
    struct log log;
    struct metrics metrics;
    int lock_fd, signal_fd;
    struct pool *pool;
    struct engine *engine;
    struct http *http;
    struct callbacks *callbacks;
    char *job_url;
};

/* ------------------------------------------------------------------------------------------------
 * the place on disk */

static bool make_directory(char *path, struct err *err)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        int made = mkdir(path, 0700);
        if (slash != NULL)
            *slash = '/';
        if (made != 0 && errno != EEXIST)
            return err_sys(err, ERR_STORAGE, "make directory %s", path);
        if (slash == NULL)
            return true;
    }
}

static bool open_data(const struct server *s, struct err *err)
{
    struct stat st;
    AUTO_FREE char *path = strdup(s->cfg->data);
    PRE(path != NULL);
    if (!make_directory(path, err))
        return false;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return err_set(err, ERR_STORAGE, "%s is not a directory", path);
    if ((st.st_mode & 077) != 0 && chmod(path, 0700) != 0)
        return err_sys(err, ERR_STORAGE, "%s must be closed to other users (mode 0700)", path);
    return true;
}

/* The lock is inherited by zygote and workers on purpose: a new server starts nothing while a tree
 * of the old one lives. */
static bool take_lock(struct server *s, struct err *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/lock", s->cfg->data) >= (int)sizeof path)
        return err_set(err, ERR_STORAGE, "The path of the data directory is too long");
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return err_sys(err, ERR_STORAGE, "open %s", path);
    bool told = false;
    for (int waited_ms = 0; flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0; waited_ms += 10) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, ERR_STORAGE, "lock %s", path);
        if (waited_ms >= LOCK_PATIENCE_MS || FAULT("lock-patience"))
            return err_set(err, ERR_STORAGE,
                           "%s is in use by another ganger; stop it, or choose another --data",
                           s->cfg->data);
        if (!told && waited_ms >= 500) {
            told = true;
            log_event(&s->log, LOG_INFO,
                      "waiting for the data directory, which another ganger still holds",
                      LOG_STR("data", s->cfg->data));
        }
        (void)poll(NULL, 0, 10); /* flock(2) has no timeout */
    }
    return true;
}

static bool write_url(const struct server *s, const char *url, struct err *err)
{
    char path[4096], fresh[4096];
    if (snprintf(path, sizeof path, "%s/url", s->cfg->data) >= (int)sizeof path ||
        snprintf(fresh, sizeof fresh, "%s/url.new", s->cfg->data) >= (int)sizeof fresh)
        return err_set(err, ERR_STORAGE, "The path of the data directory is too long");
    AUTO_CLOSE int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char line[512];
    int len = snprintf(line, sizeof line, "%s\n", url);
    if (fd < 0 || len >= (int)sizeof line || write(fd, line, (size_t)len) != len ||
        rename(fresh, path) != 0)
        return err_sys(err, ERR_STORAGE, "write %s", path);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * the process */

/* All signals that matter are read by the engine; SIGPIPE is never wanted. */
static bool open_signals(struct server *s, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_sys(err, ERR_INTERNAL, "block signals");
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0 || err_sys(err, ERR_INTERNAL, "signalfd");
}

/* Connections need descriptors; jobs get 1,024 back (pool/proc.c). Raising the hard limit is the
 * administrator's business. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool keep_std_descriptors(struct err *err)
{
    /* SQLite's file must never become descriptor 0, 1 or 2. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return err_sys(err, ERR_INTERNAL, "open /dev/null");
    return true;
}

static char *unix_url(const struct config *cfg)
{
    for (uint32_t i = 0; i < cfg->listen.n; i++)
        if (strncmp(cfg->listen.items[i], "unix:", 5) == 0)
            return strdup(cfg->listen.items[i]);
    return NULL;
}

static bool open_pool(struct server *s, struct err *err)
{
    struct pool_config cfg = {
        .workers = s->cfg->pool_workers,
        .max_workers = s->cfg->pool_max_workers,
        .on_demand = s->cfg->pool_workers - MIN(s->cfg->pool_min_workers, s->cfg->pool_workers),
        .kill_deadline_us = s->cfg->pool_kill_deadline_us,
        .path = s->cfg->job_path,
        .data_dir = s->cfg->data,
        .starts_file = STARTS_FILE,
        .run_marker_env = "GANGER_RUN",
        .log = &s->log,
        .functions = &s->cfg->functions,
        .blob_max_size = s->cfg->blob_max_size,
    };
    if (!pool_open(&cfg, &s->pool, err))
        return false;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* should the zygote die, its orphans fall to this
                                               process */
    (void)prctl(PR_SET_DUMPABLE, 0); /* a job of the same user must not read the server's memory */
    return true;
}

static bool open_engine(struct server *s, struct err *err)
{
    s->job_url = unix_url(s->cfg);
    struct engine_parts parts = {
        .cfg = s->cfg,
        .log = &s->log,
        .metrics = &s->metrics,
        .pool = s->pool,
        .signal_fd = s->signal_fd,
        .url = s->job_url,
    };
    return engine_open(&parts, &s->engine, err);
}

static bool announce(const struct server *s, struct err *err)
{
    const char *url = http_url(s->http);
    if (!write_url(s, url, err))
        return false;
    char token[4096];
    (void)snprintf(token, sizeof token, "%s/token", s->cfg->data);
    log_event(&s->log, LOG_INFO, "serving", LOG_STR("url", url),
              LOG_STR("token_file", s->cfg->auth == AUTH_TOKEN ? token : "none"),
              LOG_INT("workers", s->cfg->pool_workers));
    if (printf("ready %s\n", url) < 0 || fflush(stdout) != 0)
        return err_sys(err, ERR_INTERNAL, "write the ready line");
    notify_supervisor("READY=1");
    return true;
}

/* 0, or the exit code of a start that failed. */
static int open_server(struct server *s, struct err *err)
{
    static const struct callback_writers writers = {view_write_job, view_write_batch};
    if (!keep_std_descriptors(err) || !open_signals(s, err))
        return EXIT_POOL;
    raise_descriptor_limit();
    if (!open_data(s, err) || !take_lock(s, err))
        return EXIT_STORE;
    if (!open_pool(s, err)) /* a module that cannot be loaded is a mistake of the configuration */
        return err->code == ERR_INVALID ? EXIT_USAGE : EXIT_POOL;
    if (!open_engine(s, err))
        return EXIT_STORE;
    if (!callbacks_open(s->engine, &writers, &s->callbacks, err))
        return EXIT_USAGE; /* secrets that are none, or that others can read */
    if (!http_start(s->engine, &s->http, err))
        return EXIT_USAGE; /* an address that cannot be bound, or must not */
    if (!announce(s, err) || !callbacks_start(s->callbacks, err))
        return EXIT_STORE;
    footprint_trim();
    return 0;
}

static void close_server(struct server *s)
{
    notify_supervisor("STOPPING=1");
    callbacks_stop(s->callbacks);
    http_stop(s->http);
    engine_close(s->engine);
    if (s->pool != NULL)
        pool_close(s->pool);
    free(s->job_url);
    auto_close(&s->signal_fd);
    auto_close(&s->lock_fd);
    config_free(s->set);
}

static int print_config(const struct config_set *set, enum config_action action)
{
    AUTO_BUF struct buf out = {0};
    buf_init(&out, 1u << 20);
    config_write(set, action, &out);
    return buf_ok(&out) && fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0
               ? 0
               : 1;
}

static int serve(int argc, char **argv)
{
    struct server s = {.lock_fd = -1, .signal_fd = -1};
    struct err err = {0};
    enum config_action action;
    footprint_limit();
    s.set = config_load(argc, argv, &action, &err);
    if (s.set == NULL || !codec_check_functions(config_get(s.set), &err)) {
        (void)fprintf(stderr, "ganger serve: %s\n", err.detail);
        config_free(s.set);
        return EXIT_USAGE;
    }
    if (action != CONFIG_RUN) {
        int status = print_config(s.set, action);
        config_free(s.set);
        return status;
    }
    s.cfg = config_get(s.set);
    log_init(&s.log, STDERR_FILENO, (enum log_level)s.cfg->log_level, (int)s.cfg->log_format);
    int status = open_server(&s, &err);
    if (status == 0)
        status = engine_run(s.engine);
    else
        log_error(&s.log, "cannot start", &err);
    close_server(&s);
    return status;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "serve") == 0)
        return serve(argc - 2, argv + 2);
    return cli_main(argc, argv);
}

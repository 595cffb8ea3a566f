/* SPDX-License-Identifier: MIT */
/* Starting and ending the server under test. */
#include "integration/harness.h"
#include "integration/harness_http.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* For harness_print_log alone. */
static char newest_log[160];

void harness_print_log(void)
{
    if (newest_log[0] == '\0')
        return;
    size_t len = 0;
    AUTO_TEXT log = file_read(newest_log, &len);
    if (log == NULL)
        return;
    const size_t shown = 3000;
    fprintf(stderr, "--- end of %s\n%s\n---\n", newest_log, len > shown ? log + len - shown : log);
}

bool server_log_has(const struct server *s, const char *needle)
{
    AUTO_TEXT log = file_read(s->log, NULL);
    return log != NULL && strstr(log, needle) != NULL;
}

/* What no log may hold: reports of the sanitizers (in a worker or the zygote they do not reach the
 * exit code) and broken assertions. */
static void server_check_log(const struct server *s)
{
    static const char *const bad[] = {"Sanitizer", "runtime error:", "precondition failed",
                                      "postcondition failed"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK(!server_log_has(s, bad[i]), "the server's log has \"%s\"", bad[i]);
}

struct command_line {
    char *argv[40];
    char *env[160];
    size_t first_own; /* env[] from here on is ours to free */
    char listen_unix[160];
    char workers[16];
};

static void command_add(struct command_line *c, size_t *n, const char *arg)
{
    CHECK(*n + 1 < COUNT_OF(c->argv), "too many arguments");
    c->argv[(*n)++] = strdup(arg);
    c->argv[*n] = NULL;
}

bool options_name_fault(const struct server_options *opt)
{
    bool found = false;
    for (size_t i = 0; i < COUNT_OF(opt->env) && opt->env[i] != NULL; i++)
        found = found || strncmp(opt->env[i], "GANGER_FP=", 10) == 0 ||
                strncmp(opt->env[i], "GANGER_BUG=", 11) == 0;
    return found;
}

/* The server gets this environment without GANGER_*, which would be options, and with one variable
 * that no job may see. */
static void command_fill_env(struct command_line *c, const struct server_options *opt)
{
    size_t n = 0;
    for (char **e = environ; *e != NULL && n + 20 < COUNT_OF(c->env); e++) {
        if (strncmp(*e, "GANGER_", 7) != 0)
            c->env[n++] = *e;
    }
    c->first_own = n;
    c->env[n++] = strdup("SECRET_OF_THE_SERVER=must-not-leak");
    for (size_t i = 0; i < COUNT_OF(opt->env) && opt->env[i] != NULL; i++)
        c->env[n++] = strdup(opt->env[i]);
    c->env[n] = NULL;
}

static struct command_line *command_make(const char *dir, const struct server_options *opt)
{
    struct command_line *c = need_alloc(sizeof(*c));
    size_t n = 0;
    bool has_listen = false;
    for (size_t i = 0; i < COUNT_OF(opt->args) && opt->args[i] != NULL; i++)
        has_listen = has_listen || strcmp(opt->args[i], "--listen") == 0;
    command_add(c, &n, ganger_binary());
    command_add(c, &n, "serve");
    command_add(c, &n, "--data");
    command_add(c, &n, dir);
    if (!has_listen) {
        command_add(c, &n, "--listen");
        command_add(c, &n, "127.0.0.1:0");
        command_add(c, &n, "--listen");
        command_add(c, &n, text_of("unix:%s/ganger.sock", dir).s);
    }
    command_add(c, &n, "--drain"); /* short, since each test ends with a drain; a test may give its
                                      own */
    command_add(c, &n, "2s");
    command_add(c, &n, "--workers");
    command_add(c, &n, text_of("%d", opt->workers == 0 ? 2 : opt->workers).s);
    for (size_t i = 0; i < COUNT_OF(opt->args) && opt->args[i] != NULL; i++)
        command_add(c, &n, opt->args[i]);
    command_fill_env(c, opt);
    return c;
}

/* In the child, between fork and exec. Nothing of the test runner may reach the server: BoxFort
 * leaves descriptors open. */
_Noreturn static void child_exec(const struct command_line *c, int out_fd, int log_fd, pid_t parent)
{
    (void)setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(125);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)dup2(null_fd, 0);
    (void)dup2(out_fd, 1);
    (void)dup2(log_fd, 2);
    (void)close_range(3, ~0U, 0);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(c->argv[0], c->argv, c->env);
    dprintf(2, "cannot run %s: %s\n", c->argv[0], strerror(errno));
    _exit(127);
}

static void server_spawn(struct server *s, const struct server_options *opt)
{
    struct command_line *c = command_make(s->dir, opt);
    int pipe_fds[2];
    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0, "pipe: %s", strerror(errno));
    int log_fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(log_fd >= 0, "cannot write %s: %s", s->log, strerror(errno));
    pid_t parent = getpid();
    pid_t pid = fork();
    CHECK(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0)
        child_exec(c, pipe_fds[1], log_fd, parent);
    (void)close(pipe_fds[1]);
    (void)close(log_fd);
    s->pid = pid;
    s->stdout_fd = pipe_fds[0];
    for (size_t i = 0; c->argv[i] != NULL; i++)
        free(c->argv[i]);
    for (size_t i = c->first_own; c->env[i] != NULL; i++)
        free(c->env[i]);
    free(c);
}

/* Reads the first line of its stdout. False when it ended instead. */
static bool server_read_ready(struct server *s)
{
    char line[128];
    size_t len = 0;
    uint64_t until = deadline_in(30);
    while (len == 0 || line[len - 1] != '\n') {
        struct pollfd p = {s->stdout_fd, POLLIN, 0};
        CHECK(!deadline_passed(until), "no ready line after 30 s");
        if (poll(&p, 1, 100) <= 0)
            continue;
        CHECK(len + 1 < sizeof(line), "the first line of stdout is too long");
        ssize_t n = read(s->stdout_fd, line + len, 1);
        if (n <= 0)
            return false;
        len++;
    }
    line[len - 1] = '\0';
    CHECK(strncmp(line, "ready ", 6) == 0, "the first line of stdout is: %s", line);
    (void)snprintf(s->url, sizeof(s->url), "%s", line + 6);
    const char *colon = strrchr(s->url, ':');
    if (strncmp(s->url, "http://", 7) == 0 && colon != NULL)
        s->port = (int)strtol(colon + 1, NULL, 10);
    return true;
}

static void server_read_token(struct server *s)
{
    AUTO_TEXT token = file_read(text_of("%s/token", s->dir).s, NULL);
    s->token[0] = '\0';
    if (token == NULL)
        return; /* --auth none */
    token[strcspn(token, "\r\n")] = '\0';
    (void)snprintf(s->token, sizeof(s->token), "%s", token);
}

static void server_prepare(struct server *s, const struct server_options *opt)
{
    memset(s, 0, sizeof(*s));
    s->unchecked = opt->unchecked;
    s->options = *opt;
    if (opt->dir != NULL) {
        s->keep_dir = true;
        (void)snprintf(s->dir, sizeof(s->dir), "%s", opt->dir);
    } else {
        temp_dir_make(s->dir, sizeof(s->dir));
    }
    (void)snprintf(s->log, sizeof(s->log), "%s.log", s->dir);
    (void)snprintf(s->scratch, sizeof(s->scratch), "%s.files", s->dir);
    CHECK(mkdir(s->scratch, 0700) == 0 || errno == EEXIST, "cannot make %s: %s", s->scratch,
          strerror(errno));
    (void)snprintf(newest_log, sizeof(newest_log), "%s", s->log);
}

void server_begin(struct server *s, const struct server_options *opt)
{
    CHECK(s->pid == 0, "the server still runs");
    http_forget(s);
    server_spawn(s, opt == NULL ? &s->options : opt);
}

bool server_await_ready(struct server *s)
{
    if (!server_read_ready(s))
        return false;
    server_read_token(s);
    return true;
}

void server_restart(struct server *s, const struct server_options *opt)
{
    server_begin(s, opt);
    if (!server_await_ready(s)) {
        int code = server_wait_exit(s, 10);
        CHECK(false, "the server ended at its start with code %d", code);
    }
}

void server_start(struct server *s, const struct server_options *opt)
{
    static const struct server_options none;
    server_prepare(s, opt == NULL ? &none : opt);
    server_restart(s, NULL);
}

int server_start_failing(const struct server_options *opt)
{
    struct server s;
    server_prepare(&s, opt);
    server_spawn(&s, opt);
    CHECK(!server_read_ready(&s), "the server started though it must not");
    int code = server_wait_exit(&s, 10);
    server_forget(&s);
    return code;
}

static int exit_code_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool has_exited(struct server *s, double seconds, int *ret_code)
{
    int status = 0;
    uint64_t until = deadline_in(seconds);
    CHECK(s->pid > 0, "no server runs");
    for (;;) {
        pid_t got = waitpid(s->pid, &status, WNOHANG);
        if (got == s->pid)
            break;
        CHECK(got == 0, "waitpid: %s", strerror(errno));
        if (deadline_passed(until))
            return false;
        pause_ms(2);
    }
    s->pid = 0;
    (void)close(s->stdout_fd);
    *ret_code = exit_code_of(status);
    return true;
}

int server_wait_exit(struct server *s, double seconds)
{
    int code = 0;
    CHECK(has_exited(s, seconds, &code), "the server has not ended after %.0f s", seconds);
    return code;
}

void server_kill(struct server *s)
{
    CHECK(s->pid > 0, "no server runs");
    (void)kill(s->pid, SIGKILL);
    int code = server_wait_exit(s, 10);
    CHECK(code == 128 + SIGKILL, "the server had already ended with code %d", code);
}

void server_forget(struct server *s)
{
    http_forget(s);
    temp_dir_remove(s->scratch);
    if (s->keep_dir)
        return;
    temp_dir_remove(s->dir);
    (void)unlink(s->log);
}

/* Jobs run. No answer, or one that is refused: it must end by one signal. */
static bool is_busy(struct server *s)
{
    const struct call call = {.method = "GET", .path = "/v1/stats"};
    const bool unchecked = s->unchecked;
    s->unchecked = true;
    AUTO_RESPONSE r = http_try(s, &call);
    s->unchecked = unchecked;
    return r != NULL && r->status == 200 && json_int(r, "workers.busy") > 0;
}

void server_stop(struct server *s)
{
    CHECK(s->pid > 0, "no server runs");
    int code = 0;
    const bool busy = is_busy(s);
    (void)kill(s->pid, SIGTERM);
    if (busy && !has_exited(s, 0.3, &code))
        (void)kill(s->pid, SIGTERM); /* nobody wants the end of that job any more */
    if (s->pid > 0)
        code = server_wait_exit(s, 30);
    CHECK(code == 0, "the server ended with code %d after SIGTERM", code);
    server_check_log(s);
    server_forget(s);
}

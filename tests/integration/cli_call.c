/* SPDX-License-Identifier: MIT */
#include "integration/cli_call.h"

#include "integration/harness_config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

void cli_call_release(struct cli_call *c)
{
    free(c->out);
    free(c->err);
    (void)unlink(c->out_path);
    (void)unlink(c->err_path);
}

/* The client finds the server by GANGER_DATA alone. `extra` is one more variable or NULL. */
static void environment_fill(char **env, size_t size, const char *dir, char *extra)
{
    static char data[200];
    size_t n = 0;
    for (char **e = environ; *e != NULL && n + 3 < size; e++) {
        if (strncmp(*e, "GANGER_", 7) != 0 && strncmp(*e, "TERM=", 5) != 0)
            env[n++] = *e;
    }
    (void)snprintf(data, sizeof(data), "GANGER_DATA=%s", dir);
    env[n++] = data;
    if (extra != NULL)
        env[n++] = extra;
    env[n] = NULL;
}

static void argv_fill(char *argv[40], const char **words)
{
    size_t n = 0;
    argv[n++] = strdup(ganger_binary());
    for (; words[n - 1] != NULL; n++) {
        CHECK(n < 39, "too many words");
        argv[n] = strdup(words[n - 1]);
    }
    argv[n] = NULL;
}

static void argv_free(char *argv[40])
{
    for (size_t i = 0; argv[i] != NULL; i++)
        free(argv[i]);
}

void cli_call_start_in(struct cli_call *c, const char *dir, const char *input, const char **words)
{
    char *argv[40], *env[200];
    posix_spawn_file_actions_t files;
    *c = (struct cli_call){0};
    static int number;
    (void)snprintf(c->out_path, sizeof(c->out_path), "/tmp/ganger-cli-%d-%d.out", (int)getpid(),
                   ++number);
    (void)snprintf(c->err_path, sizeof(c->err_path), "/tmp/ganger-cli-%d-%d.err", (int)getpid(),
                   number);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, 0, input != NULL ? input : "/dev/null", O_RDONLY,
                                           0);
    (void)posix_spawn_file_actions_addopen(&files, 1, c->out_path, O_WRONLY | O_CREAT | O_TRUNC,
                                           0600);
    (void)posix_spawn_file_actions_addopen(&files, 2, c->err_path, O_WRONLY | O_CREAT | O_TRUNC,
                                           0600);
    argv_fill(argv, words);
    environment_fill(env, COUNT_OF(env), dir, NULL);
    int failed = posix_spawn(&c->pid, argv[0], &files, NULL, argv, env);
    CHECK(failed == 0, "cannot start %s: %s", argv[0], strerror(failed));
    (void)posix_spawn_file_actions_destroy(&files);
    argv_free(argv);
}

static int code_of_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool cli_call_is_over(struct cli_call *c)
{
    int status = 0;
    if (c->pid == 0)
        return true;
    if (waitpid(c->pid, &status, WNOHANG) != c->pid)
        return false;
    c->pid = 0;
    c->code = code_of_status(status);
    return true;
}

void cli_call_end(struct cli_call *c)
{
    AWAIT(cli_call_is_over(c), 60);
    c->out = file_read(c->out_path, &c->out_len);
    c->err = file_read(c->err_path, NULL);
    CHECK(c->out != NULL && c->err != NULL, "the outputs are gone");
}

void cli_call_start(struct cli_call *c, struct server *s, const char **words)
{
    cli_call_start_in(c, s->dir, NULL, words);
}

void cli_call_run(struct cli_call *c, struct server *s, const char **words)
{
    cli_call_start(c, s, words);
    cli_call_end(c);
}

void expect_code(const struct cli_call *c, int code)
{
    CHECK(c->code == code, "exit code %d instead of %d; stdout: %s; stderr: %s", c->code, code,
          c->out, c->err);
}

void expect_out(const struct cli_call *c, const char *text)
{
    CHECK(strcmp(c->out, text) == 0, "stdout is \"%s\" instead of \"%s\"; stderr: %s", c->out, text,
          c->err);
}

void expect_err_has(const struct cli_call *c, const char *text)
{
    CHECK(strstr(c->err, text) != NULL, "stderr lacks \"%s\": %s", text, c->err);
}

/* The one id that a call printed. */
static struct job_ref id_printed(const struct cli_call *c)
{
    struct job_ref job = {0};
    CHECK(c->out_len == 37 && c->out[36] == '\n', "not an id: \"%s\"; stderr: %s", c->out, c->err);
    memcpy(job.id, c->out, 36);
    return job;
}

struct job_ref cli_submit(struct server *s, const char **words)
{
    AUTO_CALL c;
    cli_call_run(&c, s, words);
    expect_code(&c, 0);
    return id_printed(&c);
}

void expect_no_start(const char *text, const char *needle)
{
    char data[128];
    const struct config_file file = config_write(text);
    temp_dir_make(data, sizeof(data));
    AUTO_CALL c;
    cli_call_start_in(&c, data, NULL,
                      WORDS("serve", "--config", file.path, "--listen", "127.0.0.1:0"));
    cli_call_end(&c);
    CHECK(c.code == 2, "exit code %d for %s: %s", c.code, text, c.err);
    CHECK(strstr(c.err, needle) != NULL, "%s\nsays %s", text, c.err);
    expect_out(&c, "");
    config_remove(&file);
    temp_dir_remove(data);
}

bool file_has(const char *path, const char *text)
{
    AUTO_TEXT content = file_read(path, NULL);
    return content != NULL && strstr(content, text) != NULL;
}

struct text file_with(const struct server *s, const char *name, const void *bytes, size_t len)
{
    struct text path = text_of("%s/%s", s->scratch, name);
    int fd = open(path.s, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "cannot write %s", path.s);
    (void)close(fd);
    return path;
}

/* Runs the client with a terminal as stdin, stdout and stderr; what appeared is returned. */
static char *on_terminal(struct server *s, char *extra_env, const struct typed *typed,
                         const char **words)
{
    bool is_typed = typed == NULL;
    char *argv[40], *env[200];
    int master = -1, status = 0;
    size_t len = 0;
    char *shown = need_alloc(65536);
    argv_fill(argv, words);
    environment_fill(env, COUNT_OF(env), s->dir, extra_env);
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    CHECK(pid >= 0, "forkpty: %s", strerror(errno));
    if (pid == 0) {
        (void)execve(argv[0], argv, env);
        _exit(125);
    }
    uint64_t until = deadline_in(60);
    for (;;) {
        struct pollfd wait = {.fd = master, .events = POLLIN};
        CHECK(!deadline_passed(until), "the client does not end; so far: %s", shown);
        if (poll(&wait, 1, 100) <= 0)
            continue;
        ssize_t n = read(master, shown + len, 65535 - len);
        if (n <= 0) /* EIO: the other side is closed */
            break;
        len += (size_t)n;
        shown[len] = '\0';
        if (is_typed || strstr(shown, typed->text) == NULL)
            continue;
        is_typed = true;
        if (typed->fifo != NULL)
            fifo_release(typed->fifo);
        else
            CHECK(write(master, typed->keys, strlen(typed->keys)) > 0, "write: %s",
                  strerror(errno));
    }
    (void)waitpid(pid, &status, 0);
    (void)close(master);
    argv_free(argv);
    CHECK(code_of_status(status) == 0, "exit code %d: %s", code_of_status(status), shown);
    return shown;
}

char *cli_on_terminal(struct server *s, char *extra_env, const char **words)
{
    return on_terminal(s, extra_env, NULL, words);
}

char *cli_typing(struct server *s, const struct typed *typed, const char **words)
{
    return on_terminal(s, "TERM=xterm", typed, words);
}

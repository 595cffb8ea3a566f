/* SPDX-License-Identifier: MIT */
#include "pool/inputs.h"

#include "pool/blob.h"
#include "pool/pool.h"
#include "pool/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#define ARGUMENT_MAX 131071u /* MAX_ARG_STRLEN of Linux with the NUL: execve(2) */

/* What the machine lacks now it may have later: that is no fault of the task's. */
static bool is_shortage(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE ||
           error == ENOMEM || error == EIO;
}

static bool fail(struct inputs *in, int error, const char *what, const char *name)
{
    in->end = is_shortage(error) ? TASK_START_FAILED : TASK_INPUT_FAILED;
    in->error = error;
    (void)snprintf(in->text, sizeof(in->text), "%s: %.64s", strerrordesc_np(error), what);
    const size_t len = strlen(in->text);
    (void)snprintf(in->text + len, sizeof(in->text) - len, "%s%.40s", name[0] == '\0' ? "" : " ",
                   name);
    return false;
}

/* An output that was taken from job `job_no`. */
static bool fail_source(struct inputs *in, const struct task_input *input, const char *what)
{
    in->end = TASK_INPUT_FAILED;
    in->error = EINVAL;
    (void)snprintf(in->text, sizeof(in->text), "the output of job-%" PRId64 " %s", input->job_no,
                   what);
    return false;
}

/* The spool file, which must hold all that was stored of it. */
static bool open_source(struct inputs *in, const struct task_input *input, int *ret_fd)
{
    char path[64];
    struct stat st;

    spool_path(input->job_no, input->attempt, input->stream, path);
    AUTO_CLOSE int fd = openat(in->data_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && is_shortage(errno))
        return fail(in, errno, path, "");
    if (fd < 0)
        return fail_source(in, input, "is not there any more");
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < input->size)
        return fail_source(in, input, "is damaged");
    *ret_fd = steal_fd(&fd);
    return true;
}

/* ---- blobs ---- */

static bool fail_blob(struct inputs *in, int error)
{
    in->end = is_shortage(error) ? TASK_START_FAILED : TASK_INPUT_FAILED;
    in->error = error;
    (void)snprintf(in->text, sizeof(in->text), "%s: a blob of the job",
                   error == EINVAL ? "Damaged" : strerrordesc_np(error));
    return false;
}

bool inputs_open_blobs(struct inputs *in, const struct frame_fds *fds)
{
    int place = START_BLOB;

    in->stdin_fd = -1;
    for (uint32_t i = 0; i < in->extra->n_inputs; i++) {
        const struct task_input *input = &in->extra->inputs[i];
        if (!input->is_blob)
            continue;
        if (place == FRAME_MAX_FDS || fds->fd[place] < 0)
            return fail_blob(in, ENOMEM); /* the descriptors did not come along */
        const int fd = blob_open_sealed(fds->fd[place++], in->data_fd, input->blob, input->size);
        if (fd < 0)
            return fail_blob(in, errno);
        if (input->kind == INPUT_STDIN)
            in->stdin_fd = fd;
        else
            in->blobs[in->n_blobs++] = (struct input_blob){input->name, input->size, fd};
    }
    return true;
}

void inputs_release(struct inputs *in)
{
    while (in->n_blobs > 0)
        (void)close(in->blobs[--in->n_blobs].fd);
    auto_close(&in->stdin_fd);
    in->stdin_fd = -1;
}

/* What no variable's name can have becomes "_". */
static void put_name(char *to, struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const bool fits = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                          (c >= 'a' && c <= 'z');
        to[i] = fits ? c : '_';
    }
}

bool inputs_put_env(struct inputs *in, struct arena *a)
{
    struct task_extra *extra = in->extra;
    struct slice *env = arena_alloc(a, (extra->n_env + in->n_blobs + 1) * sizeof(*env));

    if (env == NULL)
        return fail_blob(in, ENOMEM);
    if (extra->n_env > 0)
        memcpy(env, extra->env, extra->n_env * sizeof(*env));
    for (uint32_t i = 0; i < in->n_blobs; i++) {
        const struct slice name = in->blobs[i].name;
        const size_t lead = strlen(INPUT_ENV), size = lead + name.len + 32;
        char *text = arena_alloc(a, size);
        if (text == NULL)
            return fail_blob(in, ENOMEM);
        memcpy(text, INPUT_ENV, lead);
        put_name(text + lead, name);
        (void)snprintf(text + lead + name.len, 32, "=/proc/self/fd/%u", PROC_BLOB_FD + i);
        env[extra->n_env + i] = slice_of(text);
    }
    extra->env = env;
    extra->n_env += in->n_blobs;
    return true;
}

/* A link to what this process holds open as long as the task runs: children that have closed the
 * descriptor, as many libraries do, find it all the same. */
static bool link_blobs(struct inputs *in, int dir_fd)
{
    char target[48];

    for (uint32_t i = 0; i < in->n_blobs && dir_fd >= 0; i++) {
        const struct input_blob *blob = &in->blobs[i];
        (void)snprintf(target, sizeof(target), "/proc/%d/fd/%d", getpid(), blob->fd);
        if (symlinkat(target, dir_fd, blob->name.ptr) != 0)
            return fail(in, errno, "cannot make the link", blob->name.ptr);
    }
    return true;
}

/* ---- arguments ---- */

static bool read_all(int fd, char *to, size_t size)
{
    for (size_t at = 0; at < size;) {
        const ssize_t n = read(fd, to + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* What stands in the argument: without the last line break, as $(…) of a shell has it. */
static bool argument_text(struct inputs *in, const struct task_input *input, struct arena *a,
                          struct slice *ret)
{
    struct slice text = input->bytes;
    AUTO_CLOSE int fd = -1;

    if (input->is_spooled) {
        char *copy = input->size > ARGUMENT_MAX ? NULL : arena_alloc(a, input->size + 1);
        if (copy == NULL)
            return fail_source(in, input, "is too long for an argument");
        if (!open_source(in, input, &fd))
            return false;
        if (!read_all(fd, copy, input->size))
            return fail_source(in, input, "cannot be read");
        text = (struct slice){copy, input->size};
    }
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)
        return fail_source(in, input, "has a NUL byte, which no argument can have");
    *ret = text;
    return true;
}

static void append(char **at, struct slice s)
{
    if (s.len > 0)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
}

/* One argument anew: inputs [first, first + n) are all of it. */
static bool put_argument(struct inputs *in, uint32_t first, uint32_t n, struct arena *a)
{
    const struct task_input *inputs = &in->extra->inputs[first];
    struct slice *argument = &in->task->argv[inputs->argument];
    struct slice *texts = arena_alloc(a, n * sizeof(*texts));
    size_t size = argument->len + 1;
    uint32_t from = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (texts == NULL || inputs[i].at < from || inputs[i].len > argument->len ||
            inputs[i].at > argument->len - inputs[i].len)
            return fail(in, EINVAL, "the stored inputs are damaged", "");
        if (!argument_text(in, &inputs[i], a, &texts[i]))
            return false;
        from = inputs[i].at + inputs[i].len;
        size += texts[i].len;
    }
    char *made = size > 2 * (size_t)ARGUMENT_MAX ? NULL : arena_alloc(a, size);
    if (made == NULL)
        return fail_source(in, inputs, "makes an argument that is too long");
    char *at = made;
    from = 0;
    for (uint32_t i = 0; i < n; i++) {
        append(&at, (struct slice){argument->ptr + from, inputs[i].at - from});
        append(&at, texts[i]);
        from = inputs[i].at + inputs[i].len;
    }
    append(&at, (struct slice){argument->ptr + from, argument->len - from});
    *argument = (struct slice){made, (size_t)(at - made)}; /* arenas give zeros: it is terminated */
    return true;
}

bool inputs_put_arguments(struct inputs *in, struct arena *a)
{
    const struct task_extra *extra = in->extra;
    uint32_t n;

    for (uint32_t first = 0; first < extra->n_inputs; first += n) {
        const struct task_input *input = &extra->inputs[first];
        n = 1;
        if (input->kind != INPUT_ARGUMENT)
            continue;
        if (input->argument >= in->task->n_argv)
            return fail(in, EINVAL, "the stored inputs are damaged", "");
        while (first + n < extra->n_inputs && input[n].kind == INPUT_ARGUMENT &&
               input[n].argument == input->argument)
            n++;
        if (!put_argument(in, first, n, a))
            return false;
    }
    return true;
}

/* ---- files ---- */

/* 0600 and new: a directory that somebody has put a link into is never written through. */
static int make_file(int dir_fd, struct slice name)
{
    return openat(dir_fd, name.ptr, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static bool make_input_file(struct inputs *in, const struct task_input *input, int dir_fd)
{
    AUTO_CLOSE int from_fd = -1;

    if (input->is_spooled && !open_source(in, input, &from_fd))
        return false;
    AUTO_CLOSE int fd = make_file(dir_fd, input->name);
    if (fd < 0)
        return fail(in, errno, "cannot make the file", input->name.ptr);
    errno = 0;
    const bool ok = input->is_spooled ? fd_copy(fd, from_fd, input->size)
                                      : fd_write_all(fd, input->bytes);
    return ok || fail(in, errno == 0 ? EIO : errno, "cannot write the file", input->name.ptr);
}

bool inputs_make_files(struct inputs *in, int dir_fd)
{
    const struct task *task = in->task;

    for (uint32_t i = 0; i < task->n_files; i++) {
        const struct task_file *file = &task->files[i];
        AUTO_CLOSE int fd = make_file(dir_fd, file->name);
        if (fd < 0)
            return fail(in, errno, "cannot make the file", file->name.ptr);
        if (!fd_write_all(fd, file->bytes))
            return fail(in, errno, "cannot write the file", file->name.ptr);
    }
    for (uint32_t i = 0; i < in->extra->n_inputs; i++) {
        const struct task_input *input = &in->extra->inputs[i];
        if (input->kind == INPUT_FILE && !input->is_blob && !make_input_file(in, input, dir_fd))
            return false;
    }
    return link_blobs(in, dir_fd);
}

bool inputs_open_stdin(struct inputs *in, int *ret_fd)
{
    if (in->stdin_fd >= 0) {
        *ret_fd = steal_fd(&in->stdin_fd);
        return true;
    }
    for (uint32_t i = 0; i < in->extra->n_inputs; i++) {
        const struct task_input *input = &in->extra->inputs[i];
        if (input->kind != INPUT_STDIN)
            continue;
        if (input->is_spooled)
            return open_source(in, input, ret_fd);
        in->task->stdin_bytes = input->bytes;
    }
    return true;
}

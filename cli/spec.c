/* SPDX-License-Identifier: MIT */
#include "cli/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "service/base/base64.h"
#include "service/base/json.h"
#include "service/base/text.h"

/* A body larger than the service's default limit may still suit a service with another one, so it
 * is the service that refuses it. This bounds only memory. */
#define BODY_MAX ((size_t)32 << 20)

static void put_name(struct buf *out, const char *name)
{
    buf_puts(out, out->len > 1 ? ",\"" : "\"");
    buf_puts(out, name);
    buf_puts(out, "\":");
}

static void put_text(struct buf *out, const char *name, const char *value)
{
    if (value == NULL)
        return;
    put_name(out, name);
    buf_json_string(out, slice_of(value));
}

static void put_duration(struct buf *out, const char *name, const struct args *args,
                         enum option_id id)
{
    if (!args_has(args, id))
        return;
    put_name(out, name);
    if (strcmp(args->value[id], "none") == 0)
        buf_puts(out, "null");
    else
        buf_json_seconds_us(out, args_duration_us(args, id, 0));
}

static void put_pair(struct buf *out, bool first, const char *pair, const char *value)
{
    if (!first)
        buf_putc(out, ',');
    buf_json_string(out, (struct slice){pair, strcspn(pair, "=")});
    buf_putc(out, ':');
    buf_json_string(out, slice_of(value));
}

/* A key that is given twice: the last one counts, as in a shell. JSON with both would be refused.
 */
static bool is_given_again(const struct args_words *words, size_t i)
{
    size_t len = strcspn(words->items[i], "=");
    for (size_t j = i + 1; j < words->n; j++) {
        if (strcspn(words->items[j], "=") == len &&
            memcmp(words->items[i], words->items[j], len) == 0)
            return true;
    }
    return false;
}

/* An object of KEY=VALUE words. A word without "=" takes its value from the environment, and is
 * left out when there is none. */
static bool put_pairs(struct buf *out, const char *name, const struct args_words *words,
                      struct err *err)
{
    bool first = true;
    if (words->n == 0)
        return true;
    put_name(out, name);
    buf_putc(out, '{');
    for (size_t i = 0; i < words->n; i++) {
        const char *pair = words->items[i], *equals = strchr(pair, '=');
        const char *value = equals != NULL ? equals + 1 : getenv(pair);
        if (value == NULL || is_given_again(words, i))
            continue;
        if (!text_is_utf8(slice_of(value)))
            return err_set(err, ERR_INVALID, "the variable %.60s is not text in UTF-8", pair);
        put_pair(out, first, pair, value);
        first = false;
    }
    buf_putc(out, '}');
    return true;
}

static bool read_all(int fd, struct buf *out, struct err *err)
{
    for (;;) {
        char part[65536];
        ssize_t n = read(fd, part, sizeof(part));
        if (n == 0 || (n < 0 && errno == EBADF)) /* closed by the caller: `<&-` */
            return true;
        if (n < 0 && errno != EINTR)
            return err_sys(err, ERR_BAD_REQUEST, "cannot read standard input");
        if (n > 0)
            buf_append(out, part, (size_t)n);
        if (!buf_ok(out))
            return err_set(err, ERR_TOO_LARGE,
                           "standard input is larger than 1 MiB; " SPEC_LARGE_INPUT);
    }
}

static bool put_stdin(struct buf *out, const char *path, struct err *err)
{
    struct buf AUTO_BUF bytes;
    buf_init(&bytes, SPEC_MAX);
    bool is_own = strcmp(path, "-") == 0;
    int AUTO_CLOSE file = is_own ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!is_own && file < 0)
        return err_sys(err, ERR_BAD_REQUEST, "%.160s", path);
    if (!read_all(is_own ? STDIN_FILENO : file, &bytes, err))
        return false;
    if (bytes.len == 0)
        return true;
    struct slice all = buf_slice(&bytes);
    if (memchr(all.ptr, '\0', all.len) == NULL && text_is_utf8(all)) {
        put_name(out, "stdin");
        buf_json_string(out, all);
    } else {
        put_name(out, "stdin_base64");
        buf_putc(out, '"');
        base64_put(out, all);
        buf_putc(out, '"');
    }
    return true;
}

void spec_put_command(struct buf *out, char *const *words, int n)
{
    put_name(out, "command");
    buf_putc(out, '[');
    for (int i = 0; i < n; i++) {
        if (i > 0)
            buf_putc(out, ',');
        buf_json_string(out, slice_of(words[i]));
    }
    buf_putc(out, ']');
}

void spec_put_value(struct buf *out, struct slice word, bool is_string)
{
    struct slice value = json_trim(word);
    if (!is_string && json_validate(word, JSON_LIMITS_DEFAULT, NULL))
        buf_append(out, value.ptr, value.len);
    else
        buf_json_string(out, word);
}

static bool put_kwargs(struct buf *out, const struct args *args, struct err *err)
{
    const struct args_words *words = &args->kwarg;
    bool first = true;
    if (args_has(args, OPT_KWARGS) && words->n > 0)
        return err_set(err, ERR_INVALID, "--kwargs and --kwarg do not go together");
    if (args_has(args, OPT_KWARGS)) {
        put_name(out, "kwargs");
        buf_puts(out, args->value[OPT_KWARGS]);
    }
    if (words->n == 0)
        return true;
    put_name(out, "kwargs");
    buf_putc(out, '{');
    for (size_t i = 0; i < words->n; i++) {
        const char *pair = words->items[i], *equals = strchr(pair, '=');
        if (is_given_again(words, i))
            continue;
        buf_puts(out, first ? "" : ",");
        buf_json_string(out, (struct slice){pair, (size_t)(equals - pair)});
        buf_putc(out, ':');
        spec_put_value(out, slice_of(equals + 1), args_has(args, OPT_STRINGS));
        first = false;
    }
    buf_putc(out, '}');
    return true;
}

static bool put_call(struct buf *out, const struct spec_task *task, const struct args *args,
                     struct err *err)
{
    if (args_has(args, OPT_ARGS) && task->n > 0)
        return err_set(err, ERR_INVALID, "--args stands for the words \"%.60s\" …", task->words[0]);
    put_text(out, "function", task->function);
    if (args_has(args, OPT_ARGS)) {
        put_name(out, "args");
        buf_puts(out, args->value[OPT_ARGS]);
    } else if (task->n > 0) {
        put_name(out, "args");
        buf_putc(out, '[');
        for (int i = 0; i < task->n; i++) {
            buf_puts(out, i > 0 ? "," : "");
            spec_put_value(out, slice_of(task->words[i]), args_has(args, OPT_STRINGS));
        }
        buf_putc(out, ']');
    }
    return put_kwargs(out, args, err);
}

struct spec_task spec_task_of(const struct args *args, int n)
{
    bool is_call = args->command->bit == IN_CALL;
    return (struct spec_task){
        .function = is_call ? args->operands[0] : args->value[OPT_FUNCTION],
        .words = args->operands + is_call,
        .n = n - is_call,
    };
}

bool spec_put_task(const struct spec_task *task, const struct args *args, struct buf *out,
                   struct err *err)
{
    static const enum option_id of_calls[] = {OPT_ARGS, OPT_KWARG, OPT_KWARGS, OPT_STRINGS};
    if (task->function != NULL)
        return put_call(out, task, args, err);
    for (size_t i = 0; i < ARRAY_LEN(of_calls); i++) {
        if (args_has(args, of_calls[i]))
            return err_set(err, ERR_INVALID, "--%s goes with --function only",
                           option_name(of_calls[i]));
    }
    spec_put_command(out, task->words, task->n);
    return true;
}

/* The service wants an absolute path; a relative one means from here. */
static bool put_cwd(struct buf *out, const char *cwd, struct err *err)
{
    if (cwd == NULL)
        return true;
    char here[PATH_MAX], path[2 * PATH_MAX];
    if (cwd[0] == '/') {
        put_text(out, "cwd", cwd);
        return true;
    }
    if (getcwd(here, sizeof(here)) == NULL)
        return err_sys(err, ERR_BAD_REQUEST, "current directory");
    if (strcmp(cwd, ".") == 0)
        (void)snprintf(path, sizeof(path), "%s", here);
    else if (snprintf(path, sizeof(path), "%s/%s", here, cwd) >= (int)sizeof(path))
        return err_set(err, ERR_BAD_REQUEST, "the path of --cwd is too long");
    put_text(out, "cwd", path);
    return true;
}

static void put_limits(struct buf *out, const struct args *args)
{
    static const struct {
        enum option_id id;
        const char *name;
    } limits[] = {{OPT_LIMIT_MEMORY, "memory"}, {OPT_LIMIT_OUTPUT, "output"}};
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        uint64_t bytes = 0;
        if (!args_has(args, limits[i].id) ||
            !text_to_bytes(slice_of(args->value[limits[i].id]), &bytes))
            continue;
        if (comma[0] == '\0') {
            put_name(out, "limits");
            buf_putc(out, '{');
        }
        buf_printf(out, "%s\"%s\":%llu", comma, limits[i].name, (unsigned long long)bytes);
        comma = ",";
    }
    buf_puts(out, comma[0] == '\0' ? "" : "}");
}

static void put_numbers(struct buf *out, const struct args *args)
{
    if (args_has(args, OPT_PRIORITY)) {
        put_name(out, "priority");
        buf_put_i64(out, args_integer(args, OPT_PRIORITY, 0));
    }
    if (args_has(args, OPT_RETRIES)) {
        put_name(out, "retry");
        buf_puts(out, "{\"max_attempts\":");
        buf_put_i64(out, args_integer(args, OPT_RETRIES, 0) + 1);
        buf_putc(out, '}');
    }
}

static void put_words(struct buf *out, const char *name, const struct args_words *words)
{
    if (words->n == 0)
        return;
    put_name(out, name);
    buf_putc(out, '[');
    for (size_t i = 0; i < words->n; i++) {
        if (i > 0)
            buf_putc(out, ',');
        buf_json_string(out, slice_of(words->items[i]));
    }
    buf_putc(out, ']');
}

/* {"outer":{"inner":"value"}} with one more member when `more` is given. */
struct nested {
    const char *outer, *inner, *value, *more, *more_value;
};

static void put_nested(struct buf *out, const struct nested *n)
{
    if (n->value == NULL)
        return;
    put_name(out, n->outer);
    buf_printf(out, "{\"%s\":", n->inner);
    buf_json_string(out, slice_of(n->value));
    if (n->more_value != NULL) {
        buf_printf(out, ",\"%s\":", n->more);
        buf_json_string(out, slice_of(n->more_value));
    }
    buf_putc(out, '}');
}

static void put_inputs(struct buf *out, const struct args_words *inputs)
{
    const char *comma = "";
    if (inputs->n == 0)
        return;
    put_name(out, "inputs");
    buf_putc(out, '{');
    for (size_t i = 0; i < inputs->n; i++) {
        const char *pair = inputs->items[i], *id = strchr(pair, '=') + 1;
        if (is_given_again(inputs, i))
            continue;
        buf_puts(out, comma);
        buf_json_string(out, (struct slice){pair, strcspn(pair, "=")});
        buf_puts(out, ":{\"blob\":");
        buf_json_string(out, slice_of(id));
        buf_putc(out, '}');
        comma = ",";
    }
    buf_putc(out, '}');
}

/* What ties a job to others. */
static void put_ties(struct buf *out, const struct args *args)
{
    put_words(out, "depends_on", &args->depends_on);
    put_text(out, "on_parent_failure", args->value[OPT_ON_PARENT_FAILURE]);
    put_nested(out, &(struct nested){"stdin_from", "job", args->value[OPT_STDIN_FROM], "stream",
                                     "stdout"});
    put_nested(out,
               &(struct nested){"stdin_from", "blob", args->value[OPT_STDIN_BLOB], NULL, NULL});
    put_inputs(out, &args->input);
    put_words(out, "outputs", &args->output);
    if (args_has(args, OPT_STDIN_OPEN)) {
        put_name(out, "stdin");
        buf_puts(out, "{\"open\":true}");
    }
    put_nested(out, &(struct nested){"unique", "key", args->value[OPT_UNIQUE], "on_conflict",
                                     args->value[OPT_ON_CONFLICT]});
    put_nested(out, &(struct nested){"callback", "url", args->value[OPT_CALLBACK], NULL, NULL});
}

/* Each of them says what the whole of the standard input is. */
static bool has_one_stdin(const struct args *args, struct err *err)
{
    static const enum option_id inputs[] = {OPT_STDIN, OPT_STDIN_BLOB, OPT_STDIN_FROM,
                                            OPT_STDIN_OPEN};
    const char *first = NULL;
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        if (!args_has(args, inputs[i]))
            continue;
        if (first != NULL)
            return err_set(err, ERR_INVALID, "--%s and --%s do not go together", first,
                           option_name(inputs[i]));
        first = option_name(inputs[i]);
    }
    return true;
}

bool spec_put_members(const struct args *args, struct buf *out, struct err *err)
{
    if (!has_one_stdin(args, err))
        return false;
    put_text(out, "name", args->value[OPT_NAME]);
    put_text(out, "queue", args->value[OPT_QUEUE]);
    put_text(out, "pool", args->value[OPT_POOL]);
    put_text(out, "run_at", args->value[OPT_AT]);
    put_duration(out, "delay", args, OPT_DELAY);
    put_duration(out, "timeout", args, OPT_TIMEOUT);
    put_duration(out, "queue_timeout", args, OPT_QUEUE_TIMEOUT);
    put_duration(out, "deadline", args, OPT_DEADLINE);
    put_duration(out, "keep", args, OPT_KEEP);
    put_numbers(out, args);
    put_limits(out, args);
    put_ties(out, args);
    return put_pairs(out, "env", &args->env, err) && put_pairs(out, "labels", &args->label, err) &&
           put_cwd(out, args->value[OPT_CWD], err);
}

bool spec_put_stdin(const struct args *args, struct buf *out, struct err *err)
{
    const char *path = args->value[OPT_STDIN];
    return put_stdin(out, path != NULL ? path : "-", err);
}

bool spec_write(const struct args *args, bool sends_stdin, struct buf *ret_out, struct err *err)
{
    struct buf AUTO_BUF out;
    buf_init(&out, BODY_MAX);
    buf_putc(&out, '{');
    const struct spec_task task = spec_task_of(args, args->n_operands);
    if (!spec_put_task(&task, args, &out, err) || !spec_put_members(args, &out, err))
        return false;
    if ((args_has(args, OPT_STDIN) || sends_stdin) && !spec_put_stdin(args, &out, err))
        return false;
    buf_putc(&out, '}');
    buf_append(ret_out, out.ptr, out.len);
    if (!buf_ok(&out) || !buf_ok(ret_out))
        return err_set(err, ERR_TOO_LARGE, "the job's description is too large");
    return true;
}

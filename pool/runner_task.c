/* SPDX-License-Identifier: MIT */
/* What a runner is told of a task. */
#include "pool/runner_call.h"

#include "service/base/base64.h"
#include "service/base/json.h"

#include <errno.h>
#include <inttypes.h>

#define KEYS_MAX 900 /* of a header with its verb, id and length */
#define INBOX_PATH "/proc/self/fd/5"

static bool refuse(struct runner_call *call, const char *text)
{
    (void)snprintf(call->error, sizeof(call->error), "%s", text);
    return false;
}

static const char *call_name(const struct function *f)
{
    return f->call == NULL ? f->name : f->call;
}

/* Between values a line break is as good as a blank, and inside of strings there is none. */
void runner_put_one_line(struct buf *out, struct slice json)
{
    char *to = buf_reserve(out, json.len);
    if (to == NULL)
        return;
    for (size_t i = 0; i < json.len; i++)
        to[i] = json.ptr[i] == '\n' || json.ptr[i] == '\r' ? ' ' : json.ptr[i];
    buf_commit(out, json.len);
}

/* {"fn":"module:name","args":[…],"kwargs":{…}} */
static bool put_json(struct runner_call *call, struct slice arguments, struct buf *out)
{
    buf_puts(out, "{\"fn\":");
    buf_json_string(out, slice_of(call_name(call->function)));
    buf_putc(out, ',');
    runner_put_one_line(out, (struct slice){arguments.ptr + 1, arguments.len - 1});
    return buf_ok(out) || refuse(call, "MemoryError: the arguments take too much memory");
}

/* {"$py":"base64"} as the only argument: a pickle that the service does not look into. */
static bool put_pickle(struct slice arguments, struct buf *out)
{
    struct slice args, kwargs, key, value, text, more;
    struct json_iter it;
    AUTO_ARENA struct arena a = {0};

    if (!json_find(arguments, "args", &args) || !json_find(arguments, "kwargs", &kwargs))
        return false;
    json_iter_init(&it, kwargs);
    if (json_next_member(&it, &key, &more))
        return false;
    json_iter_init(&it, args);
    if (!json_next_element(&it, &value) || json_next_element(&it, &more) ||
        json_type_of(value) != JSON_OBJECT)
        return false;
    json_iter_init(&it, value);
    if (!json_next_member(&it, &key, &text) || !slice_is(key, "$py") ||
        json_type_of(text) != JSON_STRING || json_next_member(&it, &key, &more))
        return false;
    arena_init(&a, text.len + 64);
    size_t len = 0;
    const char *base64 = json_string_dup(text, &a, &len);
    return base64 != NULL && base64_read_bare((struct slice){base64, len}, out) && buf_ok(out);
}

/* The only argument: a string as it is, anything else as its JSON text. */
static bool put_raw(struct runner_call *call, struct slice arguments, struct buf *out)
{
    static const char why[] =
        "TypeError: a runner of the codec raw takes one argument, and none by name";
    struct slice args, kwargs, key, value, more;
    struct json_iter it;

    if (!json_find(arguments, "args", &args) || !json_find(arguments, "kwargs", &kwargs))
        return refuse(call, why);
    json_iter_init(&it, kwargs);
    if (json_next_member(&it, &key, &value))
        return refuse(call, why);
    json_iter_init(&it, args);
    if (!json_next_element(&it, &value) || json_next_element(&it, &more))
        return refuse(call, why);
    if (json_type_of(value) != JSON_STRING) {
        runner_put_one_line(out, value);
    } else {
        char *to = buf_reserve(out, value.len);
        if (to != NULL)
            buf_commit(out, json_string_unescape(value, to));
    }
    return buf_ok(out) || refuse(call, "MemoryError: the arguments take too much memory");
}

static int64_t left_ms(const struct runner_call *call)
{
    int64_t left = INT64_MAX;
    if (call->timeout_at_ns != NEVER)
        left = MAX((int64_t)(call->timeout_at_ns - clock_mono_ns()) / 1000000, INT64_C(0));
    if (call->task->deadline_us > 0)
        left = MIN(left, MAX((call->task->deadline_us - clock_wall_us()) / 1000, INT64_C(0)));
    return left;
}

static void put_keys(const struct runner_call *call, const char *codec, struct buf *keys)
{
    const size_t at_least = keys->len;
    buf_printf(keys, " codec=%s attempt=%u", codec, call->bank->attempt);
    const int64_t left = left_ms(call);
    if (left != INT64_MAX)
        buf_printf(keys, " deadline_ms=%lld", (long long)left);
    const struct {
        const char *key;
        struct slice value;
    } more[] = {{"fn", slice_of(call_name(call->function))}, {"name", call->name}};
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        if (more[i].value.len > 0 && keys->len - at_least + 3 * more[i].value.len < KEYS_MAX - 200)
            runner_key_put(keys, more[i].key, more[i].value);
    }
}

/* What this process holds open as long as the task runs. */
static void put_inputs(const struct inputs *inputs, struct buf *keys)
{
    char key[80], path[96];
    for (uint32_t i = 0; i < inputs->n_blobs; i++) {
        const struct input_blob *blob = &inputs->blobs[i];
        (void)snprintf(key, sizeof(key), "input.%.*s", (int)blob->name.len, blob->name.ptr);
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d:%" PRIu64, getpid(), blob->fd,
                       blob->size);
        runner_key_put(keys, key, slice_of(path));
    }
}

/* What the task needs to ask the service as its job: where there is no room left for both, it does
 * without. */
static void put_own(const struct runner_call *call, struct buf *keys)
{
    AUTO_BUF struct buf own = {0};
    if (call->url.len == 0 || call->token.len == 0)
        return;
    buf_init(&own, KEYS_MAX);
    runner_key_put(&own, "url", call->url);
    runner_key_put(&own, "token", call->token);
    if (buf_ok(&own) && keys->len + own.len <= KEYS_MAX)
        buf_append(keys, own.ptr, own.len);
}

static bool fill_inbox(struct runner *r, struct slice body)
{
    size_t sent = 0;
    if (ftruncate(r->inbox_fd, 0) != 0)
        return false;
    r->inbox_bytes = body.len;
    while (sent < body.len) {
        const ssize_t n = pwrite(r->inbox_fd, body.ptr + sent, body.len - sent, (off_t)sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

bool runner_call_send(struct runner_call *call)
{
    AUTO_BUF struct buf body = {0}, keys = {0};
    struct runner *r = call->runner;
    const struct slice arguments = json_trim(call->task->stdin_bytes);
    const bool is_json = (r->codecs & CODEC_JSON) != 0;

    buf_init(&body, SIZE_MAX / 4);
    buf_init(&keys, RUNNER_LINE_MAX);
    if (arguments.len < 2 || json_type_of(arguments) != JSON_OBJECT)
        return refuse(call, "Error: the stored arguments are damaged");
    const bool is_pickle = (r->codecs & CODEC_PICKLE) != 0 && put_pickle(arguments, &body);
    if (!is_pickle) {
        buf_clear(&body);
        if (!(is_json ? put_json(call, arguments, &body) : put_raw(call, arguments, &body)))
            return false;
    }
    put_keys(call, is_pickle ? "pickle" : is_json ? "json" : "raw", &keys);
    put_inputs(call->inputs, &keys);
    if (!buf_ok(&keys))
        return refuse(call, "Error: the names of the inputs are too long for a runner");
    struct slice inlined = buf_slice(&body);
    if (body.len > RUNNER_SHM && (r->caps & CAP_SHM) != 0 && fill_inbox(r, inlined)) {
        buf_printf(&keys, " shm=" INBOX_PATH ":%zu", body.len);
        inlined = (struct slice){NULL, 0};
    }
    put_own(call, &keys);
    buf_putc(&keys, '\0');
    if (!buf_ok(&keys))
        return refuse(call, "Error: the task cannot be handed over");
    runner_say(r, "TASK", call->id, keys.ptr, inlined);
    return true;
}

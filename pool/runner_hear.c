/* SPDX-License-Identifier: MIT */
/* What a runner says. */
#include "pool/runner_call.h"

#include "service/base/json.h"

#include <errno.h>

#define READ_SIZE ((size_t)64 << 10)
#define HEAR_BUDGET ((size_t)4 << 20) /* of one look */

/* ------------------------------------------------------------------------------------------------
 * HELLO, READY */

static const struct runner_word caps[] = {{"init", CAP_INIT},     {"cancel", CAP_CANCEL},
                                          {"sigint", CAP_SIGINT}, {"busyping", CAP_BUSYPING},
                                          {"shm", CAP_SHM},       {"fork", CAP_FORK}};

/* Unknown ones do not count; neither does "call", since a CALL is answered whoever makes it. */
static uint32_t read_words(struct slice hello, const char *key, const struct runner_word *words,
                           size_t n)
{
    struct slice array, element;
    struct json_iter it;
    uint32_t bits = 0;

    if (!json_find(hello, key, &array) || json_type_of(array) != JSON_ARRAY)
        return 0;
    json_iter_init(&it, array);
    while (json_next_element(&it, &element))
        for (size_t i = 0; i < n; i++)
            if (json_type_of(element) == JSON_STRING && json_string_eq(element, words[i].text))
                bits |= words[i].bit;
    return bits;
}

static bool is_object(struct slice *body)
{
    struct err err = {0};
    if (!json_validate(*body, JSON_LIMITS_DEFAULT, &err))
        return false;
    *body = json_trim(*body);
    return json_type_of(*body) == JSON_OBJECT;
}

/* Pickled or not: calls whose only argument is no pickle are JSON all the same. */
static uint32_t only_codec(uint32_t named, const struct runner_word *codec)
{
    if (codec == NULL)
        return named;
    return codec->bit == CODEC_PICKLE && (named & CODEC_PICKLE) != 0 ? named : named & codec->bit;
}

static bool on_hello(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    struct runner *r = call->runner;

    if (!slice_is(frame->id, "1"))
        return runner_call_broken(call, "it speaks version %.*s of the protocol, not 1",
                                  (int)frame->id.len, frame->id.ptr);
    if (r->is_greeted)
        return runner_call_broken(call, "a second HELLO");
    if (!is_object(&body))
        return runner_call_broken(call, "the body of HELLO is no JSON object");
    const struct runner_word *codec = r->function->codec;
    r->caps = read_words(body, "caps", caps, ARRAY_LEN(caps));
    r->codecs = read_words(body, "codecs", runner_codecs, RUNNER_CODECS);
    if ((r->codecs & (CODEC_JSON | CODEC_RAW)) == 0)
        return runner_call_broken(call, "HELLO names neither codec \"json\" nor \"raw\"");
    r->codecs = only_codec(r->codecs, codec);
    if (r->codecs == 0)
        return runner_call_broken(call, "HELLO does not name the codec \"%s\" of its pool",
                                  codec->text);
    if (call->all->isolation == POOL_FORK && (r->caps & CAP_FORK) == 0)
        return runner_call_broken(call, "HELLO does not name the capability \"fork\", which the "
                                        "isolation of its pool needs");
    const bool has_init = r->function->init.ptr != NULL || r->function->preload.len > 0;
    if (has_init && (r->caps & CAP_INIT) == 0)
        return runner_call_broken(call,
                                  "HELLO does not name the capability \"init\", which is needed");
    r->is_greeted = true;
    r->is_ready = !has_init;
    return true;
}

static bool on_ready(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    (void)body;
    if (!slice_is(frame->id, "init") || call->runner->is_ready)
        return runner_call_broken(call, "a READY that nobody waits for");
    call->runner->is_ready = true;
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * errors */

/* What the worker itself adds to the job's stderr. */
static void put_stderr(struct runner_call *call, struct slice text)
{
    capture_put(&call->out[1], text);
    if (text.len > 0 && text.ptr[text.len - 1] != '\n')
        capture_put(&call->out[1], SLICE_LIT("\n"));
}

static struct slice take_string(struct slice object, const char *key, struct arena *a)
{
    struct slice value, text = {NULL, 0};
    if (json_find(object, key, &value) && json_type_of(value) == JSON_STRING)
        text.ptr = json_string_dup(value, a, &text.len);
    return text;
}

static bool on_error(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    char type_key[RUNNER_VALUE_MAX];
    struct slice type = SLICE_LIT("Error"), message = body, traceback = {NULL, 0};
    AUTO_ARENA struct arena a = {0};

    arena_init(&a, 4 * RUNNER_BODY_MAX);
    if (runner_frame_key(frame, "type", type_key))
        type = slice_of(type_key);
    if (is_object(&body)) {
        const struct slice named = take_string(body, "type", &a);
        type = named.len > 0 ? named : type;
        message = take_string(body, "message", &a);
        traceback = take_string(body, "traceback", &a);
    }
    runner_call_error(call, type, message);
    if (slice_is(frame->id, "init") && !call->runner->is_ready)
        return runner_call_broken(call, "%s", call->error);
    call->answer = ANSWER_ERROR;
    call->bank->report.no_retry = runner_frame_key(frame, "retry", type_key) &&
                                  strcmp(type_key, "0") == 0;
    put_stderr(call, traceback);
    return true;
}

static bool on_cancelled(struct runner_call *call, const struct runner_frame *frame,
                         struct slice body)
{
    (void)frame;
    (void)body;
    call->answer = ANSWER_CANCELLED;
    runner_call_error(call, SLICE_LIT("Cancelled"), SLICE_LIT("the function gave it up"));
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * the rest */

/* [done, total, "text"]; what is not that says nothing. */
static bool on_progress(struct runner_call *call, const struct runner_frame *frame,
                        struct slice body)
{
    AUTO_ARENA struct arena a = {0};
    struct err err = {0};
    struct json_iter it;
    struct slice item[3] = {{0}};
    double done, total;

    (void)frame;
    if (!json_validate(body, JSON_LIMITS_DEFAULT, &err))
        return true;
    body = json_trim(body);
    if (json_type_of(body) != JSON_ARRAY)
        return true;
    json_iter_init(&it, body);
    for (size_t i = 0; i < ARRAY_LEN(item) && json_next_element(&it, &item[i]); i++)
        continue;
    if (item[1].ptr == NULL || json_type_of(item[0]) != JSON_NUMBER ||
        json_type_of(item[1]) != JSON_NUMBER || !json_to_double(item[0], &done) ||
        !json_to_double(item[1], &total) || !(total > 0) || !(done >= 0))
        return true;
    struct slice text = SLICE_LIT("");
    arena_init(&a, 2 * RUNNER_BODY_MAX);
    if (item[2].ptr != NULL && json_type_of(item[2]) == JSON_STRING)
        text.ptr = json_string_dup(item[2], &a, &text.len);
    if (text.ptr != NULL)
        progress_put(call->bank, (uint32_t)(MIN(done / total, 1.0) * 1e6), text);
    return true;
}

static bool on_log(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    char level[RUNNER_VALUE_MAX];
    enum log_level as = LOG_INFO;

    if (runner_frame_key(frame, "level", level)) {
        if (strcasecmp(level, "error") == 0 || strcasecmp(level, "critical") == 0)
            as = LOG_ERROR;
        else if (strncasecmp(level, "warn", 4) == 0)
            as = LOG_WARN;
        else if (strcasecmp(level, "debug") == 0)
            as = LOG_DEBUG;
    }
    buf_putc(&call->runner->body, '\0'); /* log_event takes terminated text */
    if (buf_ok(&call->runner->body))
        log_event(call->all->log, as, "function says", LOG_STR("function", call->function->name),
                  LOG_INT("job_no", call->bank->job_no), LOG_STR("text", call->runner->body.ptr));
    (void)body;
    return true;
}

/* A CALL is an operation on a shared object, and there are none yet. */
static bool on_call(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    static const char no[] = "{\"type\":\"/problems/not-found\",\"title\":\"Not found\","
                             "\"status\":501,\"detail\":\"There are no shared objects yet\"}";
    (void)body;
    runner_say(call->runner, "REPLY", frame->id, " status=501", SLICE_LIT(no));
    return true;
}

static bool on_pong(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    char last[16];
    (void)body;
    (void)snprintf(last, sizeof(last), "%u", call->runner->pings);
    if (!slice_is(frame->id, last))
        return runner_call_broken(call, "a PONG without its PING");
    call->runner->pong_by_ns = UINT64_MAX;
    runner_await_ping(call->runner);
    return true;
}

static bool on_bye(struct runner_call *call, const struct runner_frame *frame, struct slice body)
{
    (void)frame;
    (void)body;
    call->runner->says_bye = true;
    return true;
}

enum owner { OF_RUNNER, OF_TASK, OF_BOTH, OF_CHILD }; /* CHILD: also after the answer */
static const struct {
    bool (*end)(struct runner_call *call, const struct runner_frame *frame, struct slice body);
    enum owner owner;
} actions[RUNNER_VERB_COUNT] = {
    [RUNNER_HELLO] = {on_hello, OF_RUNNER},
    [RUNNER_READY] = {on_ready, OF_RUNNER},
    [RUNNER_RESULT] = {runner_call_result, OF_TASK},
    [RUNNER_ERROR] = {on_error, OF_BOTH},
    [RUNNER_CANCELLED] = {on_cancelled, OF_TASK},
    [RUNNER_PROGRESS] = {on_progress, OF_TASK},
    [RUNNER_DATA] = {runner_call_data, OF_TASK},
    [RUNNER_LOG] = {on_log, OF_TASK},
    [RUNNER_CALL] = {on_call, OF_RUNNER},
    [RUNNER_PONG] = {on_pong, OF_RUNNER},
    [RUNNER_BYE] = {on_bye, OF_RUNNER},
    [RUNNER_FORKED] = {runner_fork_begun, OF_CHILD},
    [RUNNER_EXITED] = {runner_fork_exited, OF_CHILD},
};

static bool is_of_task(const struct runner_call *call, struct slice id, enum owner owner)
{
    const bool is_open = owner == OF_CHILD ? (call->runner->caps & CAP_FORK) != 0
                                           : call->answer == ANSWER_NONE;
    return call->bank != NULL && call->phase == CALL_RUN && is_open && slice_eq(id, call->id);
}

static bool frame_begin(struct runner_call *call)
{
    const struct runner_frame *frame = &call->runner->reader.frame;
    const enum owner owner = actions[frame->verb].owner;
    const bool is_init = slice_is(frame->id, "init") && !call->runner->is_ready;

    call->is_dropped = false;
    buf_clear(&call->runner->body);
    if (actions[frame->verb].end == NULL)
        return runner_call_broken(call, "the verb %.*s is unknown", (int)frame->word.len,
                                  frame->word.ptr);
    if (frame->verb != RUNNER_HELLO && !call->runner->is_greeted)
        return runner_call_broken(call, "%.*s before HELLO", (int)frame->word.len, frame->word.ptr);
    if (owner != OF_RUNNER && !call->runner->is_ready && !is_init)
        return runner_call_broken(call, "%.*s before READY", (int)frame->word.len, frame->word.ptr);
    if (owner != OF_RUNNER && !is_of_task(call, frame->id, owner) && !(owner == OF_BOTH && is_init))
        return runner_call_broken(call, "%.*s for the unknown task %.*s", (int)frame->word.len,
                                  frame->word.ptr, (int)frame->id.len, frame->id.ptr);
    if (frame->verb != RUNNER_RESULT)
        return frame->length <= RUNNER_BODY_MAX ||
               runner_call_broken(call, "%.*s with %llu bytes", (int)frame->word.len,
                                  frame->word.ptr, (unsigned long long)frame->length);
    runner_call_result_begin(call, frame->length);
    return true;
}

static void frame_body(struct runner_call *call, struct slice body)
{
    if (call->is_dropped)
        return;
    if (call->runner->reader.frame.verb == RUNNER_RESULT)
        runner_call_result_body(call, body);
    else
        buf_append(&call->runner->body, body.ptr, body.len);
}

static bool hear_bytes(struct runner_call *call, struct slice bytes)
{
    struct runner *r = call->runner;
    struct slice body;

    for (;;) {
        switch (runner_reader_next(&r->reader, &bytes, &body)) {
        case RUNNER_MORE: return true;
        case RUNNER_BROKEN: return runner_call_broken(call, "these are no frames");
        case RUNNER_BODY: frame_body(call, body); break;
        case RUNNER_BEGIN:
            if (!frame_begin(call))
                return false;
            break;
        case RUNNER_END:
            if (!actions[r->reader.frame.verb].end(call, &r->reader.frame, buf_slice(&r->body)))
                return false;
            break;
        }
    }
}

bool runner_call_hear(struct runner_call *call)
{
    struct runner *r = call->runner;
    char bytes[READ_SIZE];

    for (size_t taken = 0; r->from_fd >= 0 && taken < HEAR_BUDGET;) {
        const ssize_t n = read(r->from_fd, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            (void)close(steal_fd(&r->from_fd));
        if (n <= 0)
            return true;
        if (!hear_bytes(call, (struct slice){bytes, (size_t)n}))
            return false;
        if ((size_t)n < sizeof(bytes))
            return true;
        taken += (size_t)n;
    }
    return true;
}

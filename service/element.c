/* SPDX-License-Identifier: MIT */
#include "service/element.h"

#include "pool/task.h"
#include "service/base/json.h"
#include "service/brief.h"
#include "service/command.h"

#define MAX_ARG_BYTES 131071u        /* MAX_ARG_STRLEN of Linux with the NUL: execve(2) */
#define MAX_ELEMENT_BYTES (4u << 20) /* a task with its item put in */
#define INDEX_DIGITS 20u

/* ---- the template ---- */

/* Whether the item has a place of its own; if not, it becomes an argument. */
static bool has_holes(const struct job_spec *spec, bool star)
{
    int64_t ignored = 0;
    size_t n = template_holes(spec->stdin_bytes, star, &ignored);
    for (uint32_t i = 0; i < spec->n_argv; i++)
        n += template_holes(spec->argv[i], star, &ignored);
    for (uint32_t i = 0; i < spec->n_env; i++)
        n += template_holes(spec->env[i], star, &ignored);
    return n > 0;
}

bool element_template(const struct job_spec *spec, bool star, struct arena *a, struct slice *ret,
                      struct err *err)
{
    struct template_head head;
    memset(&head, 0, sizeof head); /* its padding is stored as well */
    head.version = 1;
    head.star = star;
    head.appends = spec->call.ptr == NULL && !has_holes(spec, star);
    head.call_bytes = (uint32_t)spec->call.len;
    head.has_retry = spec->has_retry;
    head.result = (uint8_t)spec->result;
    head.priority = spec->priority;
    head.max_attempts = spec->max_attempts;
    head.delay_us = spec->delay_us;
    head.run_at_us = spec->run_at_us;
    head.queue_timeout_us = spec->queue_timeout_us;
    head.deadline_us = spec->deadline_us;
    head.keep_us = spec->keep_us;
    char *lead = arena_alloc(a, sizeof head + spec->call.len);
    if (lead == NULL)
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    memcpy(lead, &head, sizeof head);
    if (spec->call.ptr != NULL)
        memcpy(lead + sizeof head, spec->call.ptr, spec->call.len);
    struct command_frame frame = {.prefix = {lead, sizeof head + spec->call.len}};
    return command_encode(spec, &frame, a, ret, err);
}

/* ---- what an item must keep to ---- */

static void add_text(struct element_rules *rules, struct slice text)
{
    size_t holes = template_holes(text, rules->star, &rules->highest);
    rules->widest = MAX(rules->widest, text.len);
    rules->widest_holes = MAX(rules->widest_holes, holes);
    rules->all += text.len;
    rules->all_holes += holes;
}

/* A copy: the rules outlive the bytes that they were read from. */
static bool call_rules(struct slice bytes, const struct template_head *head, struct arena *a,
                       struct element_rules *ret, struct err *err)
{
    struct element_call *call = arena_alloc(a, sizeof *call);
    const char *copy = arena_dup(a, bytes);
    struct slice wire;
    struct template_head ignored;
    struct task task;
    if (call == NULL || copy == NULL)
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    bytes.ptr = copy;
    ret->call = call;
    call->star = head->star != 0;
    return template_open(bytes, &ignored, &wire, err) && task_decode(wire, a, &task, err) &&
           element_call_read(template_call(bytes, head), &task, a, call, err);
}

bool element_rules(struct slice template_bytes, struct arena *a, struct element_rules *ret,
                   struct err *err)
{
    AUTO_ARENA struct arena scratch = {0};
    struct template_head head;
    struct slice wire;
    struct task task;
    arena_init(&scratch, ELEMENT_MEMORY);
    *ret = (struct element_rules){0};
    if (!template_open(template_bytes, &head, &wire, err) ||
        !task_decode(wire, &scratch, &task, err))
        return err_wrap(err, "read the template of a batch");
    if (head.call_bytes > 0)
        return call_rules(template_bytes, &head, a, ret, err);
    *ret = (struct element_rules){
        .star = head.star != 0, .appends = head.appends != 0, .n_args = task.n_argv};
    for (uint32_t i = 0; i < task.n_argv; i++)
        add_text(ret, task.argv[i]);
    for (uint32_t i = 0; i < task.n_env; i++)
        add_text(ret, task.env[i]);
    ret->all += task.stdin_bytes.len;
    ret->all_holes += template_holes(task.stdin_bytes, ret->star, &ret->highest);
    return true;
}

static bool check_star(const struct element_rules *rules, struct slice item, struct err *err)
{
    struct json_iter it;
    struct slice element;
    int64_t n = 0;
    if (json_type_of(item) != JSON_ARRAY)
        return err_set(err, ERR_INVALID, "must be an array, as \"star\" is true");
    json_iter_init(&it, item);
    while (json_next_element(&it, &element))
        n++;
    if (n < rules->highest)
        return err_set(err, ERR_INVALID, "has %lld elements, but the command asks for {%lld}",
                       (long long)n, (long long)rules->highest);
    if (rules->appends && n + rules->n_args > TASK_MAX_ARGS)
        return err_set(err, ERR_INVALID, "makes a command of more than %d arguments",
                       TASK_MAX_ARGS);
    return true;
}

/* The unescaped text is never longer than the JSON, so what passes here fits. */
bool element_check(const struct element_rules *rules, struct slice item, struct err *err)
{
    size_t len = MAX(item.len, INDEX_DIGITS);
    if (rules->call != NULL)
        return element_call_check(rules->call, item, err);
    if (rules->star && !check_star(rules, item, err))
        return false;
    if ((rules->appends && item.len > MAX_ARG_BYTES) ||
        (rules->widest_holes > 0 && (rules->widest > MAX_ARG_BYTES ||
                                     len > (MAX_ARG_BYTES - rules->widest) / rules->widest_holes)))
        return err_set(err, ERR_INVALID,
                       "makes an argument or variable of more than %u bytes, which no system "
                       "accepts; give large items by \"stdin\": \"{}\"",
                       MAX_ARG_BYTES);
    if (rules->all_holes > 0 && rules->all < MAX_ELEMENT_BYTES &&
        len > (MAX_ELEMENT_BYTES - rules->all) / rules->all_holes)
        return err_set(err, ERR_INVALID, "makes a command with input of more than %u bytes",
                       MAX_ELEMENT_BYTES);
    return true;
}

/* ---- one element's task ---- */

struct maker {
    const struct template_item *item;
    struct arena *a;
    struct buf text; /* of one argument */
};

/* The text with the item put in, terminated; ptr NULL when there is no room. */
static struct slice make_text(struct maker *m, struct slice text)
{
    buf_clear(&m->text);
    template_put(text, m->item, &m->text);
    if (!buf_ok(&m->text))
        return (struct slice){0};
    struct slice made = {m->text.len == 0 ? "" : m->text.ptr, m->text.len};
    made.ptr = arena_dup(m->a, made);
    return made;
}

static bool make_texts(struct maker *m, struct slice *texts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (memchr(texts[i].ptr, '{', texts[i].len) == NULL)
            continue;
        texts[i] = make_text(m, texts[i]);
        if (texts[i].ptr == NULL)
            return false;
    }
    return true;
}

static bool append_value(struct maker *m, struct slice value, struct slice *ret)
{
    buf_clear(&m->text);
    template_put_value(value, &m->text);
    struct slice text = {m->text.len == 0 ? "" : m->text.ptr, m->text.len};
    *ret = (struct slice){buf_ok(&m->text) ? arena_dup(m->a, text) : NULL, text.len};
    return ret->ptr != NULL;
}

/* The item, or with star its elements, behind the arguments. */
static bool append_args(struct maker *m, struct task *task)
{
    size_t room = MIN((size_t)task->n_argv + m->item->raw.len, (size_t)TASK_MAX_ARGS);
    struct slice *argv = arena_alloc(m->a, room * sizeof *argv);
    struct json_iter it;
    struct slice element;
    if (argv == NULL)
        return false;
    memcpy(argv, task->argv, task->n_argv * sizeof *argv);
    task->argv = argv;
    if (!m->item->star)
        return append_value(m, m->item->raw, &argv[task->n_argv++]);
    json_iter_init(&it, m->item->raw);
    while (json_next_element(&it, &element)) {
        if (task->n_argv == room || !append_value(m, element, &argv[task->n_argv++]))
            return false;
    }
    return true;
}

/* The template's own stay as they are. */
static bool copy_texts(struct maker *m, struct slice **texts, uint32_t n)
{
    if (n == 0)
        return true;
    struct slice *copy = arena_alloc(m->a, n * sizeof *copy);
    if (copy == NULL)
        return false;
    *texts = memcpy(copy, *texts, n * sizeof *copy);
    return true;
}

static bool fill_in(struct maker *m, struct task *task, bool appends)
{
    if (appends)
        return append_args(m, task);
    if (!copy_texts(m, &task->argv, task->n_argv) || !copy_texts(m, &task->env, task->n_env) ||
        !make_texts(m, task->argv, task->n_argv) || !make_texts(m, task->env, task->n_env))
        return false;
    if (task->stdin_bytes.len > 0)
        task->stdin_bytes = make_text(m, task->stdin_bytes);
    return task->stdin_bytes.len == 0 || task->stdin_bytes.ptr != NULL;
}

static bool item_in(const struct element *element, const struct template_head *head,
                    struct arena *a, struct task *task, struct err *err)
{
    struct template_item item = {
        .raw = element->item, .index = element->index, .star = head->star != 0};
    struct maker m = {.item = &item, .a = a};
    buf_init(&m.text, MAX_ELEMENT_BYTES);
    bool filled = fill_in(&m, task, head->appends != 0);
    buf_release(&m.text);
    return filled || err_set(err, ERR_TOO_LARGE, "The item makes the command too large");
}

/* The JSON of a call is its input, and nothing else of its task depends on the item. */
static bool read_lead(struct arena *a, struct element_maker *maker, struct err *err)
{
    AUTO_BUF struct buf lead = {0};
    struct task task = maker->task;
    if (!maker->call.takes_json || task.n_files > 0 || task.n_outputs > 0)
        return true;
    buf_init(&lead, 2 * MAX_ELEMENT_BYTES);
    task.stdin_bytes = (struct slice){0};
    if (!task_encode_lead(&task, &lead, err))
        return false;
    maker->lead = (struct slice){arena_dup(a, buf_slice(&lead)), lead.len};
    return maker->lead.ptr != NULL ||
           err_set(err, ERR_TOO_LARGE, "The template takes too much memory");
}

bool element_read(struct slice template_bytes, struct arena *a, struct element_maker *ret,
                  struct err *err)
{
    struct slice stored;
    *ret = (struct element_maker){0};
    if (!template_open(template_bytes, &ret->head, &stored, err) ||
        !task_decode(stored, a, &ret->task, err))
        return false;
    ret->call.star = ret->head.star != 0;
    return ret->head.call_bytes == 0 ||
           (element_call_read(template_call(template_bytes, &ret->head), &ret->task, a, &ret->call,
                              err) &&
            read_lead(a, ret, err));
}

const struct element_maker *element_recall(struct element_memo *memo, struct slice template_bytes,
                                           struct err *err)
{
    if (memo->bytes.ptr != NULL && slice_eq(memo->bytes, template_bytes))
        return &memo->maker;
    element_forget(memo);
    arena_init(&memo->arena, 2 * ELEMENT_MEMORY);
    struct slice copy = {arena_dup(&memo->arena, template_bytes), template_bytes.len};
    if (copy.ptr == NULL)
        (void)err_set(err, ERR_TOO_LARGE, "The template takes too much memory");
    if (copy.ptr == NULL || !element_read(copy, &memo->arena, &memo->maker, err)) {
        element_forget(memo);
        return NULL;
    }
    memo->bytes = copy;
    memo->brief_key = brief_key(copy);
    return &memo->maker;
}

void element_forget(struct element_memo *memo)
{
    arena_release(&memo->arena);
    *memo = (struct element_memo){0};
}

static bool make_call(const struct element_maker *maker, struct slice item, struct arena *a,
                      struct slice *ret, struct err *err)
{
    AUTO_BUF struct buf json = {0};
    if (!element_call_json(&maker->call, item, &json, err))
        return false;
    char *wire = arena_alloc(a, maker->lead.len + TASK_INPUT_HEAD + json.len);
    if (wire == NULL)
        return err_set(err, ERR_TOO_LARGE, "The arguments take too much memory");
    *ret = (struct slice){wire, task_put_input(wire, maker->lead, buf_slice(&json))};
    return true;
}

bool element_make(const struct element_maker *maker, const struct element *element, struct arena *a,
                  struct slice *ret, struct err *err)
{
    AUTO_ARENA struct arena scratch = {0};
    AUTO_BUF struct buf wire = {0};
    if (maker->lead.ptr != NULL && element->deadline_us == 0)
        return make_call(maker, element->item, a, ret, err);
    struct task task = maker->task;
    arena_init(&scratch, ELEMENT_MEMORY);
    buf_init(&wire, 2 * MAX_ELEMENT_BYTES);
    if (maker->head.call_bytes > 0
            ? !element_call_fill(&maker->call, element->item, &scratch, &task, err)
            : !item_in(element, &maker->head, &scratch, &task, err))
        return false;
    task.deadline_us = element->deadline_us;
    if (!task_encode(&task, &wire, err))
        return false;
    ret->len = wire.len;
    ret->ptr = arena_dup(a, buf_slice(&wire));
    return ret->ptr != NULL || err_set(err, ERR_TOO_LARGE, "The item makes the command too large");
}

/* SPDX-License-Identifier: MIT */
/* Calls of registered functions: who is called, with what, and what the function says about a job
 * that the job does not say itself. */
#include "api/codec_read.h"

#include "service/base/config_option.h"
#include "service/element_call.h"

#define MAX_CALL_JSON (4u << 20)

/* ------------------------------------------------------------------------------------------------
 * members */

static bool unknown_function(struct job_reader *r, const char *name, const char *pointer)
{
    const struct function_list *list = &r->cfg->functions;
    const char *near = NULL;
    for (uint32_t i = 0; i < list->n; i++)
        near = config_nearest(name, near, list->items[i].name);
    if (near != NULL)
        return err_at(r->err, ERR_INVALID, pointer,
                      "There is no function \"%.60s\"; did you mean \"%s\"?", name, near);
    return err_at(r->err, ERR_INVALID, pointer,
                  "There is no function \"%.60s\"; GET /v1/functions lists what there is", name);
}

bool codec_function(struct job_reader *r, struct slice value, const char *pointer)
{
    struct slice name = {0};
    if (!codec_text(r, value, pointer, &name))
        return false;
    r->function = function_find(&r->cfg->functions, name);
    if (r->function != NULL)
        return true;
    char text[61];
    size_t len = MIN(name.len, sizeof text - 1);
    memcpy(text, name.ptr, len);
    while (len > 0 && !text_is_utf8((struct slice){text, len}))
        len--; /* the cut went through a character */
    text[len] = '\0';
    return unknown_function(r, text, pointer);
}

bool codec_args(struct job_reader *r, struct slice value, const char *pointer)
{
    r->args = value;
    return json_type_of(value) == JSON_ARRAY ||
           codec_wrong_type(r->err, pointer, "an array: the arguments in their order");
}

bool codec_kwargs(struct job_reader *r, struct slice value, const char *pointer)
{
    r->kwargs = value;
    return json_type_of(value) == JSON_OBJECT ||
           codec_wrong_type(r->err, pointer, "an object: arguments by their names");
}

/* ------------------------------------------------------------------------------------------------
 * what the function says */

static bool take_member(struct job_reader *r, struct slice key, struct slice value)
{
    return value.ptr == NULL || codec_job_names(r, key) || codec_job_member(r, key, value);
}

/* Those that the job names stand above: they are read once more. */
static bool take_limits(struct job_reader *r, struct slice limits)
{
    struct slice own = r->limits;
    return limits.ptr == NULL ||
           (codec_job_member(r, SLICE_LIT("limits"), limits) &&
            (own.ptr == NULL || codec_job_member(r, SLICE_LIT("limits"), own)));
}

static struct slice variable_name(struct slice pair)
{
    const char *equals = memchr(pair.ptr, '=', pair.len);
    return (struct slice){pair.ptr, (size_t)(equals - pair.ptr)};
}

static bool has_variable(const struct job_spec *spec, struct slice name)
{
    for (uint32_t i = 0; i < spec->n_env; i++) {
        if (slice_eq(variable_name(spec->env[i]), name))
            return true;
    }
    return false;
}

/* A variable of the job's stands above one of the function's. */
static bool take_env(struct job_reader *r)
{
    struct job_spec *spec = r->spec;
    const struct function *f = r->function;
    if (f->n_env == 0)
        return true;
    struct slice *env = arena_alloc(r->a, (f->n_env + spec->n_env) * sizeof *env);
    uint32_t n = spec->n_env;
    if (env == NULL)
        return codec_arena_full(r->err);
    if (n > 0)
        memcpy(env, spec->env, n * sizeof *env);
    for (uint32_t i = 0; i < f->n_env; i++) {
        if (!has_variable(spec, variable_name(f->env[i])))
            env[n++] = f->env[i];
    }
    spec->env = env;
    spec->n_env = n;
    codec_job_has(r, "env");
    return true;
}

/* What belongs to a runner's process is the function's to say. */
static bool check_limits_of_call(const struct job_reader *r)
{
    struct json_iter it;
    struct slice key, value;
    if (r->limits.ptr == NULL)
        return true;
    json_iter_init(&it, r->limits);
    while (json_next_member(&it, &key, &value)) {
        if (!slice_is(key, "output") && !slice_is(key, "on_output"))
            return err_at(r->err, ERR_INVALID, "/limits",
                          "of a call of a runner are \"output\" and \"on_output\" alone; its "
                          "configuration sets the others");
    }
    return true;
}

/* A pool of its own, with the queue of its name. */
static bool has_pool(const struct function *f)
{
    return f->pool != NULL && strcmp(f->pool, DEFAULT_POOL) != 0;
}

const char *codec_queue_of(const struct function *f)
{
    return has_pool(f) ? f->pool : f->queue != NULL ? f->queue : "default";
}

bool codec_take_function(struct job_reader *r)
{
    const struct function *f = r->function;
    if (f == NULL)
        return true;
    if (has_pool(f) && !r->is_stage && !codec_job_names(r, SLICE_LIT("queue")) &&
        !codec_job_names(r, SLICE_LIT("pool")))
        r->spec->pool = slice_of(f->pool);
    else if (f->queue != NULL && !r->is_stage && !codec_job_names(r, SLICE_LIT("queue")))
        r->spec->queue = slice_of(f->queue);
    const bool is_runner = f->kind == FUNCTION_RUNNER; /* these are its own, not a call's */
    if (f->cwd != NULL && !is_runner && !codec_job_names(r, SLICE_LIT("cwd"))) {
        r->spec->cwd = slice_of(f->cwd);
        r->has_cwd = true;
        codec_job_has(r, "cwd");
    }
    return (is_runner ? check_limits_of_call(r) : take_env(r)) &&
           take_member(r, SLICE_LIT("timeout"), f->timeout) &&
           (r->is_stage || take_member(r, SLICE_LIT("retry"), f->retry)) &&
           take_limits(r, f->limits);
}

/* ------------------------------------------------------------------------------------------------
 * arguments */

static bool belongs_to_function(const struct job_reader *r, struct slice value, const char *pointer)
{
    return value.ptr == NULL ||
           err_at(r->err, ERR_INVALID, pointer, "is for a \"function\", which is not named");
}

/* Who reads of an argument also reads whose it is and where the others are described. */
static bool refuse_arguments(const struct job_reader *r)
{
    struct err why = *r->err;
    if (why.code == ERR_INVALID)
        (void)err_at(r->err, ERR_INVALID, why.pointer,
                     "%.140s; GET /v1/functions says what \"%s\" takes", why.detail,
                     r->function->name);
    return false;
}

static bool bind(struct job_reader *r)
{
    const struct call call = {.args = r->args, .kwargs = r->kwargs};
    const struct function *f = r->function;
    struct call_command command = {f->argv, f->n_argv};
    struct call_values values;
    if (!call_bind(&call, &f->params, &values, r->err))
        return refuse_arguments(r);
    if (!call_expand(&command, &f->params, &values, r->a, r->err))
        return r->err->code != ERR_INVALID ||
               err_at(r->err, ERR_INVALID, "/args", "%s", r->err->detail);
    r->spec->argv = command.argv;
    r->spec->n_argv = command.n_argv;
    return true;
}

static bool bind_json(struct job_reader *r)
{
    const struct call call = {.args = r->args, .kwargs = r->kwargs};
    const struct function *f = r->function;
    AUTO_BUF struct buf json = {0};
    buf_init(&json, MAX_CALL_JSON);
    if (!call_json(&call, f->args.ptr == NULL ? NULL : &f->params, &json, r->err))
        return refuse_arguments(r);
    r->spec->stdin_bytes = (struct slice){arena_dup(r->a, buf_slice(&json)), json.len};
    return r->spec->stdin_bytes.ptr != NULL || codec_arena_full(r->err);
}

/* What only a process of its own could have. */
static bool has_none_of_a_process(const struct job_reader *r)
{
    static const char *const members[] = {"env",          "cwd",        "stdin",
                                          "stdin_base64", "stdin_from", "files"};
    const char *kind = function_kind_name(r->function->kind);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        char pointer[80];
        if (!codec_job_names(r, slice_of(members[i])))
            continue;
        (void)snprintf(pointer, sizeof pointer, "/%s", members[i]);
        return err_at(r->err, ERR_INVALID, pointer,
                      "is nothing that a call of a %s function has: it gets its arguments alone",
                      kind);
    }
    return !r->is_stage || err_at(r->err, ERR_INVALID, "/function",
                                  "is of the kind %s: it has no standard input and output to be "
                                  "joined to others",
                                  kind);
}

/* A native function runs inside of a worker: it has no process to which these could belong. */
static bool check_native(const struct job_reader *r)
{
    const struct job_spec *spec = r->spec;
    return has_none_of_a_process(r) &&
           ((spec->limit_cpu_us == 0 && spec->limit_file_size == 0 && spec->limit_processes == 0 &&
             spec->limit_open_files == 0) ||
            err_at(r->err, ERR_INVALID, "/limits",
                   "of a native function are \"memory\" and \"output\" alone"));
}

/* A runner has a process, but many calls share it. */
static bool check_runner(const struct job_reader *r)
{
    return has_none_of_a_process(r) &&
           (r->spec->limit_cpu_us == 0 ||
            err_at(r->err, ERR_INVALID, "/limits/cpu",
                   "cannot be kept for a runner, whose calls share one process"));
}

static bool check_kind(const struct job_reader *r)
{
    switch (r->function->kind) {
    case FUNCTION_NATIVE: return check_native(r);
    case FUNCTION_RUNNER: return check_runner(r);
    case FUNCTION_COMMAND:
    case FUNCTION_KIND_COUNT: break;
    }
    return true;
}

/* What is called by its name, with the arguments as its input. */
static bool take_by_name(struct job_reader *r)
{
    struct slice *argv = arena_alloc(r->a, sizeof *argv);
    if (!check_kind(r))
        return false;
    if (argv == NULL)
        return codec_arena_full(r->err);
    argv[0] = slice_of(r->function->name);
    r->spec->kind = r->function->kind;
    r->spec->is_pure = r->function->is_pure;
    r->spec->needs_runner = r->function->kind == FUNCTION_RUNNER && r->function->argv == NULL;
    r->spec->argv = argv;
    r->spec->n_argv = 1;
    r->spec->cwd = (struct slice){0};
    if (r->spec->result != RESULT_NONE)
        r->spec->result = RESULT_VALUE;
    return true;
}

static bool keep_for_elements(struct job_reader *r)
{
    const struct function *f = r->function;
    const struct element_call call = {.args = r->args, .kwargs = r->kwargs};
    if (f->kind == FUNCTION_COMMAND) {
        r->spec->argv = f->argv;
        r->spec->n_argv = f->n_argv;
    }
    return element_call_write(&call, f->args, r->a, &r->spec->call, r->err);
}

bool codec_function_end(struct job_reader *r)
{
    if (r->function == NULL)
        return belongs_to_function(r, r->args, "/args") &&
               belongs_to_function(r, r->kwargs, "/kwargs");
    if (r->has_command)
        return err_at(r->err, ERR_INVALID, "/function",
                      "\"command\" and \"function\" must not come together");
    r->has_command = true;
    const bool is_command = r->function->kind == FUNCTION_COMMAND;
    if (!is_command && !take_by_name(r))
        return false;
    if (r->is_template)
        return keep_for_elements(r);
    return is_command ? bind(r) : bind_json(r);
}

/* ------------------------------------------------------------------------------------------------
 * at the start */

static bool check_env(const struct function *f, struct err *err)
{
    for (uint32_t i = 0; i < f->n_env; i++) {
        struct slice name = variable_name(f->env[i]);
        if (!codec_is_env_name(name))
            return err_at(err, ERR_INVALID, "/env",
                          "%.*s: names are letters, digits and \"_\", begin with no digit, and not "
                          "with GANGER_",
                          (int)MIN(name.len, 60u), name.ptr);
    }
    return true;
}

static bool check_queue(const struct function *f, struct err *err)
{
    return f->queue == NULL || !has_pool(f) || strcmp(f->queue, f->pool) == 0 ||
           err_at(err, ERR_INVALID, "/queue",
                  "does not go with the pool %s, which has its own queue", f->pool);
}

static bool check_function(const struct config *cfg, const struct function *f, struct err *err)
{
    AUTO_ARENA struct arena a = {0};
    struct job_spec spec;
    struct job_reader r = {.cfg = cfg, .a = &a, .spec = &spec, .err = err, .function = f};
    arena_init(&a, 1u << 20);
    codec_job_begin(&r);
    return check_env(f, err) && check_queue(f, err) && codec_take_function(&r) && check_kind(&r);
}

bool codec_check_functions(const struct config *cfg, struct err *err)
{
    for (uint32_t i = 0; i < cfg->functions.n; i++) {
        const struct function *f = &cfg->functions.items[i];
        struct err why = {0};
        if (!check_function(cfg, f, &why))
            return err_set(err, ERR_INVALID, "line %u: the function %s: %s: %s", f->line, f->name,
                           why.pointer[0] == '/' ? why.pointer + 1 : "it", why.detail);
    }
    return true;
}

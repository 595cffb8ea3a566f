/* SPDX-License-Identifier: MIT */
/* Bodies about many jobs, calls of functions and pools: the first byte says which reader gets the
 * rest. What is refused has a reason; what is accepted lies within its limits, and each task it
 * describes can be made. */
#include "api/codec_batch.h"
#include "api/codec_bulk.h"
#include "api/codec_graph.h"
#include "api/codec_pipeline.h"
#include "api/codec_pool.h"
#include "api/codec_wait.h"
#include "pool/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define INDEX 123456789012

struct body {
    struct slice text;
    struct arena *a;
    struct err err;
};

static const char registry[] =
    "[callbacks]\n"
    "hosts = h\n"
    "[function text]\n"
    "kind = command\n"
    "command = [\"p\", \"{n}\", \"-{s}-\", \"{1}\"]\n"
    "args = [{\"name\": \"n\", \"type\": \"integer\", \"minimum\": -5, \"maximum\": 60},"
    " {\"name\": \"s\", \"type\": \"string\", \"maxLength\": 9, \"default\": \"x\"}]\n"
    "env = {\"K\": \"v\"}\n"
    "retry = {\"max_attempts\": 2}\n"
    "[function any]\n"
    "kind = command\n"
    "command = [\"q\", \"{b}\", \"{a}\"]\n"
    "[function loaded]\n"
    "kind = native\n"
    "module = /a.so\n"
    "args = [{\"name\": \"o\", \"type\": \"object\"}, {\"name\": \"l\", \"type\": \"array\","
    " \"default\": [1]}, {\"name\": \"e\", \"enum\": [1, \"a\", null], \"default\": 1}]\n"
    "[function free]\n"
    "kind = native\n"
    "module = /a.so\n"
    "[function warm]\n"
    "kind = runner\n"
    "runner = [\"r\"]\n";

static const struct config *cfg;

/* As the service starts. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err err = {0};
    (void)argc;
    (void)argv;
    const struct config_set *set = config_parse_text(SLICE_LIT(registry), &err);
    if (set == NULL || !codec_check_functions(config_get(set), &err)) {
        (void)fprintf(stderr, "the registry of this program: %s\n", err.detail);
        abort();
    }
    cfg = config_get(set);
    return 0;
}

static struct job_source source_of(const struct body *b)
{
    return (struct job_source){.body = b->text, .cfg = cfg, .a = b->a};
}

static void check_refusal(const struct err *err)
{
    PRE(err->code != ERR_NONE && err->detail[0] != '\0' && err_status(err->code) < 500);
}

/* What the rules let in can be run. */
static void check_item(const struct batch_request *req, struct slice item)
{
    const struct element element = {.item = item, .index = INDEX};
    const struct template_item in = {.raw = item, .index = INDEX, .star = req->star};
    struct arena a;
    struct err err = {0};
    struct element_maker maker;
    struct slice wire;
    struct task task;
    arena_init(&a, 32u << 20);
    PRE(element_read(req->template_bytes, &a, &maker, &err));
    PRE(element_make(&maker, &element, &a, &wire, &err));
    PRE(task_decode(wire, &a, &task, &err));
    char *name = template_name(req->spec.name, &in, &a);
    PRE(req->spec.name.ptr == NULL || (name != NULL && strlen(name) <= TEMPLATE_MAX_NAME));
    arena_release(&a);
}

static bool read_batch(struct body *b)
{
    struct batch_request req;
    const struct job_source source = source_of(b);
    if (!codec_read_batch(&source, false, &req, &b->err))
        return false;
    PRE(req.chunksize >= 0 && req.max_parallel >= 0 && req.max_failures >= 0);
    for (uint32_t i = 0; i < MIN(req.n_items, 20u); i++)
        check_item(&req, req.items[i]);
    return true;
}

/* Lines: the batch without items, then items. */
static bool read_upload(struct body *b)
{
    struct batch_request req;
    struct slice rest = b->text, item;
    const char *end = rest.len == 0 ? NULL : memchr(rest.ptr, '\n', rest.len);
    b->text.len = end == NULL ? rest.len : (size_t)(end - rest.ptr);
    const struct job_source source = source_of(b);
    if (!codec_read_batch(&source, true, &req, &b->err))
        return false;
    for (int n = 0; end != NULL && n < 20; n++) {
        rest = (struct slice){end + 1, rest.len - (size_t)(end + 1 - rest.ptr)};
        if (rest.len == 0)
            break;
        end = memchr(rest.ptr, '\n', rest.len);
        const struct slice line = {rest.ptr, end == NULL ? rest.len : (size_t)(end - rest.ptr)};
        if (!codec_read_item(line, &req.rules, &item, &b->err))
            return false;
        check_item(&req, item);
    }
    return true;
}

static void check_jobs(struct body *b, struct submit_item *items, uint32_t n)
{
    for (uint32_t i = 0; i < MIN(n, 20u); i++) {
        struct err err = {0};
        PRE(items[i].spec.n_argv >= 1 || items[i].spec.kind != FUNCTION_COMMAND);
        PRE(command_prepare(&items[i], 1, b->a, &err) || err.code == ERR_TOO_LARGE);
    }
}

static bool read_graph(struct body *b)
{
    struct graph_request req;
    const struct job_source source = source_of(b);
    (void)codec_is_graph(b->text);
    if (!codec_read_graph(&source, &req, &b->err)) {
        PRE(b->err.code != ERR_DEPENDENCY_CYCLE || req.n_cycle >= 1);
        return false;
    }
    PRE(req.n >= 1 && req.n <= MAX_GRAPH_JOBS);
    check_jobs(b, req.items, req.n);
    return true;
}

static bool read_pipeline(struct body *b)
{
    struct pipeline_request req;
    const struct job_source source = source_of(b);
    if (!codec_read_pipeline(&source, &req, &b->err))
        return false;
    PRE(req.n >= 1 && req.n <= 1024);
    check_jobs(b, req.stages, req.n);
    return true;
}

static bool read_bulk(struct body *b)
{
    bool ok = true;
    for (int verb = 0; verb < BULK_VERB_COUNT; verb++) {
        struct bulk_request req = {0};
        b->err = (struct err){0};
        ok = codec_read_bulk(b->text, (enum bulk_verb)verb, b->a, &req, &b->err);
    }
    return ok;
}

static bool read_wait(struct body *b)
{
    struct wait_request req;
    if (codec_read_wait(b->text, WAIT_EACH, b->a, &req, &b->err))
        PRE(req.n <= MAX_WAIT_JOBS);
    b->err = (struct err){0};
    if (!codec_read_wait(b->text, WAIT_UNTIL, b->a, &req, &b->err))
        return false;
    PRE(req.n <= MAX_WAIT_JOBS && req.when <= FIRST_EXCEPTION);
    return true;
}

static bool read_queue(struct body *b)
{
    struct queue_change change = {0};
    if (!codec_read_queue(b->text, cfg, b->a, &change, &b->err))
        return false;
    PRE(change.to.max_length >= 0 && (change.to.rate_n == 0 || change.to.rate_us > 0));
    return true;
}

static bool read_change(struct body *b)
{
    struct change_request req = {0};
    return codec_read_change(b->text, cfg, b->a, &req, &b->err);
}

static bool read_pick(struct body *b)
{
    struct pick_request req;
    if (!codec_read_pick(b->text, true, b->a, &req, &b->err))
        return false;
    for (uint32_t i = 0; i < req.n_ranges; i++) {
        const struct index_range *range = &req.ranges[i];
        PRE(range->first >= 0 && range->n >= 1 && range->first + range->n - 1 <= req.last);
    }
    return true;
}

static bool read_job(struct body *b)
{
    struct submit_item item = {0};
    const struct job_source source = source_of(b);
    if (!codec_read_job_from(&source, &item.spec, &b->err))
        return false;
    check_jobs(b, &item, 1);
    return true;
}

static bool read_pool(struct body *b)
{
    struct pool_change change = {0};
    return codec_read_pool(b->text, &change, &b->err);
}

static bool read_new_pool(struct body *b)
{
    struct pool_change change = {0};
    if (!codec_read_new_pool(b->text, &change, &b->err))
        return false;
    PRE(change.name.len > 0 && change.to.size >= 1);
    return true;
}

static bool read_stop(struct body *b)
{
    struct pool_stop stop;
    struct signal_request request;
    (void)!codec_read_pool_close(b->text, &stop, &b->err);
    b->err = (struct err){0};
    (void)!codec_read_pool_stop(b->text, &stop, &b->err);
    b->err = (struct err){0};
    return codec_read_signal(b->text, &request, &b->err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const readers[])(struct body *) = {
        read_batch,  read_upload, read_graph, read_pipeline, read_bulk,     read_wait, read_queue,
        read_change, read_pick,   read_job,   read_pool,     read_new_pool, read_stop,
    };
    struct arena a;
    if (size == 0)
        return 0;
    /* An exact copy: reading one byte behind the body is seen. */
    AUTO_FREE char *copy = must_alloc(size);
    memcpy(copy, data + 1, size - 1);
    AUTO_FREE char *text = realloc(copy, MAX(size - 1, 1u));
    copy = NULL;
    arena_init(&a, 8u << 20);
    struct body b = {.text = {text, size - 1}, .a = &a};
    if (!readers[(data[0] - 'a') % ARRAY_LEN(readers)](&b))
        check_refusal(&b.err);
    arena_release(&a);
    return 0;
}

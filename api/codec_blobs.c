/* SPDX-License-Identifier: MIT */
/* What a job takes from blobs. */
#include "api/codec_read.h"
#include "service/base/blob.h"

#define MAX_INPUT_NAME 64u

bool codec_is_blob(struct slice value)
{
    struct slice blob;
    return json_type_of(value) == JSON_OBJECT && json_find(value, "blob", &blob);
}

bool codec_blob(struct job_reader *r, struct slice value, const char *pointer,
                struct job_input *input)
{
    struct json_iter it;
    struct slice key, id = {0};
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer, "an object such as {\"blob\": \"<id>\"}");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &id)) {
        if (!json_string_eq(key, "blob"))
            return err_at(r->err, ERR_INVALID, pointer, "has \"blob\" as its only member");
    }
    if (id.ptr == NULL || json_type_of(id) != JSON_STRING ||
        !job_id_parse(codec_inside(id), &input->blob))
        return err_at(r->err, ERR_INVALID, pointer, "must name a \"blob\" by its id");
    input->stream = INPUT_OF_BLOB;
    input->pointer = arena_dup(r->a, slice_of(pointer));
    return input->pointer != NULL || codec_arena_full(r->err);
}

/* It names a file and, with what no variable can have as "_", a variable: both are one thing. */
static bool is_input_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        if (!text_is_token((struct slice){&c, 1}, 1))
            return false;
    }
    return name.len > 0 && name.len <= MAX_INPUT_NAME && text_is_file_name(name);
}

static bool same_variable(struct slice a, struct slice b)
{
    for (size_t i = 0; i < a.len && a.len == b.len; i++) {
        const bool is_word = strchr("._-", a.ptr[i]) == NULL && strchr("._-", b.ptr[i]) == NULL;
        const bool is_other = strchr("._-", a.ptr[i]) != NULL && strchr("._-", b.ptr[i]) != NULL;
        if (is_word ? a.ptr[i] != b.ptr[i] : !is_other)
            return false;
    }
    return a.len == b.len;
}

static bool read_input(struct job_reader *r, struct slice key, struct slice value,
                       const char *pointer)
{
    struct job_spec *spec = r->spec;
    uint32_t n_blobs = 0;
    if (!is_input_name(key))
        return err_at(r->err, ERR_INVALID, pointer,
                      "names of inputs are 1 to %u letters, digits, \"_\", \".\" or \"-\"",
                      MAX_INPUT_NAME);
    for (uint32_t i = 0; i < spec->n_inputs; i++) {
        const struct job_input *other = &spec->inputs[i];
        if (other->stream != INPUT_OF_BLOB || other->kind != JOB_INPUT_FILE)
            continue;
        n_blobs++;
        if (same_variable(other->name, key))
            return err_at(r->err, ERR_INVALID, pointer,
                          "has the same variable GANGER_INPUT_… as another one");
    }
    /* One place is left for the standard input. */
    if (n_blobs == MAX_JOB_BLOBS - 1)
        return err_at(r->err, ERR_INVALID, pointer, "is one too many: a job has at most %d",
                      MAX_JOB_BLOBS - 1);
    struct job_input *input = codec_add_input(r, pointer);
    if (input == NULL)
        return false;
    char *name = arena_dup(r->a, key);
    *input = (struct job_input){.kind = JOB_INPUT_FILE, .name = {name, key.len}};
    if (name == NULL)
        return codec_arena_full(r->err);
    return codec_blob(r, value, pointer, input);
}

bool codec_inputs(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, input;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer,
                                "an object: names, each with {\"blob\": \"<id>\"}");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &input)) {
        char place[80];
        codec_pointer(pointer, key, place);
        if (!read_input(r, key, input, place))
            return false;
    }
    return true;
}

static bool add_output(struct job_reader *r, struct slice value, const char *pointer)
{
    struct job_spec *spec = r->spec;
    struct slice *name = &spec->outputs[spec->n_outputs];
    char place[80];
    (void)snprintf(place, sizeof place, "%s/%u", pointer, spec->n_outputs);
    if (!codec_text(r, value, place, name))
        return false;
    if (!blob_is_output_name(*name))
        return err_at(
            r->err, ERR_INVALID, place,
            "must be the path of a file below the job's directory: 1 to %d bytes, without "
            "empty, \".\" and \"..\" parts",
            MAX_OUTPUT_NAME);
    for (uint32_t i = 0; i < spec->n_outputs; i++) {
        if (slice_eq(spec->outputs[i], *name))
            return err_at(r->err, ERR_INVALID, place, "is named twice");
    }
    spec->n_outputs++;
    return true;
}

bool codec_outputs(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice name;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_ARRAY)
        return codec_wrong_type(r->err, pointer, "an array of paths");
    json_iter_init(&it, value);
    while (json_next_element(&it, &name))
        n++;
    if (n > MAX_JOB_OUTPUTS)
        return err_at(r->err, ERR_INVALID, pointer, "has more than %d files", MAX_JOB_OUTPUTS);
    r->spec->n_outputs = 0;
    r->spec->outputs = arena_alloc(r->a, (n + 1) * sizeof *r->spec->outputs);
    if (r->spec->outputs == NULL)
        return codec_arena_full(r->err);
    json_iter_init(&it, value);
    while (json_next_element(&it, &name)) {
        if (!add_output(r, name, pointer))
            return false;
    }
    return true;
}

/* They are of the directory that is made for the job and goes with it. */
bool codec_outputs_end(struct job_reader *r)
{
    if (r->spec->n_outputs == 0)
        return true;
    if (r->has_cwd)
        return err_at(r->err, ERR_INVALID, "/outputs",
                      "are files of the job's own directory; they must not come with \"cwd\"");
    if (r->spec->kind != FUNCTION_COMMAND)
        return err_at(r->err, ERR_INVALID, "/outputs",
                      "are files of a command's directory; this function has none");
    r->spec->cwd = (struct slice){0}; /* also where the service has another default */
    return true;
}

/* SPDX-License-Identifier: MIT */
/* What a job takes from the outputs of others: its standard input, its files, its arguments. Each
 * of them makes the other job a parent. */
#include "api/codec_read.h"

#define PLACEHOLDER "{result:"

struct job_input *codec_add_input(struct job_reader *r, const char *pointer)
{
    struct job_spec *spec = r->spec;
    if (spec->n_inputs + spec->n_files == MAX_JOB_INPUTS) {
        (void)err_at(r->err, ERR_INVALID, pointer, "a job has at most %d files and other inputs",
                     MAX_JOB_INPUTS);
        return NULL;
    }
    if (spec->n_inputs == r->cap_inputs) {
        uint32_t cap = MAX(r->cap_inputs * 2, 4u);
        struct job_input *more = arena_alloc(r->a, cap * sizeof *more);
        if (more == NULL) {
            (void)codec_arena_full(r->err);
            return NULL;
        }
        if (spec->n_inputs > 0)
            memcpy(more, spec->inputs, spec->n_inputs * sizeof *more);
        spec->inputs = more;
        r->cap_inputs = cap;
    }
    return &spec->inputs[spec->n_inputs++];
}

static bool read_stream(struct job_reader *r, struct slice value, const char *pointer, uint8_t *ret)
{
    bool is_stderr = json_type_of(value) == JSON_STRING && json_string_eq(value, "stderr");
    *ret = is_stderr;
    return is_stderr || (json_type_of(value) == JSON_STRING && json_string_eq(value, "stdout")) ||
           codec_wrong_type(r->err, pointer, "\"stdout\" or \"stderr\"");
}

/* {"job": …, "stream": …}: who it is about becomes a parent. */
static bool read_source(struct job_reader *r, struct slice value, const char *pointer,
                        struct job_input *input)
{
    struct json_iter it;
    struct slice key, member;
    bool has_job = false;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer, "an object such as {\"job\": \"<id>\"}");
    struct job_parent *parent = codec_add_parents(r, 1);
    if (parent == NULL)
        return false;
    input->parent = r->spec->n_parents - 1;
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &member)) {
        char place[128];
        (void)snprintf(place, sizeof place, "%s/%.*s", pointer, (int)MIN(key.len, 20u), key.ptr);
        if (json_string_eq(key, "job")) {
            if (!codec_parent(r, member, place, parent))
                return false;
            parent->only_job = true;
            has_job = true;
        } else if (!json_string_eq(key, "stream")) {
            return err_at(r->err, ERR_INVALID, place,
                          "is not a member; \"job\" and \"stream\" are");
        } else if (!read_stream(r, member, place, &input->stream)) {
            return false;
        }
    }
    return has_job || err_at(r->err, ERR_INVALID, pointer, "must name a \"job\"");
}

bool codec_stdin_from(struct job_reader *r, struct slice value, const char *pointer)
{
    if (!codec_only_one_stdin(r, pointer))
        return false;
    struct job_input *input = codec_add_input(r, pointer);
    if (input == NULL)
        return false;
    *input = (struct job_input){.kind = JOB_INPUT_STDIN};
    if (codec_is_blob(value))
        return codec_blob(r, value, pointer, input);
    return read_source(r, value, pointer, input);
}

/* ------------------------------------------------------------------------------------------------
 * files */

static bool read_file_name(struct job_reader *r, struct slice key, const char *pointer,
                           struct slice *ret)
{
    ret->ptr = json_string_dup(key, r->a, &ret->len);
    if (ret->ptr == NULL)
        return codec_arena_full(r->err);
    return text_is_file_name(*ret) ||
           err_at(r->err, ERR_INVALID, pointer,
                  "a file's name has 1 to 255 bytes and no \"/\", and is not \".\" or \"..\"");
}

static bool read_file(struct job_reader *r, struct slice key, struct slice value,
                      const char *pointer)
{
    struct job_spec *spec = r->spec;
    struct slice name = {0};
    if (!read_file_name(r, key, pointer, &name))
        return false;
    if (json_type_of(value) == JSON_STRING) {
        struct job_file *file = &spec->files[spec->n_files++];
        file->name = name;
        return codec_text(r, value, pointer, &file->bytes);
    }
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer,
                                "the text of the file, or an object such as {\"job\": \"<id>\"}");
    if (codec_is_blob(value))
        return err_at(r->err, ERR_INVALID, pointer,
                      "is text or the output of a job; blobs are named in \"inputs\"");
    struct job_input *input = codec_add_input(r, pointer);
    if (input == NULL)
        return false;
    *input = (struct job_input){.kind = JOB_INPUT_FILE, .name = name};
    return read_source(r, value, pointer, input);
}

bool codec_files(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, text;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer, "an object: the names of files and their texts");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &text))
        n++;
    if (n > MAX_JOB_INPUTS)
        return err_at(r->err, ERR_INVALID, pointer, "has more than %d files", MAX_JOB_INPUTS);
    r->spec->files = arena_alloc(r->a, (n + 1) * sizeof *r->spec->files);
    if (r->spec->files == NULL)
        return codec_arena_full(r->err);
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &text)) {
        char place[80];
        codec_pointer(pointer, key, place);
        if (!read_file(r, key, text, place))
            return false;
    }
    r->has_files = n > 0;
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * arguments */

/* The next {result:…} from `at` on. What stands in it must be who is meant; any other text in such
 * braces is left as it is. */
static bool next_placeholder(struct slice text, size_t at, size_t *ret_at, struct slice *ret_name)
{
    const size_t lead = sizeof PLACEHOLDER - 1;
    const char *found = at >= text.len ? NULL
                                       : memmem(text.ptr + at, text.len - at, PLACEHOLDER, lead);
    if (found == NULL)
        return false;
    const char *name = found + lead;
    const char *end = memchr(name, '}', text.len - (size_t)(name - text.ptr));
    if (end == NULL)
        return false;
    *ret_at = (size_t)(found - text.ptr);
    *ret_name = (struct slice){name, (size_t)(end - name)};
    return true;
}

static bool add_argument(struct job_reader *r, uint32_t i, size_t at, struct slice name)
{
    char pointer[32];
    struct job_parent parent = {.only_job = true};
    (void)snprintf(pointer, sizeof pointer, "/command/%u", i);
    if (!codec_parent_named(r, name, &parent))
        return r->names == NULL || !text_is_token(name, MAX_REF_BYTES) ||
               err_at(r->err, ERR_INVALID, pointer,
                      "asks for the result of \"%.*s\", which no job "
                      "of this request is called",
                      (int)name.len, name.ptr);
    struct job_input *input = codec_add_input(r, pointer);
    struct job_parent *added = input == NULL ? NULL : codec_add_parents(r, 1);
    parent.pointer = arena_dup(r->a, slice_of(pointer));
    if (added == NULL)
        return false;
    *added = parent;
    *input = (struct job_input){
        .kind = JOB_INPUT_ARGUMENT,
        .parent = r->spec->n_parents - 1,
        .argument = i,
        .at = (uint32_t)at,
        .len = (uint32_t)(sizeof PLACEHOLDER - 1 + name.len + 1),
    };
    return parent.pointer != NULL || codec_arena_full(r->err);
}

static bool read_placeholders(struct job_reader *r, uint32_t i)
{
    struct slice text = r->spec->argv[i], name;
    size_t at = 0;
    while (next_placeholder(text, at, &at, &name)) {
        if (!add_argument(r, i, at, name))
            return false;
        at += sizeof PLACEHOLDER - 1;
    }
    return true;
}

bool codec_inputs_end(struct job_reader *r)
{
    /* Arguments of a function are data: nothing in them is a placeholder. */
    for (uint32_t i = 0; r->function == NULL && i < r->spec->n_argv; i++) {
        if (!read_placeholders(r, i))
            return false;
    }
    if (!r->has_files)
        return true;
    if (r->has_cwd)
        return err_at(r->err, ERR_INVALID, "/files",
                      "are made in the job's own directory; they must not come with \"cwd\"");
    r->spec->cwd = (struct slice){0}; /* also where the service has another default */
    return true;
}

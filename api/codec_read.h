/* SPDX-License-Identifier: MIT */
/* The inside of the codec, for its files: how members of a job are read, one function each. All of
 * them get the member's JSON Pointer, and fail with INVALID at it. */
#ifndef GANGER_API_CODEC_READ_H
#define GANGER_API_CODEC_READ_H

#include "api/codec.h"
#include "service/base/json.h"

#define MAX_NAME_BYTES 255u
#define MAX_REF_BYTES 64u /* of a local name in a graph */

/* A job that is being read. */
struct job_reader {
    const struct config *cfg;
    struct job_defaults defaults;
    struct arena *a;
    struct job_spec *spec;
    struct err *err;
    uint64_t named; /* members so far: bits by their place in the table */
    bool has_stdin, has_delay, has_run_at, has_command;
    uint32_t cap_parents; /* room in spec->parents */
    uint32_t cap_inputs;
    bool has_cwd, has_files;
    const struct graph_names *names; /* of the graph that it is part of, or NULL */
    bool no_exec;                    /* as in struct job_source */
    bool is_template;                /* of a batch: items bring the first arguments */
    bool is_stage;                   /* of a pipeline, which has one queue and no retries */
    const struct function *function; /* that is called; NULL: none */
    struct slice args, kwargs;       /* raw */
    struct slice limits;             /* as it was read last, raw */
};

/* codec_graph.c: the job of this local name. */
bool graph_find_name(const struct graph_names *names, struct slice name, uint32_t *ret_index);

/* Fills the defaults; then the members in any order; then what they must not be together. */
void codec_job_begin(struct job_reader *r);
MUST_CHECK bool codec_job_member(struct job_reader *r, struct slice raw_key, struct slice value);
MUST_CHECK bool codec_job_end(struct job_reader *r);
/* A member that is itself a member of what `parent` points to. */
MUST_CHECK bool codec_job_member_at(struct job_reader *r, const char *parent, struct slice raw_key,
                                    struct slice value);
bool codec_job_names(const struct job_reader *r, struct slice raw_key);
/* Whether who has named these members may: `command` and what else makes a process do something of
 * the client's own need more than calling a function does. FORBIDDEN. Before defaults are taken. */
MUST_CHECK bool codec_job_may(const struct job_reader *r);
/* A member that the job has now, whoever has said so. */
void codec_job_has(struct job_reader *r, const char *name);
/* codec_queue.c: what the job has not named and its queue says; part of codec_job_end. */
MUST_CHECK bool codec_take_defaults(struct job_reader *r);

/* A body that must be one JSON object: validated, and without white space around it. `wanted` is
 * the error when it is another value. */
MUST_CHECK bool codec_open_object(struct slice *body, struct json_limits limits, const char *wanted,
                                  struct err *err);

/* Both return false. */
bool codec_arena_full(struct err *err);
bool codec_wrong_type(struct err *err, const char *pointer, const char *wanted);
/* Between the quotes. What is compared with ASCII words needs no unescaping: an escape there is
 * simply not the word. */
struct slice codec_inside(struct slice string_value);
/* The place of a member as JSON Pointer (RFC 6901), cut to what an error can hold. */
void codec_pointer(const char *parent, struct slice raw_key, char out[80]);
/* A failed reader was inside of something that stands at `parent`. Returns false. */
bool codec_inside_of(struct err *err, const char *parent);
MUST_CHECK bool codec_text(struct job_reader *r, struct slice value, const char *pointer,
                           struct slice *ret);
MUST_CHECK bool codec_duration(struct job_reader *r, struct slice value, const char *pointer,
                               int64_t *ret_us);
/* null means none; zero would end the job before it begins. */
MUST_CHECK bool codec_timeout(struct job_reader *r, struct slice value, const char *pointer,
                              int64_t *ret_us);

/* codec_input.c */
bool codec_command(struct job_reader *r, struct slice value, const char *pointer);
bool codec_stdin(struct job_reader *r, struct slice value, const char *pointer);
bool codec_stdin_base64(struct job_reader *r, struct slice value, const char *pointer);
bool codec_only_one_stdin(struct job_reader *r, const char *pointer);
bool codec_env(struct job_reader *r, struct slice value, const char *pointer);
bool codec_cwd(struct job_reader *r, struct slice value, const char *pointer);

bool codec_is_env_name(struct slice name);

/* codec_function.c */
bool codec_function(struct job_reader *r, struct slice value, const char *pointer);
bool codec_args(struct job_reader *r, struct slice value, const char *pointer);
bool codec_kwargs(struct job_reader *r, struct slice value, const char *pointer);
/* What the job has not named and its function says. */
MUST_CHECK bool codec_take_function(struct job_reader *r);
/* The arguments become a command; a batch keeps them for its elements. */
MUST_CHECK bool codec_function_end(struct job_reader *r);

/* codec_unique.c */
bool codec_unique(struct job_reader *r, struct slice value, const char *pointer);
/* When all members have been read. */
MUST_CHECK bool codec_unique_end(struct job_reader *r);

/* codec_deps.c */
bool codec_depends_on(struct job_reader *r, struct slice value, const char *pointer);
bool codec_on_parent_failure(struct job_reader *r, struct slice value, const char *pointer);
/* Room for n more parents at the end of the list; NULL when the arena is full. */
struct job_parent *codec_add_parents(struct job_reader *r, uint32_t n);
/* codec_files.c */
bool codec_files(struct job_reader *r, struct slice value, const char *pointer);
bool codec_stdin_from(struct job_reader *r, struct slice value, const char *pointer);
/* codec_blobs.c */
bool codec_inputs(struct job_reader *r, struct slice value, const char *pointer);
bool codec_outputs(struct job_reader *r, struct slice value, const char *pointer);
/* After all members. */
MUST_CHECK bool codec_outputs_end(struct job_reader *r);
/* {"blob": "<id>"} */
bool codec_is_blob(struct slice value);
MUST_CHECK bool codec_blob(struct job_reader *r, struct slice value, const char *pointer,
                           struct job_input *input);
/* codec_files.c: room for one more; NULL: there is none, and the error says so. */
struct job_input *codec_add_input(struct job_reader *r, const char *pointer);
/* After all members: the placeholders in the command, and what does not go together. */
MUST_CHECK bool codec_inputs_end(struct job_reader *r);

/* Whether this names a job; its id, or its place in the graph, to *ret. */
bool codec_parent_named(struct job_reader *r, struct slice name, struct job_parent *ret);
/* One of them by its id. */
MUST_CHECK bool codec_parent(struct job_reader *r, struct slice value, const char *pointer,
                             struct job_parent *ret);
/* codec_callback.c */
bool codec_callback(struct job_reader *r, struct slice value, const char *pointer);

#endif

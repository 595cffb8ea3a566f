/* SPDX-License-Identifier: MIT */
#include "service/base/pool_runner.h"

#include "service/base/base64.h"
#include "service/base/json.h"

#define MAX_WORDS 256         /* of a command */
#define MAX_PRELOAD 600       /* bytes: it travels in the first line of INIT */
#define SEPARATOR ','         /* between what is preloaded */
#define ARENA_MAX (64u << 10) /* for a text of 4 KiB */

const struct runner_word runner_codecs[RUNNER_CODECS] = {
    {"json", CODEC_JSON}, {"raw", CODEC_RAW}, {"pickle", CODEC_PICKLE}};

/* NULL: there is no such codec. */
static const struct runner_word *codec_of(struct slice value)
{
    for (size_t i = 0; i < RUNNER_CODECS; i++)
        if (json_type_of(value) == JSON_STRING && json_string_eq(value, runner_codecs[i].text))
            return &runner_codecs[i];
    return NULL;
}

struct reader {
    struct buf *out;
    struct arena *a;
    const char *pointer;
    bool has_command, has_init;
    struct err *err;
};

static bool refuse(struct reader *r, const char *member, const char *why)
{
    char pointer[100];
    (void)snprintf(pointer, sizeof pointer, "%s/%s", r->pointer, member);
    return err_at(r->err, ERR_INVALID, pointer, "%s", why);
}

static struct slice text_of(struct reader *r, struct slice string)
{
    struct slice text = {NULL, 0};
    if (json_type_of(string) == JSON_STRING)
        text.ptr = json_string_dup(string, r->a, &text.len);
    return text;
}

static bool is_module(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == SEPARATOR)
            return false;
    return name.len > 0;
}

/* Appends the array as it is. *ret_bytes: of its strings. */
static bool copy_strings(struct reader *r, struct slice array, bool is_modules, size_t *ret_bytes)
{
    struct slice element;
    struct json_iter it;
    const char *comma = "[";
    size_t n = 0;
    *ret_bytes = 0;
    if (json_type_of(array) != JSON_ARRAY)
        return false;
    json_iter_init(&it, array);
    while (json_next_element(&it, &element)) {
        const struct slice text = text_of(r, element);
        if (text.ptr == NULL || n++ == MAX_WORDS || (is_modules && !is_module(text)))
            return false;
        buf_puts(r->out, comma);
        buf_json_string(r->out, text);
        comma = ",";
        *ret_bytes += text.len + 1;
    }
    buf_puts(r->out, n == 0 ? "[]" : "]");
    return true;
}

static void begin(struct reader *r, const char *name)
{
    buf_printf(r->out, "%s\"%s\":", r->out->len == 0 ? "{" : ",", name);
}

static bool read_command(struct reader *r, struct slice value)
{
    struct json_iter it;
    struct slice first = {NULL, 0};
    size_t bytes;
    begin(r, "command");
    if (json_type_of(value) == JSON_ARRAY) {
        json_iter_init(&it, value);
        if (json_next_element(&it, &first))
            first = text_of(r, first);
    }
    r->has_command = true;
    return (first.len > 0 && copy_strings(r, value, false, &bytes)) ||
           refuse(r, "command", "must be an array of strings: a program and its arguments");
}

static bool read_preload(struct reader *r, struct slice value)
{
    size_t bytes;
    begin(r, "preload");
    return (copy_strings(r, value, true, &bytes) && bytes <= MAX_PRELOAD) ||
           refuse(r, "preload",
                  "must be an array of names without blanks and commas, of 600 bytes together");
}

static bool put_init(struct reader *r, const char *member, struct slice bytes)
{
    if (r->has_init)
        return refuse(r, member, "must not come together with the other form of it");
    r->has_init = true;
    begin(r, "init_base64");
    buf_putc(r->out, '"');
    base64_put(r->out, bytes);
    buf_putc(r->out, '"');
    return true;
}

static bool read_init_base64(struct reader *r, struct slice value)
{
    AUTO_BUF struct buf bytes = {0};
    const struct slice text = text_of(r, value);
    buf_init(&bytes, ARENA_MAX);
    if (text.len == 0 || !base64_read_bare(text, &bytes) || !buf_ok(&bytes))
        return refuse(r, "init_base64", "must be base64 of what the runner gets in INIT");
    return put_init(r, "init_base64", buf_slice(&bytes));
}

static bool read_initializer(struct reader *r, struct slice value)
{
    const struct slice text = text_of(r, value);
    return text.len > 0 ? put_init(r, "initializer", text)
                        : refuse(r, "initializer", "must be text: what the runner gets in INIT");
}

static bool read_codec(struct reader *r, struct slice value)
{
    const struct runner_word *codec = codec_of(value);
    if (codec == NULL)
        return refuse(r, "codec", "must be \"json\", \"raw\" or \"pickle\"");
    begin(r, "codec");
    buf_json_string(r->out, slice_of(codec->text));
    return true;
}

static const struct {
    const char *name;
    bool (*read)(struct reader *r, struct slice value);
} members[] = {
    {"command", read_command},         {"preload", read_preload}, {"init_base64", read_init_base64},
    {"initializer", read_initializer}, {"codec", read_codec},
};

static bool read_member(struct reader *r, struct slice key, struct slice value)
{
    char name[40];
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (json_string_eq(key, members[i].name))
            return members[i].read(r, value);
    (void)snprintf(name, sizeof name, "%.*s", (int)MIN(key.len, 30u), key.ptr);
    return refuse(r, name,
                  "is not a member of a runner; there are command, preload, initializer, "
                  "init_base64, codec");
}

static bool read_all(struct reader *r, struct slice object)
{
    struct json_iter it;
    struct slice key, value;
    if (json_type_of(object) != JSON_OBJECT)
        return err_at(r->err, ERR_INVALID, r->pointer, "must be an object with a \"command\"");
    json_iter_init(&it, object);
    while (json_next_member(&it, &key, &value))
        if (!read_member(r, key, value))
            return false;
    return r->has_command || refuse(r, "command", "is missing");
}

bool pool_runner_read(struct slice object, const char *pointer, char ret[POOL_RUNNER_MAX],
                      struct err *err)
{
    AUTO_ARENA struct arena a = {0};
    AUTO_BUF struct buf out = {0};
    struct reader r = {.out = &out, .a = &a, .pointer = pointer, .err = err};
    arena_init(&a, 1u << 20);
    buf_init(&out, POOL_RUNNER_MAX - 1);
    if (!read_all(&r, object))
        return false;
    buf_putc(&out, '}');
    if (!buf_ok(&out))
        return err_at(err, ERR_INVALID, pointer, "is too long: all of it may have %d bytes of JSON",
                      POOL_RUNNER_MAX - 1);
    memset(ret, 0, POOL_RUNNER_MAX);
    memcpy(ret, out.ptr, out.len);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * as a program */

static bool take_command(struct slice array, struct arena *a, struct function *f)
{
    struct slice element;
    struct json_iter it;
    f->argv = arena_alloc(a, (MAX_WORDS + 1) * sizeof *f->argv);
    json_iter_init(&it, array);
    while (f->argv != NULL && f->n_argv < MAX_WORDS && json_next_element(&it, &element)) {
        struct slice *arg = &f->argv[f->n_argv++];
        arg->ptr = json_string_dup(element, a, &arg->len);
        if (arg->ptr == NULL)
            return false;
    }
    return f->n_argv > 0;
}

static bool take_preload(struct slice array, struct arena *a, struct function *f)
{
    char names[MAX_PRELOAD + 1];
    struct slice element;
    struct json_iter it;
    size_t at = 0;
    json_iter_init(&it, array);
    while (json_next_element(&it, &element) && at + element.len < sizeof names) {
        if (at > 0)
            names[at++] = SEPARATOR;
        at += json_string_unescape(element, names + at);
    }
    f->preload = (struct slice){arena_dup(a, (struct slice){names, at}), at};
    return f->preload.ptr != NULL;
}

static bool take_init(struct slice string, struct arena *a, struct function *f)
{
    AUTO_BUF struct buf bytes = {0};
    size_t len = 0;
    const char *text = json_string_dup(string, a, &len);
    buf_init(&bytes, ARENA_MAX);
    if (text == NULL || !base64_read_bare((struct slice){text, len}, &bytes) || !buf_ok(&bytes))
        return false;
    f->init = (struct slice){arena_dup(a, buf_slice(&bytes)), bytes.len};
    return f->init.ptr != NULL;
}

static bool take_codec(struct slice string, struct arena *a, struct function *f)
{
    (void)a;
    f->codec = codec_of(string);
    return f->codec != NULL;
}

static const struct {
    const char *name;
    bool (*take)(struct slice value, struct arena *a, struct function *f);
} parts[] = {{"command", take_command},
             {"preload", take_preload},
             {"init_base64", take_init},
             {"codec", take_codec}};

bool pool_runner_program(const char *text, struct arena *a, struct function *ret, struct err *err)
{
    struct slice value;
    *ret = (struct function){.kind = FUNCTION_RUNNER};
    if (!json_validate(slice_of(text), JSON_LIMITS_DEFAULT, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (json_find(slice_of(text), parts[i].name, &value) && !parts[i].take(value, a, ret))
            return err_set(err, ERR_INTERNAL, "the runner of the pool is damaged");
    return ret->n_argv > 0 || err_set(err, ERR_INTERNAL, "the runner of the pool has no command");
}

/* ------------------------------------------------------------------------------------------------
 * the configuration */

static const struct {
    const char *key, *member;
    bool is_json; /* else text as it stands */
} keys[] = {{"runner", "command", true},
            {"preload", "preload", true},
            {"initializer", "initializer", false},
            {"init_base64", "init_base64", false},
            {"codec", "codec", false}};

bool pool_runner_is_key(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i].key, key) == 0)
            return true;
    return false;
}

bool pool_runner_set(char text[POOL_RUNNER_MAX], const char *key, struct slice value,
                     struct err *err)
{
    AUTO_BUF struct buf out = {0};
    size_t i = 0;
    while (i < ARRAY_LEN(keys) && strcmp(keys[i].key, key) != 0)
        i++;
    PRE(i < ARRAY_LEN(keys));
    if (keys[i].is_json && (!json_validate(value, JSON_LIMITS_DEFAULT, err) ||
                            json_type_of(json_trim(value)) != JSON_ARRAY))
        return err_set(err, ERR_INVALID, "must be a JSON array of strings");
    buf_init(&out, POOL_RUNNER_MAX - 2);
    buf_printf(&out, "%s%s\"%s\":", text, text[0] == '\0' ? "{" : ",", keys[i].member);
    if (keys[i].is_json)
        buf_append(&out, value.ptr, value.len);
    else
        buf_json_string(&out, value);
    if (!buf_ok(&out))
        return err_set(err, ERR_INVALID, "is too long");
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    return true;
}

bool pool_runner_finish(char text[POOL_RUNNER_MAX], struct err *err)
{
    char whole[POOL_RUNNER_MAX];
    struct err why = {0};
    if (text[0] == '\0')
        return true;
    (void)snprintf(whole, sizeof whole, "%s}", text);
    if (json_validate(slice_of(whole), JSON_LIMITS_DEFAULT, &why) &&
        pool_runner_read(slice_of(whole), "", text, &why))
        return true;
    return err_set(err, ERR_INVALID, "%s %.180s",
                   strcmp(why.pointer, "/command") == 0 ? "runner"
                   : why.pointer[0] == '/'              ? why.pointer + 1
                                                        : "runner",
                   why.detail);
}

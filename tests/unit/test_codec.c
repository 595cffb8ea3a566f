/* SPDX-License-Identifier: MIT */
#include "api/codec.h"

#include <criterion/criterion.h>
#include <signal.h>

static const struct config test_config = {
    .job_cwd = (char[]){""},
    .job_timeout_us = 3600000000,
    .job_stop_grace_us = 5000000,
    .job_output = 10485760,
    .job_keep_us = 86400000000,
    .job_max_attempts = 20,
};

struct reading {
    struct arena arena;
    struct job_spec spec;
    struct err err;
    bool ok;
};

static void done(struct reading *r)
{
    arena_release(&r->arena);
}
#define AUTO_READING __attribute__((cleanup(done)))

static struct reading read_job(const char *body)
{
    struct reading r = {0};
    arena_init(&r.arena, 4u << 20);
    r.ok = codec_read_job(slice_of(body), &test_config, &r.arena, &r.spec, &r.err);
    return r;
}

Test(codec, a_command_alone_gets_all_defaults)
{
    AUTO_READING struct reading r = read_job("{\"command\":[\"/bin/echo\",\"h\\u00e4\",\"\"]}");
    cr_assert(r.ok, "%s", r.err.detail);
    cr_assert_eq(r.spec.n_argv, 3);
    cr_assert_str_eq(r.spec.argv[1].ptr, "h\xc3\xa4");
    cr_assert_eq(r.spec.argv[2].len, 0);
    cr_assert(slice_is(r.spec.queue, "default"));
    cr_assert_null(r.spec.name.ptr);
    cr_assert_null(r.spec.cwd.ptr);
    cr_assert_null(r.spec.labels.ptr);
    cr_assert_null(r.spec.metadata.ptr);
    cr_assert_eq(r.spec.priority, 0);
    cr_assert_eq(r.spec.timeout_us, test_config.job_timeout_us);
    cr_assert_eq(r.spec.stop_signal, SIGTERM);
    cr_assert_eq(r.spec.stop_grace_us, 5000000);
    cr_assert_eq(r.spec.max_attempts, 1);
    cr_assert_not(r.spec.has_retry);
    cr_assert_eq(r.spec.limit_output, 10485760);
    cr_assert_eq(r.spec.limit_memory, 0);
    cr_assert_eq(r.spec.keep_us, test_config.job_keep_us);
    cr_assert_eq(r.spec.result, RESULT_STDOUT);
}

Test(codec, reads_every_member)
{
    AUTO_READING struct reading r = read_job(
        "{\"command\":[\"a\"],\"name\":\"thumb-7\",\"queue\":\"media\",\"priority\":-5,\"labels\":{"
        "\"tenant\":\"a\"},"
        "\"metadata\": {\"big\": 9007199254740993,  \"x\":1.0} "
        ",\"stdin\":\"te\\nxt\",\"env\":{\"K\":\"v=1\",\"_2\":\"\"},\"cwd\":\"/srv/x\","
        "\"delay\":\"250ms\",\"timeout\":\"2m\",\"queue_timeout\":\"10m\",\"deadline\":3600.5,"
        "\"stop\":{\"signal\":\"int\",\"grace\":2},"
        "\"retry\":{\"max_attempts\":4,\"delay\":\"1s\",\"factor\":1.5,\"max_delay\":\"5m\","
        "\"jitter\":false,"
        "\"on\":[\"signal\",\"timeout\",\"lost\",\"exit:75\"],\"never_on\":[\"exit:2\",\"oom\"]},"
        "\"limits\":{\"memory\":\"512MiB\",\"cpu\":\"60s\",\"processes\":64,\"open_files\":256,"
        "\"file_size\":\"1GiB\",\"output\":\"10MiB\",\"on_output\":\"fail\"},"
        "\"keep\":\"24h\",\"result\":\"json\"}");
    cr_assert(r.ok, "%s: %s", r.err.pointer, r.err.detail);
    cr_assert(slice_is(r.spec.name, "thumb-7"));
    cr_assert(slice_is(r.spec.queue, "media"));
    cr_assert_eq(r.spec.priority, -5);
    cr_assert(slice_is(r.spec.labels, "{\"tenant\":\"a\"}"));
    cr_assert(slice_is(r.spec.metadata, "{\"big\": 9007199254740993,  \"x\":1.0}"),
              "byte for byte");
    cr_assert(slice_is(r.spec.stdin_bytes, "te\nxt"));
    cr_assert_eq(r.spec.n_env, 2);
    cr_assert_str_eq(r.spec.env[0].ptr, "K=v=1");
    cr_assert_str_eq(r.spec.env[1].ptr, "_2=");
    cr_assert(slice_is(r.spec.cwd, "/srv/x"));
    cr_assert_eq(r.spec.delay_us, 250000);
    cr_assert_eq(r.spec.timeout_us, 120000000);
    cr_assert_eq(r.spec.queue_timeout_us, 600000000);
    cr_assert_eq(r.spec.deadline_us, 3600500000);
    cr_assert_eq(r.spec.stop_signal, SIGINT);
    cr_assert_eq(r.spec.stop_grace_us, 2000000);
    cr_assert_eq(r.spec.limit_memory, 512u << 20);
    cr_assert_eq(r.spec.limit_cpu_us, 60000000);
    cr_assert_eq(r.spec.limit_processes, 64);
    cr_assert_eq(r.spec.limit_open_files, 256);
    cr_assert_eq(r.spec.limit_file_size, 1u << 30);
    cr_assert_eq(r.spec.limit_output, 10u << 20);
    cr_assert(r.spec.output_limit_fails);
    cr_assert_eq(r.spec.result, RESULT_JSON);
}

Test(codec, reads_the_retry_policy)
{
    AUTO_READING struct reading r = read_job(
        "{\"command\":[\"a\"],\"retry\":{\"max_attempts\":4,\"on\":[\"signal\",\"exit:75\"],"
        "\"never_on\":[\"exit:2\",\"oom\"],\"jitter\":false}}");
    const struct retry_policy *p = &r.spec.retry;
    cr_assert(r.ok, "%s", r.err.detail);
    cr_assert(r.spec.has_retry);
    cr_assert_eq(r.spec.max_attempts, 4);
    cr_assert_eq(p->version, 1);
    cr_assert_eq(p->jitter, 0);
    cr_assert_eq(p->on_mask, 1u << REASON_SIGNAL);
    cr_assert_eq(p->n_on_exit, 1);
    cr_assert_eq(p->on_exit[0], 75);
    cr_assert_eq(p->never_mask, 1u << REASON_OOM);
    cr_assert_eq(p->n_never_exit, 1);
    cr_assert_eq(p->never_exit[0], 2);
    cr_assert_eq(p->delay_us, 1000000);
    cr_assert_eq(p->max_delay_us, 300000000);
    cr_assert_eq((int)p->factor, 2);
    AUTO_READING struct reading plain = read_job(
        "{\"command\":[\"a\"],\"retry\":{\"max_attempts\":2}}");
    cr_assert_eq(plain.spec.retry.on_mask, job_reasons_retried_by_default());
    AUTO_READING struct reading empty = read_job("{\"command\":[\"a\"],\"retry\":{}}");
    cr_assert(empty.ok, "%s", empty.err.detail);
    cr_assert_eq(empty.spec.max_attempts, 4);
    cr_assert_eq(empty.spec.retry.jitter, 1);
    AUTO_READING struct reading none = read_job("{\"command\":[\"a\"]}");
    cr_assert_eq(none.spec.max_attempts, 1);
}

Test(codec, base64_input_may_hold_any_byte)
{
    AUTO_READING struct reading r = read_job("{\"command\":[\"a\"],\"stdin_base64\":\"AP8K\"}");
    cr_assert(r.ok, "%s", r.err.detail);
    cr_assert_eq(r.spec.stdin_bytes.len, 3);
    cr_assert_arr_eq(r.spec.stdin_bytes.ptr, "\0\xff\n", 3);
}

Test(codec, null_takes_a_timeout_away)
{
    AUTO_READING struct reading r = read_job(
        "{\"command\":[\"a\"],\"timeout\":null,\"deadline\":null,\"limits\":{\"memory\":null,"
        "\"cpu\":null,\"processes\":null}}");
    cr_assert(r.ok, "%s", r.err.detail);
    cr_assert_eq(r.spec.timeout_us, 0);
    cr_assert_eq(r.spec.deadline_us, 0);
    cr_assert_eq(r.spec.limit_memory, 0);
}

static const struct {
    const char *body, *pointer;
    enum err_code code;
} refused[] = {
    {"", "", ERR_INVALID_JSON},
    {"{", "", ERR_INVALID_JSON},
    {"{\"command\":[\"a\"]} x", "", ERR_INVALID_JSON},
    {"{\"command\":[\"a\"],\"command\":[\"b\"]}", "", ERR_INVALID_JSON},
    {"{\"command\":[\"a\\u0000b\"]}", "", ERR_INVALID_JSON},
    {"{\"command\":[\"\xff\"]}", "", ERR_INVALID_JSON},
    {"[]", "", ERR_INVALID},
    {"7", "", ERR_INVALID},
    {"{}", "/command", ERR_INVALID},
    {"{\"command\":\"ls\"}", "/command", ERR_INVALID},
    {"{\"command\":[]}", "/command", ERR_INVALID},
    {"{\"command\":[\"\"]}", "/command/0", ERR_INVALID},
    {"{\"command\":[\"a\",7]}", "/command/1", ERR_INVALID},
    {"{\"command\":[\"a\"],\"comand\":1}", "/comand", ERR_INVALID},
    {"{\"Command\":[\"a\"]}", "/Command", ERR_INVALID},
    {"{\"command\":[\"a\"],\"a/b~\":1}", "/a~1b~0", ERR_INVALID},
    {"{\"command\":[\"a\"],\"name\":\"\"}", "/name", ERR_INVALID},
    {"{\"command\":[\"a\"],\"name\":\"a\\nb\"}", "/name", ERR_INVALID},
    {"{\"command\":[\"a\"],\"queue\":\"a b\"}", "/queue", ERR_INVALID},
    {"{\"command\":[\"a\"],\"priority\":101}", "/priority", ERR_INVALID},
    {"{\"command\":[\"a\"],\"priority\":1.5}", "/priority", ERR_INVALID},
    {"{\"command\":[\"a\"],\"priority\":\"1\"}", "/priority", ERR_INVALID},
    {"{\"command\":[\"a\"],\"labels\":[]}", "/labels", ERR_INVALID},
    {"{\"command\":[\"a\"],\"labels\":{\"a b\":\"c\"}}", "/labels/a b", ERR_INVALID},
    {"{\"command\":[\"a\"],\"labels\":{\"a\":1}}", "/labels/a", ERR_INVALID},
    {"{\"command\":[\"a\"],\"env\":{\"1A\":\"c\"}}", "/env/1A", ERR_INVALID},
    {"{\"command\":[\"a\"],\"env\":{\"A=B\":\"c\"}}", "/env/A=B", ERR_INVALID},
    {"{\"command\":[\"a\"],\"env\":{\"GANGER_RUN\":\"c\"}}", "/env/GANGER_RUN", ERR_INVALID},
    {"{\"command\":[\"a\"],\"env\":{\"A\":1}}", "/env/A", ERR_INVALID},
    {"{\"command\":[\"a\"],\"cwd\":\"x\"}", "/cwd", ERR_INVALID},
    {"{\"command\":[\"a\"],\"stdin\":\"a\",\"stdin_base64\":\"YQ==\"}", "/stdin_base64",
     ERR_INVALID},
    {"{\"command\":[\"a\"],\"stdin_base64\":\"Y?==\"}", "/stdin_base64", ERR_INVALID},
    {"{\"command\":[\"a\"],\"stdin_base64\":\"YQ\"}", "/stdin_base64", ERR_INVALID},
    {"{\"command\":[\"a\"],\"delay\":-1}", "/delay", ERR_INVALID},
    {"{\"command\":[\"a\"],\"delay\":\"5 parsecs\"}", "/delay", ERR_INVALID},
    {"{\"command\":[\"a\"],\"delay\":1,\"run_at\":\"2026-12-01T00:00:00Z\"}", "/run_at",
     ERR_INVALID},
    {"{\"command\":[\"a\"],\"run_at\":\"tomorrow\"}", "/run_at", ERR_INVALID},
    {"{\"command\":[\"a\"],\"run_at\":7}", "/run_at", ERR_INVALID},
    {"{\"command\":[\"a\"],\"timeout\":0}", "/timeout", ERR_INVALID},
    {"{\"command\":[\"a\"],\"stop\":{\"signal\":\"NOPE\"}}", "/stop/signal", ERR_INVALID},
    {"{\"command\":[\"a\"],\"stop\":{\"grace\":\"2h\"}}", "/stop/grace", ERR_INVALID},
    {"{\"command\":[\"a\"],\"stop\":{\"Grace\":1}}", "/stop/Grace", ERR_INVALID},
    {"{\"command\":[\"a\"],\"stop\":7}", "/stop", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"max_attempts\":0}}", "/retry/max_attempts", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"max_attempts\":21}}", "/retry/max_attempts", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"max_attempts\":2.5}}", "/retry/max_attempts", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"factor\":0.5}}", "/retry/factor", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"factor\":1e999}}", "/retry/factor", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"jitter\":1}}", "/retry/jitter", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"on\":[\"exit:256\"]}}", "/retry/on/0", ERR_INVALID},
    {"{\"command\":[\"a\"],\"retry\":{\"on\":[\"signal\",\"nope\"]}}", "/retry/on/1", ERR_INVALID},
    {"{\"command\":[\"a\"],\"limits\":{\"memory\":\"5MB\"}}", "/limits/memory", ERR_INVALID},
    {"{\"command\":[\"a\"],\"limits\":{\"memory\":1.5}}", "/limits/memory", ERR_INVALID},
    {"{\"command\":[\"a\"],\"limits\":{\"output\":null}}", "/limits/output", ERR_INVALID},
    {"{\"command\":[\"a\"],\"limits\":{\"on_output\":\"explode\"}}", "/limits/on_output",
     ERR_INVALID},
    {"{\"command\":[\"a\"],\"limits\":{\"cpus\":1}}", "/limits/cpus", ERR_INVALID},
    {"{\"command\":[\"a\"],\"result\":\"xml\"}", "/result", ERR_INVALID},
};

Test(codec, refuses_and_points_at_the_member)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        AUTO_READING struct reading r = read_job(refused[i].body);
        cr_assert_not(r.ok, "%s", refused[i].body);
        cr_assert_eq(r.err.code, refused[i].code, "%s: %s", refused[i].body, r.err.detail);
        cr_assert_str_eq(r.err.pointer, refused[i].pointer, "%s: %s", refused[i].body,
                         r.err.detail);
    }
}

Test(codec, members_of_later_versions_are_named)
{
    static const char *const later[] = {"session", "locks", "env_secret"};
    for (size_t i = 0; i < ARRAY_LEN(later); i++) {
        char body[128], pointer[32];
        (void)snprintf(body, sizeof body, "{\"command\":[\"a\"],\"%s\":1}", later[i]);
        (void)snprintf(pointer, sizeof pointer, "/%s", later[i]);
        AUTO_READING struct reading r = read_job(body);
        cr_assert_not(r.ok);
        cr_assert_eq(r.err.code, ERR_INVALID);
        cr_assert_str_eq(r.err.pointer, pointer);
        cr_assert_not_null(strstr(r.err.detail, "later version"), "%s", r.err.detail);
    }
}

/* What does not fit is refused, never cut or half read. */
Test(codec, a_full_arena_is_a_refusal)
{
    struct arena a;
    struct job_spec spec;
    struct err err = {0};
    arena_init(&a, 64);
    cr_assert_not(codec_read_job(
        SLICE_LIT(
            "{\"command\":[\"aaaaaaaaaaaaaaaaaaaaaaaa\",\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"]}"),
        &test_config, &a, &spec, &err));
    cr_assert_eq(err.code, ERR_TOO_LARGE);
    arena_release(&a);
}

Test(codec, reads_a_cancellation)
{
    struct cancel_request c;
    struct err err = {0};
    cr_assert(codec_read_cancel(SLICE_LIT(""), &c, &err));
    cr_assert_eq(c.signal, 0);
    cr_assert_lt(c.grace_us, 0);
    cr_assert_not(c.only_queued);
    cr_assert(codec_read_cancel(
        SLICE_LIT(" {\"reason\":\"too slow\",\"signal\":\"KILL\",\"grace\":0,\"if\":\"queued\"} "),
        &c, &err));
    cr_assert_str_eq(c.why, "too slow");
    cr_assert_eq(c.signal, SIGKILL);
    cr_assert_eq(c.grace_us, 0);
    cr_assert(c.only_queued);
    cr_assert_not(codec_read_cancel(SLICE_LIT("{\"if\":\"running\"}"), &c, &err));
    cr_assert_str_eq(err.pointer, "/if");
    cr_assert_not(codec_read_cancel(SLICE_LIT("{\"x\":1}"), &c, &err));
    cr_assert_str_eq(err.pointer, "/x");
    cr_assert_not(codec_read_cancel(SLICE_LIT("nope"), &c, &err));
    cr_assert_eq(err.code, ERR_INVALID_JSON);
}

Test(codec, knows_a_traceparent)
{
    cr_assert(
        codec_is_traceparent(SLICE_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")));
    cr_assert_not(
        codec_is_traceparent(SLICE_LIT("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")));
    cr_assert_not(
        codec_is_traceparent(SLICE_LIT("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7")));
    cr_assert_not(codec_is_traceparent((struct slice){0}));
}

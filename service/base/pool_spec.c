/* SPDX-License-Identifier: MIT */
#include "service/base/pool_spec.h"

#include "service/base/text.h"

#define DEFAULT_IDLE_US INT64_C(60000000)
#define DEFAULT_START_US INT64_C(10000000)

const struct pool_settings pool_settings_default = {.size = 0,
                                                    .min = 0,
                                                    .idle_us = DEFAULT_IDLE_US,
                                                    .start_failures = 3,
                                                    .start_timeout_us = DEFAULT_START_US};

const char *pool_isolation_name(uint32_t isolation)
{
    static const char *const names[POOL_ISOLATIONS] = {
        [POOL_EXEC] = "exec",
        [POOL_REUSE] = "reuse",
        [POOL_FORK] = "fork",
    };
    PRE(isolation < POOL_ISOLATIONS);
    return names[isolation];
}

const char *worker_death_name(uint32_t on_death)
{
    static const char *const names[DEATH_KINDS] = {
        [DEATH_FAILS_JOB] = "fail_job",
        [DEATH_RETRIES_JOB] = "retry",
        [DEATH_BREAKS_POOL] = "break",
    };
    PRE(on_death < DEATH_KINDS);
    return names[on_death];
}

bool pool_name_is_valid(struct slice name)
{
    return text_is_token(name, MAX_POOL_NAME);
}

static bool is_within(int64_t n, int64_t least, int64_t most)
{
    return n >= least && n <= most;
}

bool pool_rss_is_allowed(uint64_t bytes)
{
    return bytes == 0 || (bytes <= INT64_MAX && is_within((int64_t)bytes, POOL_RSS_BYTES));
}

/* ---- [pool NAME] ---- */

bool pool_list_begin(struct pool_list *list, struct slice name, uint32_t line, struct err *err)
{
    if (!pool_name_is_valid(name) || slice_is(name, DEFAULT_POOL))
        return err_set(err, ERR_INVALID,
                       "the name of a pool has 1 to %d letters, digits, \"_\", \".\" or \"-\"; the "
                       "default pool is [pool]",
                       MAX_POOL_NAME);
    for (uint32_t i = 0; i < list->n; i++)
        if (slice_is(name, list->items[i].name))
            return err_set(err, ERR_INVALID, "there is a pool %s already", list->items[i].name);
    if (list->n == MAX_POOLS - 1)
        return err_set(err, ERR_INVALID, "there are at most %d pools beside the default one",
                       MAX_POOLS - 1);
    memcpy(list->items[list->n].name, name.ptr, name.len);
    list->items[list->n].settings = pool_settings_default;
    list->items[list->n].line = line;
    list->n++;
    return true;
}

static bool set_count(struct slice value, int64_t least, int64_t most, uint32_t *ret,
                      struct err *err)
{
    int64_t n = 0;
    if (!text_to_i64(value, &n) || !is_within(n, least, most))
        return err_set(err, ERR_INVALID, "must be a number from %lld to %lld", (long long)least,
                       (long long)most);
    *ret = (uint32_t)n;
    return true;
}

static bool set_count_or_none(struct slice value, int64_t least, int64_t most, uint32_t *ret,
                              struct err *err)
{
    *ret = 0;
    return slice_is(value, "0") || set_count(value, least, most, ret, err);
}

static bool set_time(struct slice value, int64_t least_us, int64_t most_us, int64_t *ret_us)
{
    return text_to_duration_us(value, ret_us) && is_within(*ret_us, least_us, most_us);
}

static bool set_idle(struct slice value, int64_t *ret_us, struct err *err)
{
    *ret_us = 0;
    return slice_is(value, "0") || set_time(value, POOL_IDLE_TIMES, ret_us) ||
           err_set(err, ERR_INVALID, "must be a time such as 60s; 0: idle workers stay");
}

static bool set_max_rss(struct slice value, uint64_t *ret, struct err *err)
{
    if (text_to_bytes(value, ret) && pool_rss_is_allowed(*ret))
        return true;
    return err_set(err, ERR_INVALID,
                   "must be a size such as 512MiB, at least 1MiB and at most 1TiB; 0: no limit");
}

static bool set_word(struct slice value, const char *(*name_of)(uint32_t), uint32_t n,
                     uint32_t *ret, struct err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        const char *name = name_of(i);
        if (name == NULL || !slice_is(value, name))
            continue;
        *ret = i;
        return true;
    }
    return err_set(err, ERR_INVALID, "\"%.*s\" is not supported", (int)MIN(value.len, 40u),
                   value.ptr);
}

static bool set_one(struct pool_settings *s, const char *key, struct slice value, struct err *err)
{
    if (strcmp(key, "size") == 0)
        return set_count(value, POOL_SIZES, &s->size, err);
    if (strcmp(key, "min") == 0)
        return set_count(value, POOL_MINS, &s->min, err);
    if (strcmp(key, "max_jobs_per_worker") == 0)
        return set_count_or_none(value, POOL_JOBS_PER_WORKER, &s->max_jobs, err);
    if (strcmp(key, "start_failures") == 0)
        return set_count(value, POOL_FAILURES, &s->start_failures, err);
    if (strcmp(key, "idle") == 0)
        return set_idle(value, &s->idle_us, err);
    if (strcmp(key, "start_timeout") == 0)
        return set_time(value, POOL_START_TIMES, &s->start_timeout_us) ||
               err_set(err, ERR_INVALID, "must be a time such as 10s, from 10ms to 1h");
    if (strcmp(key, "max_rss") == 0)
        return set_max_rss(value, &s->max_rss, err);
    if (strcmp(key, "on_worker_death") == 0)
        return set_word(value, worker_death_name, DEATH_KINDS, &s->on_death, err);
    if (strcmp(key, "isolation") == 0)
        return set_word(value, pool_isolation_name, POOL_ISOLATIONS, &s->isolation, err);
    return err_set(err, ERR_INVALID,
                   "is not a setting of a pool; there are size, min, idle, max_jobs_per_worker, "
                   "max_rss, start_timeout, start_failures, on_worker_death, isolation, runner, "
                   "preload, initializer, init_base64, codec");
}

bool pool_list_set(struct pool_list *list, const char *key, struct slice value, struct err *err)
{
    struct err why = {0};
    PRE(list->n > 0);
    const bool ok = pool_runner_is_key(key)
                        ? pool_runner_set(list->items[list->n - 1].runner, key, value, &why)
                        : set_one(&list->items[list->n - 1].settings, key, value, &why);
    return ok || err_set(err, ERR_INVALID, "pool %s, %.40s: %.160s", list->items[list->n - 1].name,
                         key, why.detail);
}

bool pool_list_finish(struct pool_list *list, uint32_t taken, uint32_t max, struct err *err)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct pool_settings *s = &list->items[i].settings;
        if (s->size == 0)
            return err_set(err, ERR_INVALID, "pool %s, line %u: its size is missing",
                           list->items[i].name, list->items[i].line);
        if (s->min > s->size)
            return err_set(err, ERR_INVALID, "pool %s, line %u: min is above size",
                           list->items[i].name, list->items[i].line);
        struct err why = {0};
        if (!pool_runner_finish(list->items[i].runner, &why))
            return err_set(err, ERR_INVALID, "pool %s, line %u: %.180s", list->items[i].name,
                           list->items[i].line, why.detail);
        taken += s->size;
    }
    return taken <= max || err_set(err, ERR_INVALID,
                                   "the pools together have %u workers, which is above "
                                   "pool.max_workers, %u",
                                   taken, max);
}

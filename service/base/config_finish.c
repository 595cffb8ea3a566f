/* SPDX-License-Identifier: MIT */
/* What no single value can tell: values derived from the machine and from each other, and rules
 * between options. */
#include "service/base/callback.h"
#include "service/base/config_option.h"

/* Small machines need one thread; beyond four CPUs two to four serve what the engine can take. */
static uint32_t auto_threads(uint32_t n_cpus)
{
    return n_cpus <= 4 ? 1 : MIN(MAX(n_cpus / 4, 2u), 4u);
}

static bool is_loopback(const char *listener)
{
    return strncmp(listener, "unix:", 5) == 0 || strncmp(listener, "127.", 4) == 0 ||
           strncmp(listener, "[::1]:", 6) == 0 || strncmp(listener, "localhost:", 10) == 0;
}

static size_t index_of(size_t offset)
{
    size_t i = 0;
    while (i < config_n_options && config_options[i].offset != offset)
        i++;
    POST(i < config_n_options);
    return i;
}
#define INDEX_OF(field) index_of(offsetof(struct config, field))

/* Relative to the directory the service was started in, which later may be another. */
static char *make_absolute(char *path)
{
    AUTO_FREE char *relative = path;
    AUTO_FREE char *here = relative[0] == '/' ? NULL : getcwd(NULL, 0);
    char *absolute = NULL;
    if (here == NULL || asprintf(&absolute, "%s/%s", here, relative) < 0)
        return steal_ptr(&relative);
    return absolute;
}

static bool has_socket(const struct config *cfg)
{
    for (uint32_t i = 0; i < cfg->listen.n; i++)
        if (strncmp(cfg->listen.items[i], "unix:", 5) == 0)
            return true;
    return false;
}

/* Jobs and the command line find the service by the socket in its data directory, so there always
 * is one. Only when the path does not fit into sun_path, unix(7), and other listeners were named,
 * it is left out. */
static bool derive_listeners(struct config_set *set, struct err *err)
{
    struct config *cfg = &set->values;
    bool is_default = cfg->listen.n == 0;
    if (has_socket(cfg) || cfg->listen.n == MAX_LIST)
        return true;
    const struct option_row *row = &config_options[INDEX_OF(listen)];
    const char *why = "";
    set->states[INDEX_OF(listen)].automatic = is_default;
    if (is_default && !option_set(row, cfg, SLICE_LIT("127.0.0.1:7411"), &why))
        return err_set(err, ERR_INVALID, "service.listen: %s", why);
    AUTO_FREE char *path = NULL;
    if (asprintf(&path, "unix:%s/ganger.sock", cfg->data) < 0)
        return err_set(err, ERR_INVALID, "out of memory");
    AUTO_BUF struct buf item;
    buf_init(&item, 8192);
    buf_putc(&item, '[');
    buf_json_string(&item, slice_of(path));
    buf_putc(&item, ']');
    if (option_set(row, cfg, buf_slice(&item), &why) || !is_default)
        return true;
    return err_set(err, ERR_INVALID, "service.data: the socket's path %s/ganger.sock %s", cfg->data,
                   why);
}

static bool derive_callback_files(struct config_set *set, struct err *err)
{
    struct config *cfg = &set->values;
    char *path = NULL;
    if (cfg->callback_secret_file[0] == '\0') {
        if (asprintf(&path, "%s/callback-secret", cfg->data) < 0)
            return err_set(err, ERR_INVALID, "out of memory");
        free(cfg->callback_secret_file);
        cfg->callback_secret_file = path;
        set->states[INDEX_OF(callback_secret_file)].automatic = true;
    }
    cfg->callback_secret_file = make_absolute(cfg->callback_secret_file);
    if (cfg->callback_ca_file[0] != '\0')
        cfg->callback_ca_file = make_absolute(cfg->callback_ca_file);
    return true;
}

static bool derive_paths(struct config_set *set, struct err *err)
{
    struct config *cfg = &set->values;
    if (cfg->data[0] == '\0') {
        free(cfg->data);
        cfg->data = config_default_data();
        set->states[INDEX_OF(data)].automatic = true;
    }
    cfg->data = make_absolute(cfg->data);
    return derive_callback_files(set, err) && derive_listeners(set, err);
}

static bool check_hosts(const char *option, const struct text_list *rules, struct err *err)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        if (!callback_is_host_rule(rules->items[i]))
            return err_set(err, ERR_INVALID,
                           "%s: '%.60s' is not allowed; allowed: a host's name, *.suffix or an "
                           "address, without scheme and port",
                           option, rules->items[i]);
    }
    return true;
}

static bool check_together(const struct config *cfg, struct err *err)
{
    if (cfg->pool_workers > cfg->pool_max_workers)
        return err_set(err, ERR_INVALID, "pool.workers: %u is above pool.max_workers, which is %u",
                       cfg->pool_workers, cfg->pool_max_workers);
    if (!pool_rss_is_allowed(cfg->pool_max_rss))
        return err_set(err, ERR_INVALID, "pool.max_rss: at least 1MiB, or 0: no limit");
    if (cfg->http_max_body > cfg->http_max_inflight_bytes)
        return err_set(err, ERR_INVALID,
                       "http.max_body is above http.max_inflight_bytes: no body could be read");
    for (uint32_t i = 0; i < cfg->listen.n; i++) {
        if (cfg->auth == AUTH_NONE && !is_loopback(cfg->listen.items[i]))
            return err_set(
                err, ERR_INVALID,
                "service.auth: none is not possible with the listener %s, which others can reach",
                cfg->listen.items[i]);
    }
    return check_hosts("callbacks.hosts", &cfg->callback_hosts, err) &&
           check_hosts("callbacks.private_hosts", &cfg->callback_private_hosts, err);
}

bool config_finish(struct config_set *set, struct err *err)
{
    struct config *cfg = &set->values;
    uint32_t n_cpus = config_cpu_count();
    if (cfg->pool_workers == 0)
        cfg->pool_workers = MIN(n_cpus, cfg->pool_max_workers);
    if (set->states[INDEX_OF(pool_min_workers)].automatic)
        cfg->pool_min_workers = cfg->pool_workers;
    if (cfg->http_threads == 0)
        cfg->http_threads = auto_threads(n_cpus);
    return derive_paths(set, err) && check_together(cfg, err) &&
           function_list_finish(&cfg->functions, err) &&
           pool_list_finish(&cfg->pools, cfg->pool_workers, cfg->pool_max_workers, err);
}

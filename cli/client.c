/* SPDX-License-Identifier: MIT */
#include "cli/client_impl.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "cli/json.h"

#define TICK_MS 100 /* how often the ticker runs while something is awaited */
#define FIRST_PAUSE_US INT64_C(100000)
#define MAX_PAUSE_US INT64_C(2000000)

uint32_t client_wait_left(uint64_t deadline_ns)
{
    const uint64_t now_ns = clock_mono_ns();
    if (deadline_ns == 0)
        return WAIT_MAX_S;
    if (now_ns >= deadline_ns)
        return 0;
    return (uint32_t)MIN((deadline_ns - now_ns + 999999999) / 1000000000, (uint64_t)WAIT_MAX_S);
}

bool client_open(const struct target *target, struct client **ret, struct err *err)
{
    struct libcurl curl;
    if (!libcurl_load(&curl, err))
        return false;
    struct client *client = must_alloc(sizeof(*client));
    *client = (struct client){.target = target, .curl = curl, .signal_fd = -1, .watch_fd = -1};
    client->multi = curl.multi_init();
    PRE(client->multi != NULL);
    *ret = client;
    return true;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    while (client->transfers != NULL)
        transfer_free(client->transfers);
    (void)client->curl.multi_cleanup(client->multi);
    libcurl_unload(&client->curl);
    if (client->signal_fd >= 0)
        (void)close(client->signal_fd);
    free(client);
}

void client_set_ticker(struct client *client, ticker_fn *ticker, void *owner)
{
    client->ticker = ticker;
    client->ticker_owner = owner;
}

static void tick(struct client *client, const char *remark)
{
    if (client->ticker != NULL)
        client->ticker(client->ticker_owner, remark);
}

bool client_catch_signals(struct client *client, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_sys(err, ERR_INTERNAL, "sigprocmask");
    client->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return client->signal_fd >= 0 || err_sys(err, ERR_INTERNAL, "signalfd");
}

int client_interrupted(const struct client *client)
{
    return client->signal;
}

void client_rearm(struct client *client)
{
    client->signal = 0;
}

void client_watch_fd(struct client *client, int fd)
{
    client->watch_fd = fd;
}

static bool signals_are_quiet(struct client *client, struct err *err)
{
    struct signalfd_siginfo info;
    if (client->signal_fd >= 0 && client->signal == 0 &&
        read(client->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        client->signal = (int)info.ssi_signo;
    return client->signal == 0 || err_set(err, ERR_INTERNAL, "interrupted");
}

/* True when a transfer has ended since the last look. */
static bool collect_ends(struct client *client)
{
    CURLMsg *message = NULL;
    int left = 0;
    bool any = false;
    while ((message = client->curl.multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *t = NULL;
        long status = 0;
        (void)client->curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        (void)client->curl.easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        (void)client->curl.easy_getinfo(message->easy_handle, CURLINFO_OS_ERRNO, &t->os_errno);
        t->over = any = true;
        t->result = message->data.result;
        t->reply.status = (int)status;
        if (t->result == CURLE_OK)
            client->reached = true;
    }
    return any;
}

bool client_turn(struct client *client, int timeout_ms, struct err *err)
{
    int running = 0;
    CURLMcode code = client->curl.multi_perform(client->multi, &running);
    if (code != CURLM_OK)
        return err_set(err, ERR_INTERNAL, "libcurl: %s", client->curl.multi_strerror(code));
    bool any_over = collect_ends(client);
    if (!signals_are_quiet(client, err))
        return false;
    if (any_over)
        return true;
    struct curl_waitfd extra[2];
    unsigned n_extra = 0;
    if (client->signal_fd >= 0)
        extra[n_extra++] = (struct curl_waitfd){client->signal_fd, CURL_WAIT_POLLIN, 0};
    if (client->watch_fd >= 0)
        extra[n_extra++] = (struct curl_waitfd){client->watch_fd, CURL_WAIT_POLLIN, 0};
    code = client->curl.multi_poll(client->multi, extra, n_extra, timeout_ms, NULL);
    if (code != CURLM_OK)
        return err_set(err, ERR_INTERNAL, "libcurl: %s", client->curl.multi_strerror(code));
    tick(client, NULL);
    return signals_are_quiet(client, err);
}

bool client_pause(struct client *client, int64_t us, struct err *err)
{
    uint64_t end = clock_mono_ns() + (uint64_t)us * 1000;
    for (;;) {
        uint64_t now = clock_mono_ns();
        if (now >= end)
            return true;
        int ms = (int)MIN((end - now + 999999) / 1000000, (uint64_t)TICK_MS);
        if (!client_turn(client, ms, err))
            return false;
    }
}

bool client_write(struct client *client, int fd, struct slice bytes, struct err *err)
{
    while (bytes.len > 0) {
        struct pollfd fds[2] = {
            {.fd = fd, .events = POLLOUT}, {.fd = client->signal_fd, .events = POLLIN}, /* -1 is
                                                                                           ignored,
                                                                                           poll(2)
                                                                                         */
        };
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return err_sys(err, ERR_INTERNAL, "poll");
        if (!signals_are_quiet(client, err))
            return false;
        if (fds[0].revents == 0)
            continue;
        /* A pipe that is writable takes PIPE_BUF bytes without blocking, pipe(7). */
        ssize_t n = write(fd, bytes.ptr, MIN(bytes.len, (size_t)PIPE_BUF));
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return err_sys(err, ERR_INTERNAL, "cannot write the output");
        if (n > 0)
            bytes = (struct slice){bytes.ptr + n, bytes.len - (size_t)n};
    }
    return true;
}

bool transfer_explain(const struct transfer *t, struct err *err)
{
    const struct target *target = t->client->target;
    const char *where = target->socket != NULL ? target->socket : target->base;
    if (t->result == CURLE_COULDNT_CONNECT && (t->os_errno == EACCES || t->os_errno == EPERM))
        return err_set(err, ERR_INTERNAL, "no right to connect to %s; %s", where, target->advice);
    if (t->result == CURLE_COULDNT_CONNECT || t->result == CURLE_COULDNT_RESOLVE_HOST)
        return err_set(err, ERR_INTERNAL, "no server answers at %s; %s", where, target->advice);
    return err_set(err, ERR_INTERNAL, "the exchange with %s broke off: %s", where,
                   t->client->curl.easy_strerror(t->result));
}

/* One exchange without repetition. The reply belongs to the caller when true. */
static bool call_once(struct client *client, const struct call *call, struct reply *ret,
                      bool *ret_interrupted, struct err *err)
{
    struct transfer *t = NULL;
    *ret_interrupted = false;
    if (!transfer_start(client, call, &t, err))
        return false;
    bool ok = true;
    while (ok && !t->over)
        ok = client_turn(client, TICK_MS, err);
    if (!ok) {
        *ret_interrupted = true;
    } else if (t->result != CURLE_OK) {
        ok = transfer_explain(t, err);
    } else {
        *ret = t->reply;
        t->reply = (struct reply){0};
    }
    transfer_free(t);
    return ok;
}

static bool reply_asks_again(const struct call *call, const struct reply *reply)
{
    return call->harmless && (reply->status == 503 || (reply->status == 429 && !call->takes_429));
}

bool client_call(struct client *client, const struct call *call, struct reply *ret, struct err *err)
{
    uint64_t give_up = clock_mono_ns() + (uint64_t)RETRY_FOR_US * 1000;
    int64_t pause_us = FIRST_PAUSE_US;
    for (int tries = 0;; tries++) {
        struct reply reply = {0};
        bool interrupted = false;
        bool answered = call_once(client, call, &reply, &interrupted, err);
        if (answered && !reply_asks_again(call, &reply)) {
            *ret = reply;
            return true;
        }
        int64_t wait_us = answered && reply.retry_after_us >= 0 ? reply.retry_after_us : pause_us;
        bool late = clock_mono_ns() + (uint64_t)wait_us * 1000 > give_up;
        if (answered && late) {
            *ret = reply;
            return true;
        }
        if (interrupted || late || !call->harmless || !client->reached) {
            reply_release(&reply);
            return false;
        }
        if (answered)
            (void)reply_refuse(&reply, err);
        reply_release(&reply);
        if (tries == 0)
            tick(client, err->detail);
        if (!client_pause(client, wait_us, err))
            return false;
        pause_us = MIN(pause_us * 2, MAX_PAUSE_US);
    }
}

bool client_ask(struct client *client, const struct call *call, struct reply *ret, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    if (!client_call(client, call, &reply, err))
        return false;
    if (reply.status < 200 || reply.status > 299)
        return reply_refuse(&reply, err);
    *ret = reply;
    reply = (struct reply){0};
    return true;
}

bool reply_refuse(const struct reply *reply, struct err *err)
{
    struct arena AUTO_ARENA arena;
    arena_init(&arena, 65536);
    struct slice text = buf_slice(&reply->body);
    struct json_problem problem;
    if (!json_read_problem(text, &arena, &problem)) {
        enum err_code code = reply->status < 500 ? ERR_BAD_REQUEST : ERR_INTERNAL;
        return err_set(err, code, "the answer is HTTP %d: is that a ganger server?", reply->status);
    }
    enum err_code code = err_by_slug(slice_of(problem.slug));
    if (code == ERR_NONE) /* a newer service knows more kinds */
        code = reply->status < 500 ? ERR_INVALID : ERR_INTERNAL;
    if (code == ERR_UNAUTHORIZED)
        return err_set(err, code,
                       "%s; the server's token is in the file `token` of its data "
                       "directory: set GANGER_TOKEN_FILE",
                       problem.title);
    if (problem.pointer[0] != '\0')
        return err_set(err, code, "%s (at %.80s)", problem.detail, problem.pointer);
    return err_set(err, code, "%s", problem.detail);
}

/* SPDX-License-Identifier: MIT */
#include "api/http.h"

#include "api/feed.h"
#include "api/listen.h"
#include "api/receive.h"
#include "service/base/footprint.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* The loop is ours because the library's own stalls when one wake-up brings a multiple of 128
 * events (0.9.75). The library's epoll descriptor lies inside the thread's own, together with the
 * mailbox, the listeners and the clients of waiting requests. Connections are accepted here and
 * handed in: so several threads share one listening descriptor without a herd (EPOLLEXCLUSIVE), and
 * a unix socket needs no second daemon. */

#define MAX_EVENTS 128
#define MAX_ACCEPTS 128
#define MAX_RUNS 8 /* of the library before the mailbox is looked at again */
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define WARNING_NS (60 * NS_PER_S)
#define LINGER_NS (2 * NS_PER_S) /* answers that are still being sent when the service stops */

struct worker {
    struct http_thread thread;
    struct http *http;
    enum source_kind from_mailbox, from_library;
    bool is_first, is_listening;
    bool is_started;
    bool warns; /* of --auth none, each minute */
    uint64_t next_tick_ns, next_warning_ns;
    struct rest rest;
    uint32_t max_conns;
    pthread_t id;
    _Atomic bool stopping;
};

struct http {
    struct http_shared shared;
    struct listener listeners[MAX_LIST];
    uint32_t n_listeners;
    struct worker *workers;
    uint32_t n_workers;
};

/* `source` begins with its enum source_kind. */
static bool watch(int epoll_fd, int fd, uint32_t events, void *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* A unix socket is served by the first thread alone: it is for the few clients of this machine. */
static void set_listening(struct worker *w, bool on)
{
    if (w->is_listening == on)
        return;
    for (uint32_t i = 0; i < w->http->n_listeners; i++) {
        struct listener *l = &w->http->listeners[i];
        if (l->is_unix && !w->is_first)
            continue;
        if (on)
            (void)watch(w->thread.epoll_fd, l->fd, EPOLLIN | EPOLLEXCLUSIVE, &l->kind);
        else
            (void)epoll_ctl(w->thread.epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
    }
    w->is_listening = on;
}

static void accept_some(struct worker *w, const struct listener *l)
{
    for (int i = 0; i < MAX_ACCEPTS && w->is_listening; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN)
                set_listening(w, false); /* out of descriptors or memory: the tick tries again */
            return;
        }
        /* Closes the descriptor when it fails. */
        (void)MHD_add_connection(w->thread.daemon, fd, (struct sockaddr *)&from, len);
        if (w->thread.n_conns >= w->max_conns)
            set_listening(w, false);
    }
}

static void on_client(struct worker *w, struct conn *conn, uint32_t events)
{
    conn->is_armed = false;
    conn->half_closed = true;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0)
        conn->is_gone = true;
    if (conn->rq != NULL)
        request_ask_back(conn->rq);
    (void)w;
}

/* The event is not reset: each new one is an edge. */
static void take_mail(struct worker *w)
{
    struct command *cmd = mailbox_take(&w->thread.mailbox);
    while (cmd != NULL) {
        struct command *next = cmd->next;
        request_returned(cmd->owner);
        cmd = next;
    }
}

/* `data.ptr` points at the first member of what the event is about. Connections may be freed only
 * by the library's run, which comes after all events of a batch. */
static bool dispatch(struct worker *w, const struct epoll_event *events, int n)
{
    bool has_mail = false;
    if (n > 0)
        rest_worked(&w->rest, clock_mono_ns());
    for (int i = 0; i < n; i++) {
        enum source_kind *source = events[i].data.ptr;
        switch (*source) {
        case FROM_MAILBOX: has_mail = true; break;
        case FROM_LIBRARY: break;
        case FROM_LISTENER: accept_some(w, events[i].data.ptr); break;
        case FROM_CONN: on_client(w, events[i].data.ptr, events[i].events); break;
        case FROM_FEED: feed_room(events[i].data.ptr); break;
        }
    }
    return has_mail;
}

/* A connection that broke in the middle of a body: 0.9.75 may have missed the edge, and would hold
 * the body's memory until a deadline. With a timeout of its own it is handled in every run. */
static void drop_if_broken(struct conn *conn)
{
    struct pollfd fd = {.fd = conn->fd, .events = POLLRDHUP};
    if (conn->rq == NULL || conn->rq->in_engine || conn->rq->phase != REQUEST_BODY)
        return;
    if (poll(&fd, 1, 0) == 1 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0)
        (void)MHD_set_connection_option(conn->rq->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
}

/* Deadlines of the whole head and of the whole body: the library's own timeout starts anew with
 * every byte. Closing is left to the library: it sees the end of the stream. */
static void tick(struct worker *w, uint64_t now_ns)
{
    if (now_ns < w->next_tick_ns)
        return;
    w->next_tick_ns = now_ns + NS_PER_S;
    for (struct conn *conn = w->thread.conns; conn != NULL; conn = conn->next) {
        if (conn->deadline_ns != 0 && conn->deadline_ns <= now_ns) {
            conn->deadline_ns = 0;
            (void)shutdown(conn->fd, SHUT_RDWR);
        }
        drop_if_broken(conn);
    }
    if (w->warns && now_ns >= w->next_warning_ns) {
        w->next_warning_ns = now_ns + WARNING_NS;
        log_event(engine_log(w->thread.shared->engine), LOG_WARN,
                  "no token is asked for: whoever reaches a listener can run commands", LOG_END);
    }
    if (!atomic_load_explicit(&w->stopping, memory_order_relaxed))
        set_listening(w, w->thread.n_conns < w->max_conns);
}

static int wait_ms(struct worker *w, uint64_t now_ns)
{
    uint64_t until_tick_ms = w->next_tick_ns <= now_ns ? 0
                                                       : (w->next_tick_ns - now_ns) / NS_PER_MS + 1;
    MHD_UNSIGNED_LONG_LONG library_ms = until_tick_ms;
    if (MHD_get_timeout(w->thread.daemon, &library_ms) != MHD_YES) {
        /* Nobody there and nothing to say: sleep until somebody comes. */
        bool sleeps = w->thread.conns == NULL && w->is_listening && !w->warns;
        return rest_wait_ms(&w->rest, now_ns, sleeps ? -1 : (int)until_tick_ms);
    }
    return (int)MIN((uint64_t)library_ms, until_tick_ms);
}

/* Clients that only stay connected are no work. */
static void rest_if_idle(struct worker *w, uint64_t now_ns)
{
    if (!rest_is_due(&w->rest, now_ns))
        return;
    query_rest(w->thread.query);
    request_free_pool(&w->thread);
    rest_begin(&w->rest);
}

static void turn(struct worker *w)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(w->thread.epoll_fd, events, MAX_EVENTS, wait_ms(w, clock_mono_ns()));
    PRE(n >= 0 || errno == EINTR);
    if (dispatch(w, events, n))
        take_mail(w);
    for (int i = 0; i < MAX_RUNS; i++) {
        MHD_UNSIGNED_LONG_LONG library_ms = 0;
        (void)MHD_run(w->thread.daemon);
        engine_wake(w->thread.shared->engine); /* for all commands of this run */
        if (MHD_get_timeout(w->thread.daemon, &library_ms) != MHD_YES || library_ms > 0)
            break; /* nothing is ready any more */
    }
    const uint64_t now_ns = clock_mono_ns();
    tick(w, now_ns);
    rest_if_idle(w, now_ns);
}

static bool is_busy(const struct worker *w)
{
    if (w->thread.n_in_engine > 0)
        return true;
    for (const struct conn *conn = w->thread.conns; conn != NULL; conn = conn->next) {
        if (conn->rq != NULL)
            return true;
    }
    return false;
}

/* The engine has returned all commands or is about to; answers get a moment to leave. */
static void wind_up(struct worker *w)
{
    uint64_t give_up_ns = clock_mono_ns() + LINGER_NS;
    set_listening(w, false);
    w->next_tick_ns = 0;
    while (w->thread.n_in_engine > 0 || (is_busy(w) && clock_mono_ns() < give_up_ns))
        turn(w);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(&w->stopping))
        turn(w);
    wind_up(w);
    return NULL;
}

static bool open_worker(struct http *http, struct worker *w, struct err *err)
{
    struct http_thread *t = &w->thread;
    w->http = http;
    w->from_mailbox = FROM_MAILBOX;
    w->from_library = FROM_LIBRARY;
    w->is_first = w == http->workers;
    w->warns = w->is_first && !http->shared.tokens.required;
    w->max_conns = MAX(http->shared.cfg->http_max_connections / http->n_workers, 1);
    w->rest.n_awake = engine_awake(http->shared.engine);
    rest_worked(&w->rest, clock_mono_ns());
    t->shared = &http->shared;
    t->next_waiter = (uint64_t)(w - http->workers) << 48; /* unique among all threads */
    random_bytes(&t->id_salt, sizeof t->id_salt);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll_fd < 0)
        return err_sys(err, ERR_INTERNAL, "epoll_create1");
    if (!mailbox_open(&t->mailbox, err) || !query_open(http->shared.engine, &t->query, err))
        return false;
    t->daemon = receive_start(t);
    if (t->daemon == NULL)
        return err_sys(err, ERR_INTERNAL, "start the HTTP library");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(t->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || !watch(t->epoll_fd, info->epoll_fd, EPOLLIN, &w->from_library) ||
        !watch(t->epoll_fd, t->mailbox.event_fd, EPOLLIN | EPOLLET, &w->from_mailbox))
        return err_sys(err, ERR_INTERNAL, "epoll_ctl");
    set_listening(w, true);
    return true;
}

static void close_worker(struct worker *w)
{
    struct http_thread *t = &w->thread;
    if (t->daemon != NULL)
        MHD_stop_daemon(t->daemon);
    request_free_pool(t);
    query_close(t->query);
    if (t->epoll_fd > 0)
        (void)close(t->epoll_fd);
}

/* When nobody is left who may notify it. */
static void close_mailbox(struct worker *w)
{
    if (w->thread.mailbox.event_fd > 0)
        mailbox_close(&w->thread.mailbox);
}

static bool start_worker(struct worker *w, struct err *err)
{
    int error = pthread_create(&w->id, NULL, run, w);
    if (error != 0) {
        errno = error;
        return err_sys(err, ERR_INTERNAL, "start an HTTP thread");
    }
    w->is_started = true;
    (void)pthread_setname_np(w->id, "http");
    return true;
}

static bool open_listeners(struct http *http, struct err *err)
{
    const struct config *cfg = http->shared.cfg;
    for (uint32_t i = 0; i < cfg->listen.n; i++) {
        struct listener *l = &http->listeners[i];
        if (!listener_open(cfg->listen.items[i], l, err))
            return false;
        http->n_listeners++;
        if (l->is_loopback)
            continue;
        http->shared.is_exposed = true;
        if (cfg->auth == AUTH_NONE)
            return err_set(err, ERR_INVALID,
                           "--auth none is for loopback and unix sockets; %s is neither",
                           cfg->listen.items[i]);
        log_event(engine_log(http->shared.engine), LOG_WARN,
                  "listening beyond loopback without TLS; put a proxy in front",
                  LOG_STR("url", l->url), LOG_END);
    }
    return http->n_listeners > 0 ||
           err_set(err, ERR_INVALID, "nothing to listen on: give --listen");
}

static bool start_all(struct http *http, struct err *err)
{
    const struct config *cfg = http->shared.cfg;
    if (!blob_writer_start(http->shared.engine, &http->shared.blobs, err) ||
        !token_open(cfg->data, (enum auth_mode)cfg->auth, &http->shared.tokens, err) ||
        !open_listeners(http, err))
        return false;
    http->n_workers = MAX(cfg->http_threads, 1);
    http->workers = must_alloc(http->n_workers * sizeof *http->workers);
    for (uint32_t i = 0; i < http->n_workers; i++) {
        if (!open_worker(http, &http->workers[i], err))
            return false;
    }
    for (uint32_t i = 0; i < http->n_workers; i++) {
        if (!start_worker(&http->workers[i], err))
            return false;
    }
    return true;
}

bool http_start(struct engine *engine, struct http **ret_http, struct err *err)
{
    struct http *http = must_alloc(sizeof *http);
    http->shared.engine = engine;
    http->shared.cfg = engine_config(engine);
    http->shared.metrics = engine_metrics(engine);
    if (!start_all(http, err)) {
        http_stop(http);
        return err_wrap(err, "http");
    }
    *ret_http = http;
    return true;
}

const char *http_url(const struct http *http)
{
    for (uint32_t i = 0; i < http->n_listeners; i++) {
        if (!http->listeners[i].is_unix)
            return http->listeners[i].url;
    }
    return http->listeners[0].url;
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    for (uint32_t i = 0; i < http->n_workers; i++) {
        struct worker *w = &http->workers[i];
        if (!w->is_started)
            continue;
        atomic_store(&w->stopping, true);
        (void)!write(w->thread.mailbox.event_fd, &(uint64_t){1}, sizeof(uint64_t)); /* wakes it */
        (void)pthread_join(w->id, NULL);
    }
    for (uint32_t i = 0; i < http->n_workers; i++)
        close_worker(&http->workers[i]);
    blob_writer_stop(http->shared.blobs);
    for (uint32_t i = 0; i < http->n_workers; i++)
        close_mailbox(&http->workers[i]);
    for (uint32_t i = 0; i < http->n_listeners; i++)
        listener_close(&http->listeners[i]);
    free(http->workers);
    free(http);
}

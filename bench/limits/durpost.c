/* SPDX-License-Identifier: MIT */
/* durpost: the ceiling of a durable submit over HTTP. A minimal epoll server with one thread: every
 * POST that is readable in one round goes into one SQLite transaction (WAL, synchronous=FULL), or
 * into one append + fdatasync, and only then are all of them answered. usage: durpost PORT
 * sqlite|log|none DIR */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS 65536
#define MAX_EVENTS 512
#define LOG_BYTES ((off_t)256 << 20)
#define ROUND_BYTES ((size_t)8 << 20) /* more than MAX_EVENTS bodies */

enum mode { MODE_SQLITE, MODE_LOG, MODE_NONE };

struct connection {
    size_t len;
    char bytes[8192];
};

struct server {
    enum mode mode;
    int epoll_fd, listen_fd;
    struct connection *connections[MAX_FDS];
    int ready[MAX_EVENTS]; /* requests of this round: read, stored, not answered */
    int n_ready;
    long long last_id;
    sqlite3 *db;
    sqlite3_stmt *insert, *begin, *commit;
    int log_fd;
    off_t log_at;
    char round[ROUND_BYTES];
    size_t round_len;
};

static void run(sqlite3 *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        die("%s: %s", sql, message);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        die("%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

static void step(struct server *server, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        die("sqlite: %s", sqlite3_errmsg(server->db));
    sqlite3_reset(statement);
}

static void open_sqlite(struct server *server, const char *path)
{
    if (sqlite3_open(path, &server->db) != SQLITE_OK)
        die("open %s", path);
    run(server->db, "PRAGMA journal_mode=WAL");
    run(server->db, "PRAGMA synchronous=FULL");
    run(server->db,
        "CREATE TABLE jobs(id INTEGER PRIMARY KEY, queue TEXT, state INTEGER, priority INTEGER,"
        " payload TEXT, created INTEGER)");
    run(server->db, "CREATE INDEX r ON jobs(queue,state,priority,id)");
    server->insert = prepare(server->db, "INSERT INTO jobs(queue,state,priority,payload,created)"
                                         " VALUES('default',0,5,?1,1)");
    server->begin = prepare(server->db, "BEGIN IMMEDIATE");
    server->commit = prepare(server->db, "COMMIT");
}

/* The log is written once in advance, so that a sync does not also have to allocate blocks. */
static void open_log(struct server *server, const char *path)
{
    static char zeros[1 << 20];
    server->log_fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    if (server->log_fd < 0)
        die("%s", path);
    for (off_t at = 0; at < LOG_BYTES; at += (off_t)sizeof(zeros)) {
        if (pwrite(server->log_fd, zeros, sizeof(zeros), at) != (ssize_t)sizeof(zeros))
            die("%s", path);
    }
    fsync(server->log_fd);
}

static void store_one(struct server *server, const char *body, size_t len)
{
    if (server->mode == MODE_SQLITE) {
        if (server->n_ready == 0)
            step(server, server->begin);
        sqlite3_bind_text(server->insert, 1, body, (int)len, SQLITE_STATIC);
        step(server, server->insert);
    } else if (server->mode == MODE_LOG) {
        if (server->round_len + len > sizeof(server->round))
            die("a round is larger than %zu bytes", sizeof(server->round));
        memcpy(server->round + server->round_len, body, len);
        server->round_len += len;
    }
}

static void commit_round(struct server *server)
{
    if (server->mode == MODE_SQLITE) {
        step(server, server->commit);
    } else if (server->mode == MODE_LOG) {
        if (server->log_at + (off_t)server->round_len > LOG_BYTES)
            server->log_at = 0;
        if (pwrite(server->log_fd, server->round, server->round_len, server->log_at) !=
            (ssize_t)server->round_len)
            die("log");
        server->log_at += (off_t)server->round_len;
        if (fdatasync(server->log_fd) != 0)
            die("fdatasync");
        server->round_len = 0;
    }
}

static void answer_round(struct server *server)
{
    for (int i = 0; i < server->n_ready; i++) {
        char answer[200];
        char body[64];
        int body_len = snprintf(body, sizeof(body), "{\"id\":%lld,\"state\":\"queued\"}",
                                ++server->last_id);
        int len = snprintf(answer, sizeof(answer),
                           "HTTP/1.1 202 Accepted\r\nContent-Type: "
                           "application/json\r\nContent-Length: %d\r\n\r\n%s",
                           body_len, body);
        if (write(server->ready[i], answer, (size_t)len) != len)
            continue; /* the client has gone; its connection is closed when it is read next */
    }
    server->n_ready = 0;
}

static void accept_all(struct server *server)
{
    int fd;
    int one = 1;
    while ((fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FDS)
            die("too many connections");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        server->connections[fd] = must_alloc(sizeof(struct connection));
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void read_one(struct server *server, int fd)
{
    struct connection *connection = server->connections[fd];
    ssize_t n = read(fd, connection->bytes + connection->len,
                     sizeof(connection->bytes) - 1 - connection->len);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN)
            return;
        close(fd);
        free(connection);
        server->connections[fd] = NULL;
        return;
    }
    connection->len += (size_t)n;
    connection->bytes[connection->len] = '\0';
    const char *head_end = strstr(connection->bytes, "\r\n\r\n");
    if (head_end == NULL)
        return;
    const char *length = strcasestr(connection->bytes, "content-length:");
    size_t body_len = length != NULL && length < head_end ? strtoul(length + 15, NULL, 10) : 0;
    const char *body = head_end + 4;
    if ((size_t)(body - connection->bytes) + body_len > connection->len)
        return;
    store_one(server, body, body_len);
    connection->len = 0;
    server->ready[server->n_ready++] = fd;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("usage: durpost PORT sqlite|log|none DIR");
    struct server *server = must_alloc(sizeof(*server));
    char path[4096];
    char wal[4104];
    snprintf(path, sizeof(path), "%s/durpost.db", argv[3]);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    unlink(path);
    unlink(wal);
    server->mode = argv[2][0] == 's' ? MODE_SQLITE : argv[2][0] == 'l' ? MODE_LOG : MODE_NONE;
    if (server->mode == MODE_SQLITE)
        open_sqlite(server, path);
    if (server->mode == MODE_LOG)
        open_log(server, path);

    server->listen_fd = listen_loopback((uint16_t)number_of(argv[1], 1, 65535));
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = server->listen_fd};
    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listen_fd, &event);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int n = epoll_wait(server->epoll_fd, events, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == server->listen_fd)
                accept_all(server);
            else
                read_one(server, events[i].data.fd);
        }
        if (server->n_ready == 0)
            continue;
        commit_round(server);
        answer_round(server);
    }
}

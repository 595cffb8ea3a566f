/* SPDX-License-Identifier: MIT */
/* mhd: libmicrohttpd that answers a fixed JSON to GET and echoes a POST.
 * usage: mhd PORT POOL [MAX_CONNECTIONS [CONNECTION_BYTES]]     POOL 1: one internal epoll thread
 */
#include "common.h"

#include <microhttpd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
    size_t len;
    char body[4096];
};

/* The context of a GET: it needs no memory. */
static char get_context;

static char hello[] = "{\"id\":123456,\"state\":\"done\",\"result\":\"hello world\"}";

static enum MHD_Result reply(struct MHD_Connection *connection, struct MHD_Response *response)
{
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result reply_hello(struct MHD_Connection *connection)
{
    return reply(connection,
                 MHD_create_response_from_buffer(sizeof(hello) - 1, hello, MHD_RESPMEM_PERSISTENT));
}

/* NOLINTNEXTLINE(readability-function-size): the signature is libmicrohttpd's */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    (void)cls;
    (void)url;
    (void)version;
    if (*context == NULL) {
        *context = method[0] == 'P' ? must_alloc(sizeof(struct request)) : (void *)&get_context;
        return MHD_YES;
    }
    if (*context == &get_context)
        return reply_hello(connection);

    struct request *request = *context;
    if (*upload_len != 0) {
        size_t room = sizeof(request->body) - request->len;
        size_t n = *upload_len < room ? *upload_len : room;
        memcpy(request->body + request->len, upload, n);
        request->len += n;
        *upload_len = 0;
        return MHD_YES;
    }
    return reply(connection, MHD_create_response_from_buffer(request->len, request->body,
                                                             MHD_RESPMEM_MUST_COPY));
}

static void on_end(void *cls, struct MHD_Connection *connection, void **context,
                   enum MHD_RequestTerminationCode why)
{
    (void)cls;
    (void)connection;
    (void)why;
    if (*context != &get_context)
        free(*context);
    *context = NULL;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        die("usage: mhd PORT POOL [MAX_CONNECTIONS [CONNECTION_BYTES]]");
    uint16_t port = (uint16_t)number_of(argv[1], 1, 65535);
    unsigned pool = (unsigned)number_of(argv[2], 1, 64);
    unsigned max = (unsigned)number_of(argc > 3 ? argv[3] : "12000", 1, 60000);
    size_t bytes = (size_t)number_of(argc > 4 ? argv[4] : "32768", 256, 1 << 20);
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)max, NULL},
        {MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)bytes, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_INCREMENT, 1024, NULL},
        {pool > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)pool, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, port, NULL, NULL, on_request, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (daemon == NULL)
        die("libmicrohttpd does not start on port %u", port);
    for (;;)
        pause();
}

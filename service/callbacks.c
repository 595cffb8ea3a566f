/* SPDX-License-Identifier: MIT */
#include "service/callbacks.h"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "service/base/address.h"
#include "service/base/libcurl.h"
#include "service/callbacks_impl.h"

#define MAX_ANSWER (64u * 1024) /* bytes of one answer's head and body */
_Static_assert(sizeof(((struct slot *)NULL)->words) >= CURL_ERROR_SIZE, "as libcurl wants it");

#define READER_CACHE (1u << 20)
#define REPOST_MS 100
#define READ_AGAIN_US INT64_C(1000000)
#define MAX_PAUSE_MS 60000 /* clocks may be set */

/* ------------------------------------------------------------------------------------------------
 * one call */

static curl_socket_t open_socket(void *owner, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct slot *slot = owner;
    (void)purpose;
    /* The address that is about to be connected to, after every look-up: no answer of a name server
     * can change it any more. */
    if (!slot->is_private && !address_is_public(&to->addr)) {
        slot->was_blocked = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* 0 ends the call: the answer is longer than anybody needs. */
static size_t count_answer(struct slot *slot, size_t len)
{
    slot->n_answer += len;
    return slot->n_answer <= MAX_ANSWER ? len : 0;
}

static size_t hear_head(char *line, size_t size, size_t n, void *owner)
{
    struct slot *slot = owner;
    size_t len = size * n;
    if (len == 2 && line[0] == '\r')
        slot->has_head = true;
    else if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
        slot->has_head = false; /* after a 100 there comes another */
    return count_answer(slot, len);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature is libcurl's */
static size_t hear_body(char *bytes, size_t size, size_t n, void *owner)
{
    (void)bytes;
    return count_answer(owner, size * n);
}

static bool add_header(const struct callbacks *c, struct slot *slot, const char *line)
{
    struct curl_slist *longer = c->curl->slist_append(slot->headers, line);
    if (longer == NULL)
        return false;
    slot->headers = longer;
    return true;
}

static bool sign_headers(const struct callbacks *c, struct slot *slot)
{
    char name[DELIVERY_ID_BYTES], line[128];
    AUTO_BUF struct buf signature = {0};
    delivery_message_id(&slot->about, slot->delivery.version, name);
    const struct signed_message message = {name, slot->cmd.delivered.at_us / 1000000,
                                           buf_slice(&slot->message)};
    buf_init(&signature, 1024);
    buf_puts(&signature, "webhook-signature: ");
    signature_write(&c->keys, &message, &signature);
    buf_putc(&signature, '\0');
    PRE(buf_ok(&signature));
    (void)snprintf(line, sizeof line, "webhook-id: %s", name);
    bool ok = add_header(c, slot, line);
    (void)snprintf(line, sizeof line, "webhook-timestamp: %lld", (long long)message.timestamp_s);
    return ok && add_header(c, slot, line) && add_header(c, slot, signature.ptr) &&
           add_header(c, slot, "content-type: application/json") && add_header(c, slot, "expect:");
}

/* Nothing from the environment, no other protocol, no other place than the URL's. */
static bool set_transport(const struct callbacks *c, const struct slot *slot)
{
    CURL *easy = slot->easy;
    __typeof__(c->curl->easy_setopt) set = c->curl->easy_setopt;
    long ms = (long)(c->cfg->callback_timeout_us / 1000);
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_DISALLOW_USERNAME_IN_URL, 1},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_TIMEOUT_MS, MAX(ms, 1)},
        {CURLOPT_CONNECTTIMEOUT_MS, MAX(ms, 1)},
        {CURLOPT_MAXAGE_CONN, 30},
        {CURLOPT_QUICK_EXIT, 1}, /* a name server that does not answer is not waited for */
    };
    bool ok = set(easy, CURLOPT_PROTOCOLS_STR, slot->is_private ? "http,https" : "https") ==
                  CURLE_OK &&
              set(easy, CURLOPT_PROXY, "") == CURLE_OK;
    if (ok && c->cfg->callback_ca_file[0] != '\0') /* these, and no others */
        ok = set(easy, CURLOPT_CAINFO, c->cfg->callback_ca_file) == CURLE_OK &&
             set(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        ok = ok && set(easy, numbers[i].option, numbers[i].value) == CURLE_OK;
    return ok && set(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           set(easy, CURLOPT_OPENSOCKETDATA, slot) == CURLE_OK;
}

static bool set_message(const struct callbacks *c, struct slot *slot, const char *url)
{
    CURL *easy = slot->easy;
    __typeof__(c->curl->easy_setopt) set = c->curl->easy_setopt;
    curl_off_t len = (curl_off_t)slot->message.len;
    slot->words[0] = '\0';
    return set(easy, CURLOPT_URL, url) == CURLE_OK && set(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           set(easy, CURLOPT_POSTFIELDS, slot->message.ptr) == CURLE_OK &&
           set(easy, CURLOPT_POSTFIELDSIZE_LARGE, len) == CURLE_OK &&
           set(easy, CURLOPT_HTTPHEADER, slot->headers) == CURLE_OK &&
           set(easy, CURLOPT_USERAGENT, "ganger/" GANGER_VERSION) == CURLE_OK &&
           set(easy, CURLOPT_HEADERFUNCTION, hear_head) == CURLE_OK &&
           set(easy, CURLOPT_HEADERDATA, slot) == CURLE_OK &&
           set(easy, CURLOPT_WRITEFUNCTION, hear_body) == CURLE_OK &&
           set(easy, CURLOPT_WRITEDATA, slot) == CURLE_OK &&
           set(easy, CURLOPT_ERRORBUFFER, slot->words) == CURLE_OK &&
           set(easy, CURLOPT_PRIVATE, slot) == CURLE_OK;
}

static void drop_headers(const struct callbacks *c, struct slot *slot)
{
    c->curl->slist_free_all(slot->headers);
    slot->headers = NULL;
}

bool callbacks_call(struct callbacks *c, struct slot *slot, const char *url, struct err *err)
{
    slot->easy = slot->easy == NULL ? c->curl->easy_init() : slot->easy;
    PRE(slot->easy != NULL);
    c->curl->easy_reset(slot->easy);
    if (sign_headers(c, slot) && set_transport(c, slot) && set_message(c, slot, url) &&
        c->curl->multi_add_handle(c->multi, slot->easy) == CURLM_OK)
        return true;
    drop_headers(c, slot);
    return err_set(err, ERR_INTERNAL, "libcurl does not take the call");
}

/* ------------------------------------------------------------------------------------------------
 * its end */

static void call_end(struct callbacks *c, struct slot *slot, CURLcode code)
{
    long status = 0;
    curl_off_t took_us = 0, retry_after_s = 0;
    struct delivery_answer answer = {0};
    (void)c->curl->easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)c->curl->easy_getinfo(slot->easy, CURLINFO_TOTAL_TIME_T, &took_us);
    (void)c->curl->easy_getinfo(slot->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    (void)c->curl->multi_remove_handle(c->multi, slot->easy);
    slot->cmd.delivered.took_us = took_us;
    /* Whatever else it wanted to say: with the head the receiver has answered. */
    if (slot->has_head && status >= 200)
        answer.http_status = (int32_t)status;
    answer.retry_after_us = (int64_t)MIN(retry_after_s, 1000000) * 1000000;
    if (slot->was_blocked)
        callbacks_put_words(slot, "the host has an address that is not public");
    else if (answer.http_status == 0)
        callbacks_put_words(slot,
                            slot->words[0] != '\0' ? slot->words : c->curl->easy_strerror(code));
    drop_headers(c, slot);
    callbacks_judge(c, slot, answer);
}

static void calls_collect(struct callbacks *c)
{
    CURLMsg *message;
    int left;
    while ((message = c->curl->multi_info_read(c->multi, &left)) != NULL) {
        struct slot *slot = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        (void)c->curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        call_end(c, slot, code);
    }
}

/* ------------------------------------------------------------------------------------------------
 * the thread */

static int pause_ms(const struct callbacks *c, bool may_begin, bool all_told)
{
    int64_t ms = MAX_PAUSE_MS;
    if (may_begin && (c->look || c->goes_on))
        return 0;
    if (may_begin && c->next_due_us != INT64_MAX)
        ms = MIN(ms, MAX((c->next_due_us - clock_wall_us()) / 1000 + 1, 0));
    return (int)(all_told ? ms : MIN(ms, REPOST_MS));
}

static void hear_engine(struct callbacks *c, const struct curl_waitfd *due)
{
    uint64_t ignored;
    if (due->revents == 0)
        return;
    (void)!read(due->fd, &ignored, sizeof ignored);
    c->look = true;
}

static void *run(void *arg)
{
    struct callbacks *c = arg;
    (void)prctl(PR_SET_NAME, "callbacks");
    while (!atomic_load(&c->stop)) {
        struct curl_waitfd fds[] = {
            {.fd = engine_delivery_fd(c->engine), .events = CURL_WAIT_POLLIN},
            {.fd = c->mailbox.event_fd, .events = CURL_WAIT_POLLIN}};
        bool may_begin = engine_phase(c->engine) == PHASE_RUNNING;
        struct err err = {0};
        int running;
        c->look = c->look || clock_wall_us() >= c->next_due_us;
        if (may_begin && (c->look || c->goes_on) && !callbacks_look(c, &err)) {
            log_error(c->log, "callbacks cannot be read", &err);
            c->next_due_us = clock_wall_us() + READ_AGAIN_US;
        }
        (void)c->curl->multi_perform(c->multi, &running);
        calls_collect(c);
        bool all_told = callbacks_report(c);
        (void)c->curl->multi_poll(c->multi, fds, ARRAY_LEN(fds), pause_ms(c, may_begin, all_told),
                                  NULL);
        hear_engine(c, &fds[0]);
        if (!callbacks_take_reports(c) && !atomic_load(&c->stop))
            (void)poll(NULL, 0, REPOST_MS); /* the store refuses; it is not asked again at once */
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------
 * life */

static bool open_libcurl(struct callbacks *c, struct err *err)
{
    if (!libcurl_load(c->curl, err))
        return err_wrap(err, "callbacks");
    c->multi = c->curl->multi_init();
    PRE(c->multi != NULL);
    return c->curl->multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)MAX_SLOTS) == CURLM_OK ||
           err_set(err, ERR_INTERNAL, "libcurl does not start");
}

static bool check_ca_file(const struct callbacks *c, struct err *err)
{
    const char *path = c->cfg->callback_ca_file;
    return path[0] == '\0' || access(path, R_OK) == 0 ||
           err_sys(err, ERR_INVALID, "callbacks.ca_file: cannot read %s", path);
}

static bool open_keys(struct callbacks *c, struct err *err)
{
    bool made;
    const char *path = c->cfg->callback_secret_file;
    if (!signing_keys_open(path, &c->keys, &made, err))
        return err_wrap(err, "callbacks.secret_file");
    if (made)
        log_event(c->log, LOG_INFO, "made a secret that signs callbacks", LOG_STR("file", path));
    return true;
}

bool callbacks_open(struct engine *engine, const struct callback_writers *writers,
                    struct callbacks **ret, struct err *err)
{
    *ret = NULL;
    if (engine_delivery_fd(engine) < 0)
        return true;
    struct callbacks *c = must_alloc(sizeof *c);
    c->engine = engine;
    c->cfg = engine_config(engine);
    c->log = engine_log(engine);
    c->writers = *writers;
    c->mailbox.event_fd = -1;
    c->next_due_us = INT64_MAX;
    c->look = true; /* what the last service has left */
    c->curl = must_alloc(sizeof *c->curl);
    if (!open_libcurl(c, err) || !check_ca_file(c, err) || !open_keys(c, err) ||
        !mailbox_open(&c->mailbox, err) ||
        !reader_open(c->cfg->data, READER_CACHE, &c->reader, err)) {
        callbacks_stop(c);
        return false;
    }
    *ret = c;
    return true;
}

bool callbacks_start(struct callbacks *c, struct err *err)
{
    if (c == NULL)
        return true;
    int error = pthread_create(&c->thread, NULL, run, c);
    c->has_thread = error == 0;
    return c->has_thread ||
           err_set(err, ERR_INTERNAL, "cannot start the thread of callbacks: %s", strerror(error));
}

void callbacks_stop(struct callbacks *c)
{
    if (c == NULL)
        return;
    atomic_store(&c->stop, true);
    if (c->has_thread) {
        (void)c->curl->multi_wakeup(c->multi);
        (void)pthread_join(c->thread, NULL);
    }
    for (size_t i = 0; c->multi != NULL && i < MAX_SLOTS; i++) {
        struct slot *slot = &c->slots[i];
        if (slot->state == SLOT_CALLING)
            (void)c->curl->multi_remove_handle(c->multi, slot->easy);
        c->curl->easy_cleanup(slot->easy);
        drop_headers(c, slot);
        buf_release(&slot->message);
    }
    if (c->multi != NULL)
        (void)c->curl->multi_cleanup(c->multi);
    libcurl_unload(c->curl);
    free(c->curl);
    reader_close(c->reader);
    mailbox_close(&c->mailbox);
    signing_keys_wipe(&c->keys);
    free(c);
}

/* SPDX-License-Identifier: MIT */
/* Who is called, and who never is; what is believed of an answer; which secrets sign. */
#include "integration/callback_signature.h"
#include "integration/harness_test.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TO_LOOPBACK "--callbacks-private-hosts", "127.0.0.1"
#define SOON "--callbacks-first-delay", "20ms", "--callbacks-max-delay", "50ms"

SERVER_TEST_WITH(callbacks, a_redirect_is_not_followed,
                 .args = {TO_LOOPBACK, SOON, "--callbacks-max-tries", "2"})
{
    struct receiver r, other;
    receiver_open(&r);
    receiver_open(&other);
    struct job_ref job = submit_for(s, &r, "true");
    struct text location = text_of("Location: http://127.0.0.1:%d/\r\n", other.port);
    AUTO_HOOK first = receiver_take(&r, 20);
    hook_answer(first, "302 Found", location.s);
    AUTO_HOOK second = receiver_take(&r, 20);
    hook_answer(second, "307 Temporary Redirect", location.s);
    AUTO_RESPONSE told = await_delivered(s, job, false);
    expect_int(told, "callback.last_status", 307);
    cr_assert_not(receiver_has_caller(&other));
}

/* The name is listed, but where it leads is not public: no socket is even opened. */
SERVER_TEST_WITH(callbacks, a_name_of_the_own_machine_is_never_contacted,
                 .args = {"--callbacks-hosts", "localhost", SOON, "--callbacks-max-tries", "2"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = job_submit(
        s, "{'command':['true'],'callback':{'url':'https://localhost:%d/'}}", r.port);
    AUTO_RESPONSE told = await_delivered(s, job, false);
    expect_int(told, "callback.tries", 2);
    cr_assert(json_is_null(told, "callback.last_status"));
    cr_assert(events_have(s, job, "the host has an address that is not public"));
    cr_assert_not(receiver_has_caller(&r));
}

/* What answers is not TLS: nothing is said to it. */
SERVER_TEST_WITH(callbacks, https_is_never_less,
                 .args = {TO_LOOPBACK, "--callbacks-max-tries", "1"})
{
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = job_submit(
        s, "{'command':['true'],'callback':{'url':'https://127.0.0.1:%d/'}}", r.port);
    AWAIT(receiver_has_caller(&r), 20);
    int fd = accept(r.fd, NULL, NULL);
    cr_assert_geq(fd, 0);
    char bytes[4096] = "";
    cr_assert_gt(recv(fd, bytes, sizeof bytes - 1, 0), 0);
    cr_assert_eq(bytes[0], 0x16, "a TLS handshake is expected"); /* RFC 8446, 5.1 */
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    cr_assert_gt(send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL), 0);
    AUTO_RESPONSE told = await_delivered(s, job, false);
    (void)close(fd);
}

/* A certificate that nobody vouches for. openssl(1) plays the receiver, as a job. */
SERVER_TEST_WITH(callbacks, a_certificate_must_be_good,
                 .args = {TO_LOOPBACK, "--callbacks-max-tries", "1"})
{
    struct receiver place;
    AUTO_RESPONSE made = job_run(
        s,
        "{'command':['openssl','req','-x509','-newkey','rsa:2048','-nodes','-subj','/CN=127.0.0.1',"
        "'-addext','subjectAltName=IP:127.0.0.1','-keyout','key','-out','cert'],'cwd':'%s'}",
        s->scratch);
    if (strcmp(json_text(made, "state"), "failed") == 0 &&
        strcmp(json_text(made, "reason"), "exec") == 0)
        cr_skip_test("openssl is not installed");
    expect_outcome(made, "succeeded", NULL);
    receiver_open(&place);
    receiver_close(&place);
    struct job_ref tls = job_submit(s,
                                    "{'command':['openssl','s_server','-accept','127.0.0.1:%d',"
                                    "'-key','key','-cert','cert','-quiet'],'cwd':'%s'}",
                                    place.port, s->scratch);
    AWAIT(receiver_answers(&place), 20);
    struct job_ref job = job_submit(
        s, "{'command':['true'],'callback':{'url':'https://127.0.0.1:%d/'}}", place.port);
    AUTO_RESPONSE told = await_delivered(s, job, false);
    cr_assert(events_have(s, job, "certificate"));
    AUTO_TEXT said = job_read(s, tls, "stdout");
    cr_assert_null(strstr(said, "POST"), "the receiver got %s", said);
    AUTO_RESPONSE over = job_cancel(s, tls, NULL, 10);
}

/* An authority of one's own, and a certificate that it vouches for, in the directory for files.
 * False: there is no openssl(1). */
static bool make_authority(struct server *s)
{
    AUTO_RESPONSE made = job_run(
        s,
        "{'command':['sh','-c','command -v openssl || exit 77; "
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own-authority -keyout ca.key "
        "-out ca.pem && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=receiver "
        "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=CA:FALSE -CA ca.pem "
        "-CAkey ca.key -keyout key -out cert && mkfifo answer'],'cwd':'%s'}",
        s->scratch);
    if (!json_is_null(made, "exit_code") && json_int(made, "exit_code") == 77)
        return false;
    expect_outcome(made, "succeeded", NULL);
    return true;
}

/* By https, to a receiver whose certificate only callbacks.ca_file vouches for. */
SERVER_TEST(callbacks, an_authority_of_ones_own_is_believed)
{
    if (!make_authority(s))
        cr_skip_test("openssl is not installed");
    struct text ca = text_of("%s/ca.pem", s->scratch);
    const struct server_options options = {
        .args = {TO_LOOPBACK, "--callbacks-max-tries", "1", "--callbacks-ca-file", ca.s}};
    struct server caller;
    struct receiver place;
    server_start(&caller, &options);
    receiver_open(&place);
    receiver_close(&place);
    struct job_ref tls = job_submit(
        s,
        "{'command':['sh','-c','exec openssl s_server -accept 127.0.0.1:%d -key key -cert cert "
        "-quiet <>answer'],'cwd':'%s'}",
        place.port, s->scratch);
    AWAIT(receiver_answers(&place), 20);
    struct job_ref job = job_submit(
        &caller, "{'command':['true'],'callback':{'url':'https://127.0.0.1:%d/hook'}}", place.port);
    AWAIT(job_has_said(s, tls, "stdout", "POST /hook HTTP/1.1") &&
              job_has_said(s, tls, "stdout", "job.succeeded"),
          20);
    FILE *answer = fopen(text_of("%s/answer", s->scratch).s, "w");
    cr_assert_not_null(answer);
    (void)fputs("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", answer);
    cr_assert_eq(fclose(answer), 0);
    AUTO_RESPONSE told = await_delivered(&caller, job, true);
    expect_int(told, "callback.last_status", 204);
    cr_assert(job_has_said(s, tls, "stdout", "webhook-signature: v1,"));
    server_stop(&caller);
    AUTO_RESPONSE over = job_cancel(s, tls, NULL, 10);
}

PLAIN_TEST(callbacks, an_authority_that_cannot_be_read_is_told_at_the_start)
{
    struct server_options bad = {.args = {TO_LOOPBACK, "--callbacks-ca-file", "/nowhere/ca.pem"}};
    cr_assert_neq(server_start_failing(&bad), 0);
}

SERVER_TEST_WITH(callbacks, odd_hosts_are_refused_at_the_door,
                 .args = {"--callbacks-hosts", "*.example.org,127.0.0.1", TO_LOOPBACK})
{
    static const char *const urls[] = {
        "http://2130706433/",          "http://0x7f000001/",
        "http://0177.0.0.1/",          "http://127.1/",
        "http://[::ffff:127.0.0.1]/",  "http://127.0.0.2/",
        "http://a.example.org/",       "https://example.org/",
        "http://u:p@127.0.0.1/",       "http://127.0.0.1/#x",
        "gopher://127.0.0.1/",         "http://localhost/",
        "http://127.0.0.1\\\\@a.org/",
    };
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct text body = text_of("{'command':['true'],'callback':{'url':'%s'}}", urls[i]);
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body.s, NULL);
        expect_invalid(r, "/callback/url");
    }
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
}

SERVER_TEST_WITH(callbacks, answers_that_drip_are_cut,
                 .args = {TO_LOOPBACK, SOON, "--callbacks-timeout", "300ms",
                          "--callbacks-max-tries", "3"})
{
    static const char drip[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx";
    static const char half[] = "HTTP/1.1 200 OK\r\nX-Half: ";
    struct receiver r;
    receiver_open(&r);
    struct job_ref slow = submit_for(s, &r, "true");
    AUTO_HOOK a = receiver_take(&r, 20);
    cr_assert(hook_send(a, drip, sizeof drip - 1));
    cr_assert(hook_await_close(a, 10), "a body that drips is waited for");
    AUTO_RESPONSE heard = await_delivered(s, slow, true); /* the head has said it */
    expect_int(heard, "callback.tries", 1);

    struct job_ref never = submit_for(s, &r, "true");
    for (int i = 0; i < 3; i++) {
        AUTO_HOOK c = receiver_take(&r, 20);
        cr_assert(hook_send(c, half, sizeof half - 1));
        cr_assert(hook_await_close(c, 10), "a head that never ends is waited for");
    }
    AUTO_RESPONSE failed = await_delivered(s, never, false);
    cr_assert(json_is_null(failed, "callback.last_status"));
}

SERVER_TEST_WITH(callbacks, an_answer_without_end_is_cut,
                 .args = {TO_LOOPBACK, "--callbacks-timeout", "60s"})
{
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n";
    static char block[256 * 1024];
    struct receiver r;
    receiver_open(&r);
    struct job_ref job = submit_for(s, &r, "true");
    AUTO_HOOK hook = receiver_take(&r, 20);
    cr_assert(hook_send(hook, head, sizeof head - 1));
    memset(block, 'x', sizeof block);
    size_t sent = 0;
    while (hook_send(hook, block, sizeof block))
        cr_assert_lt(sent += sizeof block, 64u << 20, "an endless body is read");
    AUTO_RESPONSE told = await_delivered(s, job, true);
    expect_int(told, "callback.tries", 1);
}

#define SECRET_A "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SECRET_B "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static void write_secrets(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, "cannot write %s", path);
    CHECK(chmod(path, mode) == 0, "chmod %s", path);
}

PLAIN_TEST(callbacks, all_secrets_of_a_rotation_sign)
{
    char dir[128];
    struct server s;
    struct receiver r;
    temp_dir_make(dir, sizeof dir);
    struct text path = text_of("%s/secrets", dir);
    write_secrets(path.s, SECRET_A "\n" SECRET_B "\n", 0600);
    receiver_open(&r);
    struct server_options options = {.args = {TO_LOOPBACK, "--callbacks-secret-file", path.s}};
    server_start(&s, &options);
    struct job_ref job = submit_for(&s, &r, "true");
    AUTO_HOOK hook = receiver_take(&r, 20);
    hook_answer(hook, "200 OK", "");
    cr_assert_str_eq(
        hook_header(hook, "webhook-signature").s,
        text_of("%s %s", signature_of(hook, SECRET_A).s, signature_of(hook, SECRET_B).s).s);
    AUTO_RESPONSE told = await_delivered(&s, job, true);
    cr_assert_not(server_log_has(&s, &SECRET_A[6]));
    server_stop(&s);
    temp_dir_remove(dir);
}

PLAIN_TEST(callbacks, secrets_that_others_can_read_stop_the_start)
{
    char dir[128];
    temp_dir_make(dir, sizeof dir);
    struct text path = text_of("%s/secrets", dir);
    struct server_options options = {.args = {TO_LOOPBACK, "--callbacks-secret-file", path.s}};
    write_secrets(path.s, SECRET_A "\n", 0644);
    cr_assert_eq(server_start_failing(&options), 2);
    write_secrets(path.s, "secret\n", 0600);
    cr_assert_eq(server_start_failing(&options), 2);
    struct server_options bad = {.args = {"--callbacks-hosts", "https://a.org"}};
    cr_assert_eq(server_start_failing(&bad), 2);
    temp_dir_remove(dir);
}

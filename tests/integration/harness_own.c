/* SPDX-License-Identifier: MIT */
#include "integration/harness_own.h"

#include "integration/harness_config.h"

static const char registry[] = "[function echo]\n"
                               "kind = command\n"
                               "command = [\"printf\", \"%s\", \"{text}\"]\n"
                               "args = [{\"name\":\"text\",\"type\":\"string\"}]\n"
                               "\n"
                               "[function hold]\n"
                               "kind = command\n"
                               "command = [\"cat\", \"{path}\"]\n"
                               "args = [{\"name\":\"path\",\"type\":\"string\"}]\n"
                               "\n"
                               "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n";

void own_start(struct server *s, const char *auth)
{
    const struct config_file file = config_write(registry);
    const struct server_options options = {.workers = 4,
                                           .args = {"--config", file.path, "--auth", auth}};
    server_start(s, &options);
    config_remove(&file);
}

void own_token_take(struct holder *h, const char *path)
{
    await_file(path, 20);
    AUTO_TEXT token = file_read(path, NULL);
    CHECK(strlen(token) > 100 && strspn(token, "0123456789abcdef-.") == strlen(token), "\"%s\"",
          token);
    (void)snprintf(h->token, sizeof h->token, "%s", token);
    (void)snprintf(h->header, sizeof h->header, "Authorization: Bearer %s", token);
}

struct holder own_hold(struct server *s, const char *name)
{
    struct holder h = {.fifo = fifo_make(s, name)};
    struct text path = text_of("%s/%s.token", s->scratch, name);
    h.job = job_submit(s,
                       "{'command':['sh','-c','printf %%s $GANGER_TOKEN >%s.new; mv %s.new %s; "
                       "cat %s'],'name':'%s'}",
                       path.s, path.s, path.s, h.fifo.s, name);
    own_token_take(&h, path.s);
    return h;
}

struct response *own_ask(struct server *s, const struct holder *h, const char *method,
                         const char *path, const char *body)
{
    return http(s, method, path, body, h->header, NULL);
}

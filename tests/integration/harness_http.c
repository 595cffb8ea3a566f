/* SPDX-License-Identifier: MIT */
#include "integration/harness_http.h"
#include "integration/harness_schema.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <strings.h>

#define MAX_CALL_HEADERS 16

void response_free(struct response *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n_headers; i++) {
        free(r->headers[i].name);
        free(r->headers[i].value);
    }
    cJSON_Delete(r->json);
    free(r->body);
    free(r);
}

static void headers_clear(struct response *r)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        free(r->headers[i].name);
        free(r->headers[i].value);
    }
    r->n_headers = 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    struct response *r = user;
    size_t len = size * n;
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        len--;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        headers_clear(r); /* what came before was an interim answer */
        return size * n;
    }
    const char *colon = memchr(data, ':', len);
    if (colon == NULL || r->n_headers == COUNT_OF(r->headers))
        return size * n;
    size_t name_len = (size_t)(colon - data);
    const char *value = colon + 1;
    while (value < data + len && *value == ' ')
        value++;
    struct header *h = &r->headers[r->n_headers++];
    h->name = strndup(data, name_len);
    h->value = strndup(value, (size_t)(data + len - value));
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct response *r = user;
    size_t len = size * n;
    r->body = need_realloc(r->body, r->len + len + 1);
    memcpy(r->body + r->len, data, len);
    r->len += len;
    r->body[r->len] = '\0';
    return len;
}

static bool call_has_header(const struct call *call, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; call->headers != NULL && call->headers[i] != NULL; i++) {
        if (strncasecmp(call->headers[i], name, len) == 0 && call->headers[i][len] == ':')
            return true;
    }
    return false;
}

static struct curl_slist *call_headers(const struct server *s, const struct call *call)
{
    struct curl_slist *list = NULL;
    if (s->token[0] != '\0' && !call_has_header(call, "Authorization"))
        list = curl_slist_append(list, text_of("Authorization: Bearer %s", s->token).s);
    if (!call_has_header(call, "Content-Type"))
        list = curl_slist_append(list, call->body == NULL ? "Content-Type:"
                                                          : "Content-Type: application/json");
    list = curl_slist_append(list, "Expect:");
    for (size_t i = 0; call->headers != NULL && call->headers[i] != NULL; i++)
        list = curl_slist_append(list, call->headers[i]);
    return list;
}

static void curl_set_request(CURL *curl, const struct server *s, const struct call *call)
{
    if (call->over_socket) {
        (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, text_of("%s/ganger.sock", s->dir).s);
        (void)curl_easy_setopt(curl, CURLOPT_URL, text_of("http://localhost%s", call->path).s);
    } else {
        (void)curl_easy_setopt(curl, CURLOPT_URL, text_of("%s%s", s->url, call->path).s);
    }
    (void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(120000 * slow_factor()));
    if (strcmp(call->method, "HEAD") == 0) {
        (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (call->body != NULL || strcmp(call->method, "POST") == 0) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body == NULL ? "" : call->body);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
}

struct response *http_try(struct server *s, const struct call *call)
{
    if (s->curl == NULL)
        s->curl = curl_easy_init();
    CURL *curl = s->curl;
    CHECK(curl != NULL, "no libcurl");
    curl_easy_reset(curl);
    curl_set_request(curl, s, call);
    struct response *r = need_alloc(sizeof(*r));
    r->body = need_alloc(1);
    (void)snprintf(r->method, sizeof(r->method), "%s", call->method);
    (void)snprintf(r->path, sizeof(r->path), "%s", call->path);
    struct curl_slist *headers = call_headers(s, call);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, r);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
    CURLcode code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &r->status);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) {
        if (!s->unchecked)
            fprintf(stderr, "%s %s: %s\n", call->method, call->path, curl_easy_strerror(code));
        response_free(r);
        return NULL;
    }
    return r;
}

struct response *http_send(struct server *s, const struct call *call)
{
    struct response *r = http_try(s, call);
    CHECK(r != NULL, "no answer to %s %s", call->method, call->path);
    if (!s->unchecked)
        schema_check_answer(s, r);
    return r;
}

static struct response *http_with(struct server *s, const struct call *call, va_list args)
{
    const char *headers[MAX_CALL_HEADERS + 1] = {NULL};
    size_t n = 0;
    for (const char *h = va_arg(args, const char *); h != NULL; h = va_arg(args, const char *)) {
        CHECK(n < MAX_CALL_HEADERS, "too many headers");
        headers[n++] = h;
    }
    struct call full = *call;
    full.headers = headers;
    return http_send(s, &full);
}

struct response *http(struct server *s, const char *method, const char *path, const char *body, ...)
{
    AUTO_TEXT json = body == NULL ? NULL : json_of("%s", body);
    struct call call = {.method = method, .path = path, .body = json};
    call.body_len = json == NULL ? 0 : strlen(json);
    va_list args;
    va_start(args, body);
    struct response *r = http_with(s, &call, args);
    va_end(args);
    return r;
}

struct response *http_get(struct server *s, const char *fmt, ...)
{
    char path[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(path, sizeof(path), fmt, args);
    va_end(args);
    CHECK(n > 0 && (size_t)n < sizeof(path), "the path is too long");
    return http(s, "GET", path, NULL, NULL);
}

double metric_of(struct server *s, const char *name)
{
    AUTO_RESPONSE r = http_get(s, "/metrics");
    const char *at = strstr(r->body, text_of("\n%s ", name).s);
    CHECK(at != NULL, "there is no metric %s", name);
    return strtod(at + strlen(name) + 2, NULL);
}

void http_forget(struct server *s)
{
    if (s->curl != NULL)
        curl_easy_cleanup(s->curl);
    s->curl = NULL;
    schema_free(s->schema);
    s->schema = NULL;
}

const char *header_of(const struct response *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        if (strcasecmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    }
    return NULL;
}

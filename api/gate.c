/* SPDX-License-Identifier: MIT */
#include "api/gate.h"

#include <arpa/inet.h>
#include <strings.h>

static const struct {
    const char *name;
    size_t len;
    bool repeats;
} known_headers[HEADER_COUNT] = {
#define X(id, text, may_repeat) [HEADER_##id] = {text, sizeof(text) - 1, may_repeat},
    HEADERS(X)
#undef X
};

static const char *const method_names[] = {
    [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD",   [METHOD_POST] = "POST",
    [METHOD_PUT] = "PUT", [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

enum method gate_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(method_names); i++) {
        if (strcmp(name, method_names[i]) == 0)
            return (enum method)i;
    }
    return METHOD_OTHER;
}

const char *gate_method_name(enum method method)
{
    PRE((size_t)method < ARRAY_LEN(method_names));
    return method_names[method];
}

/* tchar of RFC 9110, section 5.6.2. */
static bool is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_token_char((unsigned char)s.ptr[i]))
            return false;
    }
    return s.len > 0;
}

/* Field values hold no control character but TAB (RFC 9110, section 5.5). */
static bool is_clean(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool equals_ignoring_case(struct slice s, const char *text, size_t len)
{
    return s.len == len && strncasecmp(s.ptr, text, len) == 0;
}

/* The target in origin form (RFC 9112, section 3.2.1) and of visible characters only. */
static void judge_target(struct head *head)
{
    struct slice t = head->target;
    if (t.len == 0 || t.ptr[0] != '/') {
        (void)err_set(&head->fault, ERR_BAD_REQUEST, "The request target must start with \"/\"");
        return;
    }
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.ptr[i];
        if (c <= 0x20 || c >= 0x7F || c == '#') {
            (void)err_set(&head->fault, ERR_BAD_REQUEST,
                          "The request target holds a character that must be encoded");
            return;
        }
    }
}

void gate_begin(struct head *head, enum method method, const char *version, struct slice target)
{
    *head = (struct head){.method = method, .target = target, .path = target};
    const char *question = target.len == 0 ? NULL : memchr(target.ptr, '?', target.len);
    if (question != NULL) {
        head->path.len = (size_t)(question - target.ptr);
        head->query = (struct slice){question + 1, target.len - head->path.len - 1};
    }
    head->is_http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    if (!head->is_http_1_0 && strcmp(version, "HTTP/1.1") != 0)
        (void)err_set(&head->fault, ERR_BAD_REQUEST, "Only HTTP/1.1 and HTTP/1.0 are spoken here");
    else
        judge_target(head);
}

static void keep_header(struct head *head, enum header id, struct slice value)
{
    if (head->header[id].ptr == NULL) {
        head->header[id] = value;
        return;
    }
    if (!known_headers[id].repeats)
        (void)err_set(&head->fault, ERR_BAD_REQUEST, "The header \"%s\" must not be repeated",
                      known_headers[id].name);
}

void gate_add_header(struct head *head, struct slice name, struct slice value)
{
    head->n_headers++;
    if (head->fault.code != ERR_NONE)
        return;
    if (!is_token(name)) {
        (void)err_set(&head->fault, ERR_BAD_REQUEST, "A header's name holds a forbidden character");
        return;
    }
    if (!is_clean(value)) {
        (void)err_set(&head->fault, ERR_BAD_REQUEST, "A header's value holds a control character");
        return;
    }
    for (int i = 0; i < HEADER_COUNT; i++) {
        if (equals_ignoring_case(name, known_headers[i].name, known_headers[i].len)) {
            struct slice kept = trim(value);
            keep_header(head, (enum header)i, kept.ptr == NULL ? SLICE_LIT("") : kept);
            return;
        }
    }
}

static bool check_length(struct head *head, struct err *err)
{
    struct slice text = head->header[HEADER_CONTENT_LENGTH];
    int64_t length = 0;
    if (text.len == 0 || text.ptr[0] == '-')
        return err_set(err, ERR_BAD_REQUEST, "Content-Length must be a decimal number");
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return err_set(err, ERR_BAD_REQUEST, "Content-Length must be a decimal number");
    }
    if (!text_to_i64(text, &length))
        return err_set(err, ERR_TOO_LARGE, "Content-Length is larger than any body may be");
    head->content_length = (uint64_t)length;
    head->has_body = length > 0;
    return true;
}

/* RFC 9112, section 6: one framing, and only `chunked` in HTTP/1.1. Everything else is how requests
 * are smuggled. */
static bool check_framing(struct head *head, struct err *err)
{
    bool has_length = head->header[HEADER_CONTENT_LENGTH].ptr != NULL;
    struct slice coding = head->header[HEADER_TRANSFER_ENCODING];
    if (coding.ptr == NULL)
        return !has_length || check_length(head, err);
    if (has_length)
        return err_set(err, ERR_BAD_REQUEST,
                       "Content-Length and Transfer-Encoding must not come together");
    if (head->is_http_1_0)
        return err_set(err, ERR_BAD_REQUEST, "HTTP/1.0 knows no Transfer-Encoding");
    if (!equals_ignoring_case(coding, "chunked", strlen("chunked")))
        return err_set(err, ERR_BAD_REQUEST, "The only Transfer-Encoding accepted is \"chunked\"");
    head->has_body = true;
    head->is_chunked = true;
    return true;
}

bool gate_check_syntax(struct head *head, struct err *err)
{
    if (head->n_headers > MAX_HEADERS)
        return err_set(err, ERR_BAD_REQUEST, "A request may have at most %d headers", MAX_HEADERS);
    if (head->fault.code != ERR_NONE) {
        *err = head->fault;
        return false;
    }
    return check_framing(head, err);
}

static bool is_ip_literal(struct slice host)
{
    char text[INET6_ADDRSTRLEN + 2];
    unsigned char binary[sizeof(struct in6_addr)];
    bool bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = (struct slice){host.ptr + 1, host.len - 2};
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(bracketed ? AF_INET6 : AF_INET, text, binary) == 1;
}

/* Cuts ":port" off. False: what follows the colon is no port. */
static bool split_port(struct slice *host)
{
    size_t end = host->len;
    while (end > 0 && host->ptr[end - 1] >= '0' && host->ptr[end - 1] <= '9')
        end--;
    if (end == 0 || host->ptr[end - 1] != ':')
        return true; /* no colon before the last digits: an address or a name */
    bool fits = host->len - end <= 5;
    host->len = end - 1;
    return fits;
}

bool gate_check_host(const struct head *head, const struct text_list *names, struct err *err)
{
    struct slice host = head->header[HEADER_HOST];
    if (head->on_unix)
        return true;
    if (host.ptr == NULL)
        return err_set(err, ERR_BAD_REQUEST, "The header \"Host\" is missing");
    if (!split_port(&host))
        return err_set(err, ERR_BAD_REQUEST, "The header \"Host\" has no valid port");
    if (equals_ignoring_case(host, "localhost", strlen("localhost")) || is_ip_literal(host))
        return true; /* DNS rebinding needs a name */
    for (uint32_t i = 0; i < names->n; i++) {
        if (equals_ignoring_case(host, names->items[i], strlen(names->items[i])))
            return true;
    }
    return err_set(err, ERR_UNKNOWN_HOST,
                   "Use localhost, an address, or a name allowed by the option http.hosts");
}

bool gate_check_origin(const struct head *head, const struct text_list *origins, struct err *err)
{
    struct slice origin = head->header[HEADER_ORIGIN];
    struct slice site = head->header[HEADER_SEC_FETCH_SITE];
    bool allowed = false;
    for (uint32_t i = 0; origin.ptr != NULL && i < origins->n && !allowed; i++)
        allowed = slice_is(origin, origins->items[i]);
    if (allowed)
        return true;
    if (origin.ptr != NULL)
        return err_set(err, ERR_FOREIGN_ORIGIN,
                       "Allow the origin by the option http.origins, or send no Origin");
    if (slice_is(site, "cross-site") || slice_is(site, "same-site"))
        return err_set(err, ERR_FOREIGN_ORIGIN, "A browser sent this for another web site");
    return true;
}

static unsigned body_type_of(struct slice content_type)
{
    const char *semicolon = memchr(content_type.ptr, ';', content_type.len);
    if (semicolon != NULL)
        content_type.len = (size_t)(semicolon - content_type.ptr);
    content_type = trim(content_type);
    if (equals_ignoring_case(content_type, "application/json", strlen("application/json")))
        return BODY_JSON;
    if (equals_ignoring_case(content_type, "application/x-ndjson", strlen("application/x-ndjson")))
        return BODY_NDJSON;
    if (equals_ignoring_case(content_type, "application/octet-stream",
                             strlen("application/octet-stream")))
        return BODY_BYTES;
    return BODY_NONE;
}

static bool wrong_type(unsigned accepted, struct err *err)
{
    if (accepted == BODY_BYTES)
        return err_set(err, ERR_UNSUPPORTED_MEDIA,
                       "Send Content-Type: application/octet-stream, or none");
    return err_set(err, ERR_UNSUPPORTED_MEDIA, "Send Content-Type: application/json%s",
                   (accepted & BODY_NDJSON) != 0 ? " or application/x-ndjson" : "");
}

bool gate_check_body(struct head *head, unsigned accepted, uint64_t max_body, struct err *err)
{
    if (!head->has_body)
        return true;
    struct slice type = head->header[HEADER_CONTENT_TYPE];
    head->body_type = type.ptr == NULL ? accepted & BODY_BYTES : body_type_of(type);
    if (accepted == BODY_NONE)
        return err_set(err, ERR_UNSUPPORTED_MEDIA, "This request must not have a body");
    if ((head->body_type & accepted) == 0)
        return wrong_type(accepted, err);
    if (head->body_type == BODY_JSON && head->content_length > max_body)
        return err_set(err, ERR_TOO_LARGE, "A JSON body may have at most %llu bytes",
                       (unsigned long long)max_body);
    return true;
}

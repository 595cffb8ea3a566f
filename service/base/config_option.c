/* SPDX-License-Identifier: MIT */
#include "service/base/config_option.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include "service/base/json.h"
#include "service/base/text.h"

struct slice option_section(const struct option_row *row)
{
    const char *dot = strchr(row->name, '.');
    PRE(dot != NULL);
    return (struct slice){row->name, (size_t)(dot - row->name)};
}

const char *option_key(const struct option_row *row)
{
    struct slice section = option_section(row);
    return row->name + section.len + 1;
}

/* Options of the section `service` are the daily ones: their flags and variables go without the
 * section. */
static const char *spoken_name(const struct option_row *row)
{
    return slice_is(option_section(row), "service") ? option_key(row) : row->name;
}

void option_flag(const struct option_row *row, char out[OPTION_NAME_MAX])
{
    if (row->flag != NULL) {
        (void)snprintf(out, OPTION_NAME_MAX, "%s", row->flag);
        return;
    }
    (void)snprintf(out, OPTION_NAME_MAX, "--%s", spoken_name(row));
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '.' || *c == '_' ? '-' : *c;
}

void option_variable(const struct option_row *row, char out[OPTION_NAME_MAX])
{
    (void)snprintf(out, OPTION_NAME_MAX, "GANGER_%s", spoken_name(row));
    for (char *c = out; *c != '\0'; c++) {
        if (*c == '.')
            *c = '_';
        else if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
}

bool option_may_be_auto(const struct option_row *row)
{
    return row->type == OPT_UINT && strcmp(row->default_text, "auto") == 0;
}

/* ---- Text to value ---- */

static void *field_of(const struct option_row *row, struct config *cfg)
{
    return (char *)cfg + row->offset;
}

static char *dup_slice(struct slice s)
{
    char *copy = must_alloc(s.len + 1);
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = (struct slice){s.ptr + 1, s.len - 1};
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool number_in_range(const struct option_row *row, uint64_t value, const char **ret_why)
{
    if (value <= INT64_MAX && (int64_t)value >= row->min && (int64_t)value <= row->max)
        return true;
    *ret_why = "is out of range";
    return false;
}

static bool parse_number(const struct option_row *row, struct slice text, uint64_t *ret,
                         const char **ret_why)
{
    int64_t number = 0;
    bool ok = false;
    if (row->type == OPT_BYTES) {
        *ret_why = "is not a size";
        ok = text_to_bytes(text, ret);
    } else if (row->type == OPT_DURATION) {
        *ret_why = "is not a duration";
        ok = text_to_duration_us(text, &number);
        *ret = (uint64_t)number;
    } else {
        *ret_why = "is not a number";
        ok = text_to_i64(text, &number) && number >= 0;
        *ret = (uint64_t)number;
    }
    return ok && number_in_range(row, *ret, ret_why);
}

static bool set_number(const struct option_row *row, struct config *cfg, struct slice text,
                       const char **ret_why)
{
    uint64_t value = 0;
    bool automatic = option_may_be_auto(row) && slice_is(text, "auto");
    if (!automatic && !parse_number(row, text, &value, ret_why))
        return false;
    if (row->type == OPT_UINT) {
        uint32_t narrow = (uint32_t)value; /* the row's maximum fits */
        memcpy(field_of(row, cfg), &narrow, sizeof(narrow));
    } else {
        memcpy(field_of(row, cfg), &value, sizeof(value)); /* int64_t or uint64_t, both non-negative
                                                            */
    }
    return true;
}

static bool set_enum(const struct option_row *row, struct config *cfg, struct slice text,
                     const char **ret_why)
{
    uint32_t value = 0;
    for (const char *at = row->choices;; value++) {
        size_t len = strcspn(at, "|");
        if (slice_eq((struct slice){at, len}, text)) {
            memcpy(field_of(row, cfg), &value, sizeof(value));
            return true;
        }
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    *ret_why = "is not one of the choices";
    return false;
}

/* ADDR:PORT with a numeric address, [IPV6]:PORT, localhost:PORT, or unix:PATH. */
static const char *check_listener(const char *item)
{
    if (strncmp(item, "unix:", 5) == 0) {
        size_t len = strlen(item + 5);
        if (len == 0)
            return "lacks a path behind unix:";
        /* unix(7): the path and its NUL must fit sun_path */
        return len < sizeof(((struct sockaddr_un *)NULL)->sun_path)
                   ? NULL
                   : "is too long for a socket: 107 bytes";
    }
    const char *colon = strrchr(item, ':');
    int64_t port = -1;
    if (colon == NULL || !text_to_i64(slice_of(colon + 1), &port) || port < 0 || port > 65535)
        return "lacks a port, 0 to 65535";
    char host[INET6_ADDRSTRLEN + 2];
    size_t len = (size_t)(colon - item);
    if (len >= sizeof(host))
        return "is not an address";
    memcpy(host, item, len);
    host[len] = '\0';
    struct in6_addr address;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, &address) == 1 ? NULL : "is not an address";
    }
    if (strcmp(host, "localhost") == 0 || inet_pton(AF_INET, host, &address) == 1)
        return NULL;
    return "is not an address; names are not looked up, IPv6 stands in brackets";
}

static bool add_item(const struct option_row *row, struct text_list *list, struct slice text,
                     const char **ret_why)
{
    text = trim(text);
    if (text.len == 0) {
        *ret_why = "has an empty item";
        return false;
    }
    if (list->n == MAX_LIST) {
        *ret_why = "has more than 16 items";
        return false;
    }
    AUTO_FREE char *item = dup_slice(text);
    const char *wrong = row->type == OPT_LISTEN ? check_listener(item) : NULL;
    if (wrong != NULL) {
        *ret_why = wrong;
        return false;
    }
    list->items[list->n++] = steal_ptr(&item);
    return true;
}

static bool add_json_items(const struct option_row *row, struct text_list *list, struct slice text,
                           const char **ret_why)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena, text.len + 4096);
    struct json_iter it;
    struct slice value;
    json_iter_init(&it, text);
    while (json_next_element(&it, &value)) {
        size_t len = 0;
        char *item = json_type_of(value) == JSON_STRING ? json_string_dup(value, &arena, &len)
                                                        : NULL;
        if (item == NULL) {
            *ret_why = "may hold strings only";
            return false;
        }
        if (!add_item(row, list, (struct slice){item, len}, ret_why))
            return false;
    }
    return true;
}

/* "a, b", or ["a", "b"]. An IPv6 listener begins with a bracket too, but is not JSON. */
static bool set_list(const struct option_row *row, struct config *cfg, struct slice text,
                     const char **ret_why)
{
    struct text_list *list = field_of(row, cfg);
    if (text.len == 0)
        return true;
    if (text.ptr[0] == '[' && json_validate(text, JSON_LIMITS_DEFAULT, NULL))
        return add_json_items(row, list, text, ret_why);
    while (true) {
        const char *comma = memchr(text.ptr, ',', text.len);
        size_t len = comma == NULL ? text.len : (size_t)(comma - text.ptr);
        if (!add_item(row, list, (struct slice){text.ptr, len}, ret_why))
            return false;
        if (comma == NULL)
            return true;
        text = (struct slice){comma + 1, text.len - len - 1};
    }
}

bool option_set(const struct option_row *row, struct config *cfg, struct slice text,
                const char **ret_why)
{
    text = trim(text);
    if (text.len > 0 && (memchr(text.ptr, '\0', text.len) != NULL || !text_is_utf8(text))) {
        *ret_why = "is not text";
        return false;
    }
    switch (row->type) {
    case OPT_TEXT: {
        char **slot = field_of(row, cfg);
        free(*slot);
        *slot = dup_slice(text);
        return true;
    }
    case OPT_LIST:
    case OPT_LISTEN: return set_list(row, cfg, text, ret_why);
    case OPT_ENUM: return set_enum(row, cfg, text, ret_why);
    case OPT_UINT:
    case OPT_COUNT:
    case OPT_BYTES:
    case OPT_DURATION: return set_number(row, cfg, text, ret_why);
    }
    return false;
}

void option_clear(const struct option_row *row, struct config *cfg)
{
    if (row->type == OPT_TEXT) {
        char **slot = field_of(row, cfg);
        free(*slot);
        *slot = NULL;
    }
    if (row->type == OPT_LIST || row->type == OPT_LISTEN) {
        struct text_list *list = field_of(row, cfg);
        for (uint32_t i = 0; i < list->n; i++)
            free(list->items[i]);
        *list = (struct text_list){.n = 0};
    }
}

/* ---- Value to text ---- */

static void put_unsigned(struct buf *out, uint64_t value)
{
    buf_printf(out, "%llu", (unsigned long long)value);
}

static void put_size(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    for (; i + 1 < ARRAY_LEN(units) && bytes > 0 && bytes % 1024 == 0; i++)
        bytes /= 1024;
    put_unsigned(out, bytes);
    buf_puts(out, units[i]);
}

static void put_duration(struct buf *out, uint64_t us)
{
    static const struct {
        uint64_t us;
        const char *name;
    } units[] = {
        {86400000000u, "d"}, {3600000000u, "h"}, {60000000u, "m"}, {1000000u, "s"}, {1000u, "ms"}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (us > 0 && us % units[i].us == 0) {
            put_unsigned(out, us / units[i].us);
            buf_puts(out, units[i].name);
            return;
        }
    }
    buf_json_seconds_us(out, (int64_t)us);
    buf_putc(out, 's');
}

static void put_choice(struct buf *out, const char *choices, uint32_t value)
{
    const char *at = choices;
    for (; value > 0; value--)
        at += strcspn(at, "|") + 1;
    buf_append(out, at, strcspn(at, "|"));
}

/* Items that hold a comma or look like JSON need the JSON form to be read again as they are. */
static void put_list(struct buf *out, const struct text_list *list)
{
    bool json = false;
    for (uint32_t i = 0; i < list->n; i++)
        json = json || strchr(list->items[i], ',') != NULL;
    buf_puts(out, json ? "[" : "");
    for (uint32_t i = 0; i < list->n; i++) {
        buf_puts(out, i > 0 ? ", " : "");
        if (json)
            buf_json_string(out, slice_of(list->items[i]));
        else
            buf_puts(out, list->items[i]);
    }
    buf_puts(out, json ? "]" : "");
}

void option_format(const struct option_row *row, const struct config *cfg, struct buf *out)
{
    const char *field = (const char *)cfg + row->offset;
    uint32_t narrow = 0;
    uint64_t wide = 0;
    memcpy(&narrow, field, sizeof(narrow));
    switch (row->type) {
    case OPT_TEXT: {
        char *text = NULL;
        memcpy(&text, field, sizeof(text));
        buf_puts(out, text == NULL ? "" : text);
        return;
    }
    case OPT_LIST:
    case OPT_LISTEN: {
        struct text_list list;
        memcpy(&list, field, sizeof(list));
        put_list(out, &list);
        return;
    }
    case OPT_ENUM: put_choice(out, row->choices, narrow); return;
    case OPT_UINT: put_unsigned(out, narrow); return;
    case OPT_COUNT:
    case OPT_BYTES:
    case OPT_DURATION:
        memcpy(&wide, field, sizeof(wide));
        if (row->type == OPT_BYTES)
            put_size(out, wide);
        else if (row->type == OPT_DURATION)
            put_duration(out, wide);
        else
            put_unsigned(out, wide);
        return;
    }
}

void option_allowed(const struct option_row *row, struct buf *out)
{
    switch (row->type) {
    case OPT_TEXT: buf_puts(out, "text"); return;
    case OPT_LIST: buf_puts(out, "a list, separated by commas"); return;
    case OPT_LISTEN: buf_puts(out, "a list of ADDR:PORT or unix:PATH, separated by commas"); return;
    case OPT_ENUM:
        for (const char *c = row->choices; *c != '\0'; c++)
            *c == '|' ? buf_puts(out, ", ") : buf_putc(out, *c);
        return;
    case OPT_UINT:
    case OPT_COUNT:
        buf_printf(out, "%s%lld to %lld", option_may_be_auto(row) ? "auto or " : "",
                   (long long)row->min, (long long)row->max);
        return;
    case OPT_BYTES:
    case OPT_DURATION:
        for (int i = 0; i < 2; i++) {
            uint64_t bound = (uint64_t)(i == 0 ? row->min : row->max);
            row->type == OPT_BYTES ? put_size(out, bound) : put_duration(out, bound);
            buf_puts(out, i == 0 ? " to " : "");
        }
        return;
    }
}

/* ---- Did you mean ---- */

#define FAR 3u

/* Number of insertions, deletions and replacements that make a of b (Levenshtein), for short names.
 */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n >= OPTION_NAME_MAX || m >= OPTION_NAME_MAX)
        return FAR;
    unsigned row[OPTION_NAME_MAX];
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

const char *config_nearest(const char *text, const char *best_so_far, const char *candidate)
{
    unsigned best = best_so_far == NULL ? FAR : distance(text, best_so_far);
    return distance(text, candidate) < best ? candidate : best_so_far;
}

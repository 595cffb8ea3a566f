/* SPDX-License-Identifier: MIT */
#include "integration/harness_items.h"

struct conn *items_open(struct server *s, const char *path, const char *headers)
{
    struct conn *c = conn_open(s);
    conn_request(c, s, text_of("GET %s", path).s, headers, NULL);
    CHECK(conn_await_head(c, 20), "no head for %s", path);
    CHECK(c->status == 200, "%s: %ld", path, c->status);
    return c;
}

/* The next whole item in the text, a copy of its JSON; NULL: none. Moves behind it. */
static char *next_item(const char **at)
{
    static const char begin[] = "{\"seq\":";
    const char *item = strstr(*at, begin), *end = item == NULL ? NULL : strchr(item, '\n');
    if (end == NULL)
        return NULL;
    *at = end;
    return strndup(item, (size_t)(end - item));
}

static void note(struct seen *seen, const char *json)
{
    cJSON *item = cJSON_Parse(json);
    CHECK(item != NULL, "no JSON: %s", json);
    int64_t index = (int64_t)cJSON_GetNumberValue(json_at(item, "index"));
    int64_t seq = (int64_t)cJSON_GetNumberValue(json_at(item, "seq"));
    CHECK(index >= 0 && index < MAX_SEEN && seen->n < MAX_SEEN, "%s", json);
    CHECK(seq > seen->last, "seq %lld after %lld", (long long)seq, (long long)seen->last);
    seen->last = seq;
    seen->index[seen->n++] = index;
    seen->times[index]++;
    cJSON_Delete(item);
}

size_t items_take(struct seen *seen, const struct conn *c, size_t skip, size_t max)
{
    const char *at = c->body == NULL ? "" : c->body;
    size_t n = 0;
    for (char *json; n < skip + max && (json = next_item(&at)) != NULL; n++) {
        if (n >= skip)
            note(seen, json);
        free(json);
    }
    const char *rest = at;
    char *more = next_item(&rest);
    seen->has_end = more == NULL && strstr(at, "{\"end\":true") != NULL;
    free(more);
    return n < skip ? 0 : n - skip;
}

bool items_await(struct conn *c, size_t n, double seconds)
{
    uint64_t until = deadline_in(seconds);
    for (;;) {
        struct seen *now = need_alloc(sizeof *now);
        *now = (struct seen){0};
        size_t have = items_take(now, c, 0, n);
        free(now);
        if (have == n)
            return true;
        if (c->ended || c->closed || deadline_passed(until))
            return false;
        (void)conn_await_bytes(c, c->len + 1, 0.2);
    }
}

void items_expect_each_once(const struct seen *seen, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK(seen->times[i] == 1, "index %zu came %d times", i, seen->times[i]);
    CHECK(seen->n == n, "%zu items instead of %zu", seen->n, n);
}

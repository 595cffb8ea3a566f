/* SPDX-License-Identifier: MIT */
/* The scanner proper: one pass, an explicit stack, and a table of the names of all open objects. */
#include "service/base/json.h"

#include "service/base/json_text.h"
#include "service/base/text.h"

#define MAX_DEPTH 128 /* of any limits: the levels lie on the C stack */

/* Member names: a stack of the names of the open objects, newest last, and a hash table over it.
 * When an object closes, its names leave in reverse order, which undoes their linear probing
 * exactly; so the table holds open objects only. Up to SMALL_KEYS names it lives on the C stack and
 * collisions do not matter. Beyond that it moves to the heap and is hashed with a random seed, so
 * that a hostile text cannot make it slow. Its size is bounded by limits.max_nodes. */

#define SMALL_KEYS 64u
#define SMALL_SLOTS (SMALL_KEYS * 2)

struct key {
    struct slice raw;
    uint64_t hash;
    uint32_t object; /* number of the object it belongs to */
    uint32_t slot;
};

struct keys {
    struct key *stack; /* `small` or heap */
    uint32_t *slots;   /* index into stack + 1; 0 = empty */
    uint32_t n, cap;   /* there are 2 × cap slots, a power of two */
    uint64_t seed;
    struct key small[SMALL_KEYS];
    uint32_t small_slots[SMALL_SLOTS];
};

static void keys_init(struct keys *k)
{
    k->stack = k->small;
    k->slots = k->small_slots;
    k->n = 0;
    k->cap = SMALL_KEYS;
    k->seed = 0;
    memset(k->small_slots, 0, sizeof(k->small_slots));
}

static void keys_release(struct keys *k)
{
    if (k->stack != k->small) {
        free(k->stack);
        free(k->slots);
    }
}

static uint64_t key_hash(const struct keys *k, struct slice raw, uint32_t object)
{
    return json_raw_hash(raw, k->seed ^ object);
}

/* The slot of an equal name of the same object, or the empty slot where it belongs. */
static uint32_t find_slot(const struct keys *k, const struct key *wanted)
{
    uint32_t mask = k->cap * 2 - 1;
    uint32_t slot = (uint32_t)wanted->hash & mask;
    for (; k->slots[slot] != 0; slot = (slot + 1) & mask) {
        const struct key *other = &k->stack[k->slots[slot] - 1];
        if (other->hash == wanted->hash && other->object == wanted->object &&
            json_raw_eq(other->raw, wanted->raw))
            break;
    }
    return slot;
}

static bool keys_grow(struct keys *k)
{
    uint32_t cap = k->cap * 2;
    struct key *stack = malloc(cap * sizeof(*stack));
    uint32_t *slots = calloc(cap * 2u, sizeof(*slots));
    if (stack == NULL || slots == NULL) {
        free(stack);
        free(slots);
        return false;
    }
    memcpy(stack, k->stack, k->n * sizeof(*stack));
    keys_release(k);
    k->stack = stack;
    k->slots = slots;
    k->cap = cap;
    if (k->seed == 0)
        random_bytes(&k->seed, sizeof(k->seed));
    for (uint32_t i = 0; i < k->n; i++) {
        stack[i].hash = key_hash(k, stack[i].raw, stack[i].object);
        stack[i].slot = find_slot(k, &stack[i]);
        slots[stack[i].slot] = i + 1;
    }
    return true;
}

enum key_outcome { KEY_ADDED, KEY_DUPLICATE, KEY_NO_MEMORY };

static enum key_outcome keys_add(struct keys *k, struct slice raw, uint32_t object)
{
    if (k->n == k->cap && !keys_grow(k))
        return KEY_NO_MEMORY;
    struct key key = {.raw = raw, .hash = key_hash(k, raw, object), .object = object};
    key.slot = find_slot(k, &key);
    if (k->slots[key.slot] != 0)
        return KEY_DUPLICATE;
    k->stack[k->n++] = key;
    k->slots[key.slot] = k->n;
    return KEY_ADDED;
}

/* Forgets all names but the first n. */
static void keys_drop(struct keys *k, uint32_t n)
{
    PRE(n <= k->n);
    while (k->n > n)
        k->slots[k->stack[--k->n].slot] = 0;
}

/* ---- The scan ---- */

enum expect { VALUE, VALUE_OR_END, NAME, NAME_OR_END, AFTER_VALUE };

struct level {
    bool object;
    uint32_t object_no;
    uint32_t n_keys; /* names on the stack when it was opened */
};

struct scan {
    const char *begin, *p, *end;
    enum expect expect;
    uint32_t depth, n_nodes, n_objects;
    struct json_limits limits;
    struct err *err;
    struct level levels[MAX_DEPTH];
    struct keys keys;
};

static bool refuse_at(const struct scan *s, const char *where, const char *why)
{
    if (where >= s->end)
        return err_set(s->err, ERR_INVALID_JSON, "The text ends too early, at byte %zu: %s",
                       (size_t)(s->end - s->begin), why);
    return err_set(s->err, ERR_INVALID_JSON, "At byte %zu: %s", (size_t)(where - s->begin), why);
}

static bool refuse(const struct scan *s, const char *why)
{
    return refuse_at(s, s->p, why);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool skip_digits(struct scan *s)
{
    const char *first = s->p;
    while (s->p < s->end && is_digit(*s->p))
        s->p++;
    return s->p > first || refuse(s, "a digit is expected here");
}

static bool scan_number(struct scan *s)
{
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++; /* no digit may follow; the caller finds it */
    else if (!skip_digits(s))
        return false;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!skip_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!skip_digits(s))
            return false;
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    for (const char *c = word; *c != '\0'; c++, s->p++) {
        if (s->p == s->end || *s->p != *c)
            return refuse(s, "only null, true and false are words");
    }
    return true;
}

/* The four digits at p as a number, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = is_digit(c)              ? c - '0'
                    : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                    : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                             : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static bool scan_u_escape(struct scan *s)
{
    int32_t unit = hex4(s->p + 2, s->end);
    if (unit < 0)
        return refuse(s, "\\u wants four hexadecimal digits");
    if (unit == 0)
        return refuse(s, "\\u0000 is not allowed");
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return refuse(s, "a low surrogate without a high one before it");
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        const char *low = s->p + 6;
        int32_t low_unit = s->end - low >= 2 && low[0] == '\\' && low[1] == 'u'
                               ? hex4(low + 2, s->end)
                               : -1;
        if (low_unit < 0xDC00 || low_unit > 0xDFFF)
            return refuse(s, "a high surrogate without a low one behind it");
        s->p += 6;
    }
    s->p += 6;
    return true;
}

static bool scan_escape(struct scan *s)
{
    if (s->end - s->p < 2)
        return refuse_at(s, s->end, "a string is open");
    char c = s->p[1];
    if (c == 'u')
        return scan_u_escape(s);
    if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
        return refuse(s, "unknown escape in a string");
    s->p += 2;
    return true;
}

/* True when none of the eight bytes is a control character, quote, backslash or beyond ASCII. */
static inline bool eight_are_plain(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t quote = w ^ (ones * '"'), backslash = w ^ (ones * '\\');
    return (((w - ones * 0x20) | (quote - ones) | (backslash - ones) | w) & tops) == 0;
}

/* The string whose opening quote is at s->p. */
static bool scan_string(struct scan *s, struct slice *ret_raw)
{
    const char *first = ++s->p;
    for (;;) {
        while (s->end - s->p >= 8 && eight_are_plain(s->p))
            s->p += 8;
        if (s->p >= s->end)
            return refuse(s, "a string is open");
        unsigned char c = (unsigned char)*s->p;
        if (c == '"')
            break;
        if (c == '\\') {
            if (!scan_escape(s))
                return false;
        } else if (c < 0x20) {
            return refuse(s, "a control character in a string must be escaped");
        } else {
            uint32_t code = 0;
            size_t step = text_utf8_step(s->p, (size_t)(s->end - s->p), &code);
            if (step == 0)
                return refuse(s, "this is not UTF-8");
            s->p += step;
        }
    }
    *ret_raw = (struct slice){first, (size_t)(s->p - first)};
    s->p++;
    return true;
}

static bool open_level(struct scan *s, bool object)
{
    if (s->depth == s->limits.max_depth)
        return err_set(s->err, ERR_INVALID_JSON, "At byte %zu: nested deeper than %u levels",
                       (size_t)(s->p - s->begin), s->limits.max_depth);
    s->n_objects += object;
    s->levels[s->depth++] = (struct level){object, s->n_objects, s->keys.n};
    s->p++;
    s->expect = object ? NAME_OR_END : VALUE_OR_END;
    return true;
}

static void close_level(struct scan *s)
{
    PRE(s->depth > 0);
    s->depth--;
    keys_drop(&s->keys, s->levels[s->depth].n_keys);
    s->p++;
    s->expect = AFTER_VALUE;
}

static bool scan_value(struct scan *s)
{
    struct slice raw;
    if (++s->n_nodes > s->limits.max_nodes)
        return err_set(s->err, ERR_INVALID_JSON, "At byte %zu: more than %u values",
                       (size_t)(s->p - s->begin), s->limits.max_nodes);
    s->expect = AFTER_VALUE;
    switch (*s->p) {
    case '{': return open_level(s, true);
    case '[': return open_level(s, false);
    case '"': return scan_string(s, &raw);
    case 'n': return scan_word(s, "null");
    case 't': return scan_word(s, "true");
    case 'f': return scan_word(s, "false");
    default:
        if (*s->p == '-' || is_digit(*s->p))
            return scan_number(s);
        return refuse(s, "a value is expected here");
    }
}

static bool skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
    return s->p < s->end;
}

static bool scan_name(struct scan *s)
{
    if (*s->p != '"')
        return refuse(s, "a member name in quotes is expected here");
    const char *quote = s->p;
    struct slice raw;
    if (!scan_string(s, &raw))
        return false;
    switch (keys_add(&s->keys, raw, s->levels[s->depth - 1].object_no)) {
    case KEY_DUPLICATE:
        return refuse_at(s, quote, "this member name was used before in the same object");
    case KEY_NO_MEMORY: return err_set(s->err, ERR_OVERLOADED, "Out of memory");
    case KEY_ADDED: break;
    }
    if (!skip_space(s) || *s->p != ':')
        return refuse(s, "a colon is expected here");
    s->p++;
    s->expect = VALUE;
    return true;
}

/* Behind a value inside a container: a comma or the matching bracket. */
static bool scan_after(struct scan *s)
{
    bool object = s->levels[s->depth - 1].object;
    if (*s->p == (object ? '}' : ']')) {
        close_level(s);
        return true;
    }
    if (*s->p != ',')
        return refuse(s,
                      object ? "a comma or } is expected here" : "a comma or ] is expected here");
    s->p++;
    s->expect = object ? NAME : VALUE;
    return true;
}

static bool scan_step(struct scan *s)
{
    switch (s->expect) {
    case VALUE_OR_END:
        if (*s->p == ']') {
            close_level(s);
            return true;
        }
        return scan_value(s);
    case VALUE: return scan_value(s);
    case NAME_OR_END:
        if (*s->p == '}') {
            close_level(s);
            return true;
        }
        return scan_name(s);
    case NAME: return scan_name(s);
    case AFTER_VALUE: return scan_after(s);
    }
    return false;
}

static bool scan_all(struct scan *s)
{
    if (s->end - s->begin >= 3 && memcmp(s->begin, "\xEF\xBB\xBF", 3) == 0)
        return refuse(s, "a byte order mark is not allowed");
    while (s->expect != AFTER_VALUE || s->depth > 0) {
        if (!skip_space(s))
            return refuse(s, s->depth == 0 ? "a value is expected here"
                                           : "an array or object is open");
        if (!scan_step(s))
            return false;
    }
    return !skip_space(s) || refuse(s, "nothing may follow the value");
}

bool json_validate(struct slice text, struct json_limits limits, struct err *err)
{
    PRE(limits.max_depth <= MAX_DEPTH);
    struct scan s UNCLEARED; /* 5 KiB that a small text never touches */
    s.begin = s.p = text.ptr;
    s.end = text.ptr + text.len;
    s.expect = VALUE;
    s.depth = s.n_nodes = s.n_objects = 0;
    s.limits = limits;
    s.err = err;
    keys_init(&s.keys);
    bool ok = scan_all(&s);
    keys_release(&s.keys);
    return ok;
}

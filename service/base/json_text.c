/* SPDX-License-Identifier: MIT */
#include "service/base/json_text.h"

#include "service/base/hex.h"

#include <endian.h>

__extension__ typedef unsigned __int128 u128;

/* The code unit of the \uXXXX whose backslash is at p; the digits have been checked. */
static uint32_t read_u_escape(const char *p)
{
    uint32_t unit = 0;
    for (int i = 2; i < 6; i++)
        unit = unit << 4 | (uint32_t)hex_value(p[i]);
    return unit;
}

static size_t put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00u >> len & 0xFFu) | code);
    return len;
}

/* Undoes the escape at p: its bytes go to out, their number to ret_len. Returns the length of the
 * escape. */
static size_t escape_step(const char *p, char out[4], size_t *ret_len)
{
    static const char meaning[128] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    if (p[1] != 'u') {
        out[0] = meaning[p[1] & 0x7F];
        *ret_len = 1;
        return 2;
    }
    uint32_t code = read_u_escape(p);
    size_t used = 6;
    if (code >= 0xD800 && code <= 0xDBFF) { /* the scanner has seen to it that the low half follows
                                             */
        code = 0x10000 + ((code - 0xD800) << 10) + (read_u_escape(p + 6) - 0xDC00);
        used = 12;
    }
    *ret_len = put_utf8(code, out);
    return used;
}

static bool has_escapes(struct slice raw)
{
    return raw.len > 0 && memchr(raw.ptr, '\\', raw.len) != NULL;
}

size_t json_unescape(struct slice raw, char *out)
{
    const char *p = raw.ptr, *end = raw.ptr + raw.len;
    size_t len = 0;
    while (p < end) {
        const char *backslash = memchr(p, '\\', (size_t)(end - p));
        const char *stop = backslash == NULL ? end : backslash;
        memcpy(out + len, p, (size_t)(stop - p));
        len += (size_t)(stop - p);
        p = stop;
        if (p < end) {
            char bytes[4];
            size_t n = 0;
            p += escape_step(p, bytes, &n);
            memcpy(out + len, bytes, n);
            len += n;
        }
    }
    POST(len <= raw.len);
    return len;
}

/* Reads a string byte by byte with its escapes undone. */
struct byte_reader {
    const char *at, *end;
    char pending[4];
    size_t n_pending, next_pending;
};

static struct byte_reader reader_of(struct slice raw)
{
    return (struct byte_reader){.at = raw.ptr, .end = raw.ptr + raw.len};
}

/* The next byte, or -1 at the end. */
static int read_byte(struct byte_reader *r)
{
    if (r->next_pending < r->n_pending)
        return (unsigned char)r->pending[r->next_pending++];
    if (r->at >= r->end)
        return -1;
    if (*r->at != '\\')
        return (unsigned char)*r->at++;
    r->at += escape_step(r->at, r->pending, &r->n_pending);
    r->next_pending = 1;
    return (unsigned char)r->pending[0];
}

bool json_raw_is(struct slice raw, struct slice plain)
{
    if (raw.len < plain.len) /* an escape is never shorter than what it stands for */
        return false;
    if (plain.len > 0 && raw.ptr[0] != plain.ptr[0] && raw.ptr[0] != '\\')
        return false; /* as most do: a name is looked for among many */
    struct byte_reader r = reader_of(raw);
    for (size_t i = 0; i < plain.len; i++) {
        if (read_byte(&r) != (unsigned char)plain.ptr[i])
            return false;
    }
    return read_byte(&r) == -1;
}

bool json_raw_eq(struct slice a, struct slice b)
{
    if (!has_escapes(a))
        return json_raw_is(b, a);
    if (!has_escapes(b))
        return json_raw_is(a, b);
    struct byte_reader left = reader_of(a), right = reader_of(b);
    int c = 0;
    while (c != -1) {
        c = read_byte(&left);
        if (c != read_byte(&right))
            return false;
    }
    return true;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Folded multiplication of 8 bytes at a time, in the manner of wyhash. */
static const uint64_t hash_prime_a = 0xA0761D6478BD642Fu, hash_prime_b = 0xE7037ED1A0B428DBu;

static uint64_t hash_escaped(struct slice raw, uint64_t hash)
{
    struct byte_reader r = reader_of(raw);
    uint64_t word = 0, len = 0;
    for (int c = read_byte(&r); c != -1; c = read_byte(&r)) {
        word |= (uint64_t)c << (len % 8 * 8);
        if (++len % 8 == 0) {
            hash = mix(hash ^ word, hash_prime_a);
            word = 0;
        }
    }
    return mix(mix(hash ^ word, hash_prime_a) ^ len, hash_prime_b);
}

uint64_t json_raw_hash(struct slice raw, uint64_t seed)
{
    uint64_t hash = mix(seed ^ hash_prime_b, hash_prime_a);
    if (has_escapes(raw))
        return hash_escaped(raw, hash);
    uint64_t word = 0;
    size_t i = 0;
    for (; raw.len - i >= 8; i += 8) {
        memcpy(&word, raw.ptr + i, 8);
        hash = mix(hash ^ le64toh(word), hash_prime_a);
    }
    word = 0;
    if (i < raw.len)
        memcpy(&word, raw.ptr + i, raw.len - i);
    return mix(mix(hash ^ le64toh(word), hash_prime_a) ^ raw.len, hash_prime_b);
}

/* SPDX-License-Identifier: MIT */
#include "service/base/wire.h"

size_t wire_put_number(char out[WIRE_NUMBER_MAX], uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (char)(unsigned char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (char)(unsigned char)v;
    return n;
}

size_t wire_put_string(char *out, struct slice s)
{
    const size_t n = wire_put_number(out, s.len);
    if (s.len > 0)
        memcpy(out + n, s.ptr, s.len);
    out[n + s.len] = '\0';
    return n + s.len + 1;
}

void wire_append_number(struct buf *out, uint64_t v)
{
    char bytes[WIRE_NUMBER_MAX];
    buf_append(out, bytes, wire_put_number(bytes, v));
}

void wire_append_string(struct buf *out, struct slice s)
{
    wire_append_number(out, s.len);
    buf_append(out, s.ptr, s.len);
    buf_putc(out, '\0');
}

bool wire_has_nul(struct slice s)
{
    return s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL;
}

uint64_t wire_read_number(struct wire_reader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; !r->bad && shift < 64; shift += 7) {
        if (r->at == r->end)
            break;
        const unsigned char byte = (unsigned char)*r->at++;
        const uint64_t part = byte & 0x7f;
        if (shift == 63 && part > 1)
            break;
        v |= part << shift;
        if ((byte & 0x80) == 0) {
            /* Only the shortest form: equal tasks have equal bytes. */
            if (byte == 0 && shift > 0)
                break;
            return v;
        }
    }
    r->bad = true;
    return 0;
}

int64_t wire_read_i64(struct wire_reader *r)
{
    const uint64_t v = wire_read_number(r);
    if (v > INT64_MAX) {
        r->bad = true;
        return 0;
    }
    return (int64_t)v;
}

uint32_t wire_read_u32(struct wire_reader *r, uint32_t max)
{
    const uint64_t v = wire_read_number(r);
    if (v > max) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)v;
}

struct slice wire_read_bytes(struct wire_reader *r, size_t tail)
{
    const uint64_t len = wire_read_number(r);
    const size_t left = (size_t)(r->end - r->at);
    if (r->bad || left < tail || len > left - tail) {
        r->bad = true;
        return (struct slice){NULL, 0};
    }
    const struct slice s = {r->at, (size_t)len};
    r->at += len + tail;
    return s;
}

struct slice wire_read_string(struct wire_reader *r)
{
    const struct slice s = wire_read_bytes(r, 1);
    if (!r->bad && (s.ptr[s.len] != '\0' || wire_has_nul(s)))
        r->bad = true;
    return s;
}

struct slice *wire_read_strings(struct wire_reader *r, struct arena *a, uint32_t n)
{
    /* Each string takes two bytes at least, so a small lie cannot ask for much memory. */
    if (r->bad || (size_t)(r->end - r->at) / 2 < n) {
        r->bad = true;
        return NULL;
    }
    struct slice *all = arena_alloc(a, (n + 1) * sizeof(*all));
    if (all == NULL) {
        r->bad = true;
        return NULL;
    }
    for (uint32_t i = 0; i < n && !r->bad; i++)
        all[i] = wire_read_string(r);
    return all;
}

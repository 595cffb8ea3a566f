/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include "service/base/text.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

enum { BEL = 0x07, ESC = 0x1B, DEL = 0x7F };

static bool is_kept_control(unsigned char c)
{
    return c == '\t' || c == '\n' || c == '\r';
}

/* C1 controls and what turns the direction of writing. */
static bool is_treacherous(uint32_t code)
{
    return (code >= 0x80 && code < 0xA0) || code == 0x061C || code == 0x200E || code == 0x200F ||
           (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

/* Bytes that the character beginning with `lead` has, 0 when none begins so. */
static size_t utf8_length(unsigned char lead)
{
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if (lead >= 0xE0 && lead <= 0xEF)
        return 3;
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

static void put_held(struct cleaner *c, struct buf *out)
{
    uint32_t code = 0;
    if (text_utf8_step(c->held, c->n_held, &code) == c->n_held) {
        if (!is_treacherous(code))
            buf_append(out, c->held, c->n_held);
    } else {
        buf_puts(out, REPLACEMENT);
    }
    c->n_held = 0;
}

/* One byte of text. A character is held until it is whole. */
static void text_byte(struct cleaner *c, unsigned char byte, struct buf *out)
{
    if (c->n_held > 0) {
        if ((byte & 0xC0) == 0x80) {
            c->held[c->n_held++] = (char)byte;
            if (c->n_held == utf8_length((unsigned char)c->held[0]))
                put_held(c, out);
            return;
        }
        buf_puts(out, REPLACEMENT); /* it was cut short by another character */
        c->n_held = 0;
    }
    if (byte == ESC)
        c->state = CLEAN_ESCAPE;
    else if (byte < 0x20 ? is_kept_control(byte) : byte < DEL)
        buf_putc(out, (char)byte);
    else if (byte >= 0x80 && utf8_length(byte) > 0)
        c->held[c->n_held++] = (char)byte;
    else if (byte >= 0x80)
        buf_puts(out, REPLACEMENT);
}

/* One byte after ESC; false when it is no part of the sequence and must be looked at as text.
 * ECMA-48: `[` begins a control sequence, `] P X ^ _` a string, 0x20…0x2F go on, others end. */
static bool escape_byte(struct cleaner *c, unsigned char byte)
{
    if (byte >= 0x20 && byte <= 0x2F)
        return true;
    c->state = CLEAN_TEXT;
    if (byte == '[')
        c->state = CLEAN_CSI;
    else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_')
        c->state = CLEAN_STRING;
    return byte >= 0x30 && byte < DEL;
}

/* One byte of a control sequence or string; false as above. A string ends at BEL or ESC \; any
 * other control ends it too, so that an open one cannot swallow the lines that follow. */
static bool sequence_byte(struct cleaner *c, unsigned char byte)
{
    if (c->state == CLEAN_CSI) {
        if (byte >= 0x20 && byte <= 0x3F)
            return true;
        c->state = CLEAN_TEXT;
        return byte >= 0x40 && byte < DEL;
    }
    if (byte >= 0x20)
        return true;
    c->state = byte == ESC ? CLEAN_ESCAPE : CLEAN_TEXT;
    return byte == BEL || byte == ESC;
}

void cleaner_feed(struct cleaner *c, struct slice bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];
        bool taken = false;
        if (c->state == CLEAN_ESCAPE)
            taken = escape_byte(c, byte);
        else if (c->state != CLEAN_TEXT)
            taken = sequence_byte(c, byte);
        if (!taken)
            text_byte(c, byte, out);
    }
}

void cleaner_end(struct cleaner *c, struct buf *out)
{
    if (c->n_held > 0)
        put_held(c, out);
    c->state = CLEAN_TEXT;
}

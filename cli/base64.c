/* SPDX-License-Identifier: MIT */
#include "cli/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct buf *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = MIN(bytes.len - i, 3u);
        uint32_t group = 0;
        for (size_t j = 0; j < 3; j++)
            group = group << 8 | (j < n ? (unsigned char)bytes.ptr[i + j] : 0u);
        const char text[4] = {
            digits[group >> 18 & 63],
            digits[group >> 12 & 63],
            n > 1 ? digits[group >> 6 & 63] : '=',
            n > 2 ? digits[group & 63] : '=',
        };
        buf_append(out, text, sizeof(text));
    }
}

/* How many of the four characters are digits: 4, or 2 or 3 with "=" behind them; 0: none of these.
 */
static size_t group_digits(const char *text, bool last)
{
    size_t n = 0;
    while (n < 4 && text[n] != '=')
        n++;
    for (size_t i = n; i < 4; i++) {
        if (text[i] != '=')
            return 0;
    }
    return n == 4 || (last && n >= 2) ? n : 0;
}

bool base64_read(struct slice text, struct buf *out)
{
    if (text.len % 4 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t n = group_digits(text.ptr + i, i + 4 == text.len);
        uint32_t group = 0;
        if (n == 0)
            return false;
        for (size_t j = 0; j < 4; j++) {
            const char *digit = j < n ? memchr(digits, text.ptr[i + j], sizeof(digits) - 1)
                                      : digits;
            if (digit == NULL)
                return false;
            group = group << 6 | (uint32_t)(digit - digits);
        }
        const char bytes[3] = {(char)(group >> 16), (char)(group >> 8), (char)group};
        buf_append(out, bytes, n - 1);
    }
    return buf_ok(out);
}

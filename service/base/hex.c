/* SPDX-License-Identifier: MIT */
#include "service/base/hex.h"

void hex_put(char *to, const void *bytes, size_t n)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < n; i++) {
        *to++ = HEX_DIGITS[from[i] >> 4];
        *to++ = HEX_DIGITS[from[i] & 15];
    }
}

void hex_put_number(char *to, uint64_t value, int n_digits)
{
    for (int i = n_digits - 1; i >= 0; i--, value >>= 4)
        to[i] = HEX_DIGITS[value & 15];
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* SPDX-License-Identifier: MIT */
/* Hexadecimal digits: written in lower case, read in either. */
#ifndef GANGER_BASE_HEX_H
#define GANGER_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

#define HEX_DIGITS "0123456789abcdef"

/* Two digits a byte; not terminated. */
void hex_put(char *to, const void *bytes, size_t n);
/* The lowest n_digits digits of a number; not terminated. */
void hex_put_number(char *to, uint64_t value, int n_digits);
int hex_value(char c); /* -1: no digit */

#endif

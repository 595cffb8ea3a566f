/* SPDX-License-Identifier: MIT */
/* What every program of bench/ needs: a clock, an end with a message, numbers of the command line,
 * quantiles, loopback sockets. A measuring program that meets anything unexpected ends with status
 * 1: it never prints a number then. */
#ifndef GANGER_BENCH_COMMON_H
#define GANGER_BENCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))

uint64_t now_ns(void);

/* Prints the message and, when errno is set, its text; exits 1. */
NORETURN PRINTF_LIKE(1, 2) void die(const char *fmt, ...);

/* Zeroed; ends the program when there is none. */
void *must_alloc(size_t size);

/* The whole text must be a number within the bounds, or the program ends. */
int64_t number_of(const char *text, int64_t min, int64_t max);
double seconds_of(const char *text);

/* Sorts the samples; a quantile is then samples[n * percent / 100] in microseconds. */
void samples_sort(uint64_t *samples_ns, size_t n);
double samples_us(const uint64_t *sorted_ns, size_t n, unsigned percent);

void pause_ns(uint64_t ns);

/* Resident memory of a process in KiB, 0 when it cannot be read. */
int64_t resident_kib(int64_t pid);

/* 127.0.0.1; the listener does not block, the connection does and has Nagle switched off. */
int listen_loopback(uint16_t port);
int connect_loopback(uint16_t port);

#endif

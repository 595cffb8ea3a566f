/* SPDX-License-Identifier: MIT */
/* The slow way to a Fibonacci number. bench/peers/fib.c measures the same code without a service.
 */
#ifndef GANGER_EXAMPLES_FIB_H
#define GANGER_EXAMPLES_FIB_H

/* NOLINTNEXTLINE(misc-no-recursion): the recursion is the work */
static long fib(long n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

#endif

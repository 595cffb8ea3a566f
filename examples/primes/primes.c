/* SPDX-License-Identifier: MIT */
/* primes FROM TO: prints how many primes p there are with FROM <= p < TO. Trial division on
 * purpose: it is a job that keeps a processor busy, not a way to count primes. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_NUMBER UINT64_C(1000000000000)

static bool is_prime(uint64_t n)
{
    if (n < 4)
        return n >= 2;
    if (n % 2 == 0 || n % 3 == 0)
        return false;
    for (uint64_t d = 5; d * d <= n; d += 6) {
        if (n % d == 0 || n % (d + 2) == 0)
            return false;
    }
    return true;
}

static bool parse_number(const char *text, uint64_t *ret_number)
{
    char *end = NULL;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    uintmax_t number = strtoumax(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > MAX_NUMBER)
        return false;
    *ret_number = number;
    return true;
}

int main(int argc, char **argv)
{
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t count = 0;

    if (argc != 3 || !parse_number(argv[1], &from) || !parse_number(argv[2], &to)) {
        fprintf(stderr, "usage: primes FROM TO   (whole numbers up to %" PRIu64 ")\n", MAX_NUMBER);
        return 2;
    }
    for (uint64_t n = from; n < to; n++)
        count += is_prime(n) ? 1 : 0;
    printf("%" PRIu64 "\n", count);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: MIT */
#include "service/base/footprint.h"

#include <criterion/criterion.h>

#define MS UINT64_C(1000000)

Test(footprint, who_has_worked_rests_once_when_nothing_came)
{
    _Atomic uint32_t n_awake = 0;
    struct rest rest = {.n_awake = &n_awake};
    cr_assert_eq(rest_next_ns(&rest), UINT64_MAX);
    rest_worked(&rest, 7 * MS);
    rest_worked(&rest, 9 * MS);
    cr_assert_not(rest_is_due(&rest, 9 * MS + REST_NS - 1));
    cr_assert(rest_is_due(&rest, 9 * MS + REST_NS));
    rest_begin(&rest);
    cr_assert_not(rest_is_due(&rest, UINT64_MAX - 1), "an idle thread would wake up again");
    cr_assert_eq(rest_next_ns(&rest), UINT64_MAX);
}

Test(footprint, poll_waits_for_the_earlier_of_both)
{
    _Atomic uint32_t n_awake = 0;
    struct rest rest = {.n_awake = &n_awake};
    cr_assert_eq(rest_wait_ms(&rest, 0, -1), -1);
    cr_assert_eq(rest_wait_ms(&rest, 0, 30), 30);
    rest_worked(&rest, MS);
    const int whole = (int)(REST_NS / MS);
    cr_assert_eq(rest_wait_ms(&rest, MS, -1), whole + 1);
    cr_assert_eq(rest_wait_ms(&rest, MS, 30), 30);
    cr_assert_eq(rest_wait_ms(&rest, MS + REST_NS - 10 * MS, 30), 11);
    cr_assert_eq(rest_wait_ms(&rest, MS + REST_NS, 30), 0);
}

/* Only then the process is trimmed. */
Test(footprint, the_last_one_is_known)
{
    _Atomic uint32_t n_awake = 0;
    struct rest one = {.n_awake = &n_awake}, two = {.n_awake = &n_awake};
    rest_worked(&one, 1);
    rest_worked(&two, 1);
    rest_worked(&two, 2);
    cr_assert_eq(n_awake, 2);
    rest_begin(&one);
    cr_assert_eq(n_awake, 1);
    rest_worked(&one, 3);
    cr_assert_eq(n_awake, 2);
    rest_begin(&two);
    rest_begin(&one);
    cr_assert_eq(n_awake, 0);
}

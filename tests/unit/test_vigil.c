/* SPDX-License-Identifier: MIT */
#include "service/base/vigil.h"

#include <criterion/criterion.h>

#define LONG_NS UINT64_C(60000000000)

static void spend(uint64_t ns)
{
    for (uint64_t from_ns = clock_mono_ns(); clock_mono_ns() - from_ns < ns;) {
    }
}

static void keep_in_vain(struct vigil *v)
{
    v->paused_until_ns = 0;
    vigil_begin(v, 1000);
    while (vigil_goes_on(v)) {
    }
}

Test(vigil, is_over_when_its_time_is)
{
    struct vigil v = {0};
    uint64_t from_ns = clock_mono_ns(), looks = 0;
    for (vigil_begin(&v, 1000000); vigil_goes_on(&v);)
        looks++;
    cr_assert(looks > 0);
    cr_assert(v.was_robbed || clock_mono_ns() - from_ns >= 1000000);
    vigil_begin(&v, 0);
    cr_assert_not(vigil_goes_on(&v), "there is none");
}

Test(vigil, gives_way_to_who_wants_the_processor)
{
    struct vigil v = {0};
    vigil_begin(&v, LONG_NS);
    spend(2000000); /* as if another thread had run */
    cr_assert(vigil_goes_on(&v), "what it waits for may have come meanwhile: one more look");
    cr_assert_not(vigil_goes_on(&v));
    cr_assert_not(vigil_goes_on(&v));
}

Test(vigil, rests_after_one_in_vain_and_twice_as_long_after_the_next)
{
    struct vigil v = {0};
    keep_in_vain(&v);
    cr_assert_eq(v.pause_ns, VIGIL_PAUSE_MIN_NS);
    v.paused_until_ns = clock_mono_ns() + LONG_NS;
    vigil_begin(&v, LONG_NS);
    cr_assert_not(vigil_goes_on(&v), "it rests");
    keep_in_vain(&v);
    cr_assert_eq(v.pause_ns, 2 * VIGIL_PAUSE_MIN_NS, "a vigil that was not kept is no success");
    for (int i = 0; i < 100; i++)
        keep_in_vain(&v);
    cr_assert_eq(v.pause_ns, VIGIL_PAUSE_MAX_NS);
}

Test(vigil, forgets_failures_with_a_success)
{
    struct vigil v = {0};
    for (int i = 0; i < 3; i++)
        keep_in_vain(&v);
    v.paused_until_ns = 0;
    vigil_begin(&v, LONG_NS);
    cr_assert(vigil_goes_on(&v));
    keep_in_vain(&v); /* the one before it was left, since its look had found something */
    cr_assert_eq(v.pause_ns, VIGIL_PAUSE_MIN_NS);
}

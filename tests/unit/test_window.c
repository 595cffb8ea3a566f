/* SPDX-License-Identifier: MIT */
/* service/window.c with a clock of the test's own: never more beginnings in a span than tokens. */
#include "service/window.h"

#include <criterion/criterion.h>

#define MS UINT64_C(1000000)
#define SPAN_US INT64_C(1000000)
#define SPAN_NS (1000 * MS)
#define START_NS (UINT64_C(5000000) * MS + 12345)

static struct window fresh(uint64_t now_ns)
{
    struct window w;
    window_init(&w, SPAN_US, now_ns);
    return w;
}

Test(window, a_token_comes_back_one_span_after_its_use_and_not_before)
{
    struct window w = fresh(START_NS);
    cr_assert_eq(window_next_ns(&w), UINT64_MAX);
    window_add(&w, START_NS, 3);
    cr_assert_eq(window_count(&w, START_NS + SPAN_NS - 1), 3);
    uint64_t next_ns = window_next_ns(&w);
    cr_assert_geq(next_ns, START_NS + SPAN_NS);
    cr_assert_leq(next_ns, START_NS + SPAN_NS + SPAN_NS / WINDOW_PARTS);
    cr_assert_eq(window_count(&w, next_ns - 1), 3);
    cr_assert_eq(window_count(&w, next_ns), 0);
    cr_assert_eq(window_next_ns(&w), UINT64_MAX);
}

/* SplitMix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

Test(window, no_span_holds_more_than_its_tokens)
{
    enum { N = 7, BEGINNINGS = 5000 };
    static uint64_t begun[BEGINNINGS];
    uint64_t random = 7, now_ns = START_NS;
    struct window w = fresh(now_ns);
    for (size_t i = 0; i < BEGINNINGS;) {
        now_ns += next_random(&random) %
                  (next_random(&random) % 20 == 0 ? 3 * SPAN_NS : SPAN_NS / 9);
        if (window_count(&w, now_ns) >= N)
            continue;
        window_add(&w, now_ns, 1);
        begun[i++] = now_ns;
    }
    for (size_t i = N; i < BEGINNINGS; i++)
        cr_assert_geq(begun[i] - begun[i - N], SPAN_NS, "beginning %zu", i);
}

Test(window, whoever_wakes_when_it_says_gets_nearly_all_of_the_rate)
{
    enum { N = 4, ROUNDS = 100 };
    uint64_t now_ns = START_NS;
    struct window w = fresh(now_ns);
    for (int i = 0; i < ROUNDS; i++) {
        cr_assert_eq(window_count(&w, now_ns), 0, "round %d", i);
        window_add(&w, now_ns, N);
        now_ns = window_next_ns(&w);
    }
    cr_assert_leq(now_ns - START_NS, ROUNDS * (SPAN_NS + SPAN_NS / WINDOW_PARTS));
}

Test(window, a_long_pause_forgets_everything)
{
    struct window w = fresh(START_NS);
    window_add(&w, START_NS, 9);
    window_add(&w, START_NS + SPAN_NS / 2, 9);
    cr_assert_eq(window_count(&w, START_NS + 1000 * SPAN_NS), 0);
    window_add(&w, START_NS + 1000 * SPAN_NS, 1);
    cr_assert_eq(window_count(&w, START_NS + 1000 * SPAN_NS), 1);
}

static struct slice bytes_of(const struct window_bytes *bytes)
{
    return (struct slice){(const char *)bytes, sizeof *bytes};
}

/* The next server's clock begins anywhere, so do its slots. */
Test(window, what_is_loaded_never_comes_back_too_early)
{
    uint64_t random = 3;
    for (int round = 0; round < 2000; round++) {
        uint64_t begun_ns = START_NS + next_random(&random) % SPAN_NS;
        uint64_t saved_ns = begun_ns + next_random(&random) % SPAN_NS;
        uint64_t away_ns = next_random(&random) % SPAN_NS / 1000 * 1000;
        uint64_t loaded_ns = 1000 * SPAN_NS + next_random(&random) % SPAN_NS;
        struct window_bytes bytes = {.wall_us = 1000000};
        struct window w = fresh(begun_ns);
        window_add(&w, begun_ns, 1);
        window_save(&w, saved_ns, &bytes);
        w = fresh(loaded_ns);
        cr_assert(
            window_load(&w, loaded_ns, 1000000 + (int64_t)(away_ns / 1000), bytes_of(&bytes)));
        uint64_t age_ns = saved_ns - begun_ns + away_ns;
        if (age_ns >= SPAN_NS)
            continue;
        cr_assert_eq(window_count(&w, loaded_ns + SPAN_NS - age_ns - 1), 1, "round %d", round);
        cr_assert_eq(window_count(&w, loaded_ns + SPAN_NS - age_ns + 5 * SPAN_NS / WINDOW_PARTS), 0,
                     "round %d", round);
    }
}

Test(window, what_was_held_counts_as_begun_when_it_is_loaded)
{
    struct window_bytes bytes = {.wall_us = 1000000, .held = 2};
    struct window w = fresh(START_NS);
    window_save(&w, START_NS, &bytes);
    cr_assert(window_load(&w, START_NS, 1000000 + 10 * SPAN_US, bytes_of(&bytes)));
    cr_assert_eq(window_count(&w, START_NS + SPAN_NS - 1), 2);
}

Test(window, a_wall_clock_that_went_back_gives_nothing_back)
{
    struct window_bytes bytes = {.wall_us = 1000000};
    struct window w = fresh(START_NS);
    window_add(&w, START_NS, 5);
    window_save(&w, START_NS, &bytes);
    w = fresh(START_NS);
    cr_assert(window_load(&w, START_NS, -1000000, bytes_of(&bytes)));
    cr_assert_eq(window_count(&w, START_NS + SPAN_NS - 1), 5);
}

Test(window, bytes_of_another_span_are_refused)
{
    struct window_bytes bytes = {.wall_us = 1};
    struct window w = fresh(START_NS), other;
    window_save(&w, START_NS, &bytes);
    window_init(&other, 2 * SPAN_US, START_NS);
    cr_assert_not(window_load(&other, START_NS, 1, bytes_of(&bytes)));
    cr_assert_not(window_load(&w, START_NS, 1, (struct slice){(const char *)&bytes, 5}));
}

/* SPDX-License-Identifier: MIT */
#include "service/base/vigil.h"

#include "service/base/config.h"

/* A look is a system call, a microsecond: when so much has passed between two of them, others want
 * the processor, and are worth more. An interrupt takes less. */
#define ROBBED_NS UINT64_C(30000)

void vigil_begin(struct vigil *v, uint64_t ns)
{
    uint64_t now_ns = clock_mono_ns();
    if (v->until_ns != 0)
        v->pause_ns = 0; /* the last one has found what it was for */
    v->until_ns = ns == 0 || now_ns < v->paused_until_ns ? 0 : now_ns + ns;
    v->looked_ns = now_ns;
    v->was_robbed = false;
}

bool vigil_goes_on(struct vigil *v)
{
    if (v->until_ns == 0)
        return false;
    uint64_t now_ns = clock_mono_ns();
    if (now_ns < v->until_ns && !v->was_robbed) {
        v->was_robbed = now_ns - v->looked_ns > ROBBED_NS;
        v->looked_ns = now_ns;
        return true;
    }
    v->until_ns = 0;
    v->pause_ns = MIN(MAX(2 * v->pause_ns, VIGIL_PAUSE_MIN_NS), VIGIL_PAUSE_MAX_NS);
    v->paused_until_ns = now_ns + v->pause_ns;
    return false;
}

bool vigil_is_possible(void)
{
    return config_cpu_count() > 1;
}

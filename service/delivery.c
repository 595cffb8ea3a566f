/* SPDX-License-Identifier: MIT */
#include "service/delivery.h"

#define FACTOR 4
#define MAX_RETRY_AFTER_US (24 * 3600 * INT64_C(1000000))

enum { STATUS_GONE = 410, STATUS_TOO_MANY = 429, STATUS_UNAVAILABLE = 503 };

struct delivery_verdict delivery_judge(const struct config *cfg,
                                       const struct delivery_answer *answer, int64_t now_us,
                                       uint64_t random)
{
    int32_t status = answer->http_status;
    uint32_t tries = answer->tries_before + 1;
    const struct retry_policy policy = {
        .version = 1,
        .jitter = 1,
        .delay_us = (uint64_t)cfg->callback_first_delay_us,
        .max_delay_us = (uint64_t)cfg->callback_max_delay_us,
        .factor = FACTOR,
    };
    if (status >= 200 && status <= 299)
        return (struct delivery_verdict){.outcome = TRY_DELIVERED};
    if (status == STATUS_GONE || answer->is_hopeless || tries >= cfg->callback_max_tries)
        return (struct delivery_verdict){.outcome = TRY_GAVE_UP};
    int64_t delay_us = (int64_t)retry_policy_delay_us(&policy, tries, random);
    if (status == STATUS_TOO_MANY || status == STATUS_UNAVAILABLE)
        delay_us = MAX(delay_us, MIN(answer->retry_after_us, MAX_RETRY_AFTER_US));
    return (struct delivery_verdict){.outcome = TRY_FAILED, .again_us = now_us + delay_us};
}

void delivery_message_id(const struct job_id *id, int64_t version, char out[DELIVERY_ID_BYTES])
{
    char uuid[37];
    job_id_format(id, uuid);
    (void)snprintf(out, DELIVERY_ID_BYTES, "msg_%s_%lld", uuid, (long long)version);
}

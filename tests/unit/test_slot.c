/* SPDX-License-Identifier: MIT */
#include "pool/slot.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

static struct slots map_slots(uint32_t n)
{
    struct slots slots = {0};
    struct err err = {0};
    cr_assert(slots_map(&slots, n, &err), "%s", err.detail);
    return slots;
}

Test(slot, banks_do_not_overlap)
{
    struct slots slots = map_slots(3);

    for (uint32_t slot = 0; slot < 3; slot++)
        for (uint32_t bank = 0; bank < SLOT_BANKS; bank++)
            memset(slots_bank(&slots, slot, bank), (int)(slot * SLOT_BANKS + bank + 1),
                   sizeof(struct bank));
    for (uint32_t slot = 0; slot < 3; slot++)
        for (uint32_t bank = 0; bank < SLOT_BANKS; bank++) {
            const char *bytes = (const char *)slots_bank(&slots, slot, bank);
            const char want = (char)(slot * SLOT_BANKS + bank + 1);
            cr_assert_eq(bytes[0], want);
            cr_assert_eq(bytes[sizeof(struct bank) - 1], want);
        }
    slots_unmap(&slots);
    slots_unmap(&slots);
    cr_assert_null(slots.banks);
}

/* 64 slots have more than a gigabyte of addresses; memory only where something was written. */
Test(slot, is_resident_only_where_touched)
{
    struct slots slots = map_slots(64);
    unsigned long pages = 0;
    unsigned long shared = 0;

    slots_bank(&slots, 63, 1)->job_no = 1;
    FILE *statm = fopen("/proc/self/statm", "re");
    cr_assert_not_null(statm);
    cr_assert_eq(fscanf(statm, "%*u %lu %lu", &pages, &shared), 2);
    (void)fclose(statm);
    cr_assert_lt(shared * (unsigned long)sysconf(_SC_PAGESIZE), 32UL << 20);
    slots_unmap(&slots);
}

static void fill(struct bank *bank)
{
    memset(bank, 0, sizeof(*bank));
    bank->report.end = TASK_EXITED;
    bank->report.exit_code = 3;
    bank->report.out_bytes[0] = 5;
    memcpy(bank->out[0], "hello", 5);
    bank->report.out_bytes[1] = UINT64_C(1) << 40;
    bank->report.spooled[1] = 1;
    bank->report.truncated[1] = 1;
    bank->report.max_rss_bytes = 4096;
    bank->report.wall_us = 12;
}

Test(slot, reads_an_outcome)
{
    struct slots slots = map_slots(1);
    struct bank *bank = slots_bank(&slots, 0, 0);
    struct task_outcome outcome;

    fill(bank);
    cr_assert(bank_read_outcome(bank, &outcome));
    cr_assert_eq(outcome.exit_code, 3);
    cr_assert_eq(outcome.wall_us, 12);
    cr_assert(slice_is(outcome.out[0].inline_bytes, "hello"));
    cr_assert_not(outcome.out[0].spooled);
    cr_assert(outcome.out[1].spooled);
    cr_assert(outcome.out[1].truncated);
    cr_assert_eq(outcome.out[1].bytes, UINT64_C(1) << 40);
    cr_assert_null(outcome.out[1].inline_bytes.ptr);
}

/* A crashed worker may have left anything. */
Test(slot, refuses_a_damaged_outcome)
{
    struct slots slots = map_slots(1);
    struct bank *bank = slots_bank(&slots, 0, 0);
    struct task_outcome outcome;

#define REFUSED(change)                                            \
    do {                                                           \
        fill(bank);                                                \
        change;                                                    \
        cr_assert_not(bank_read_outcome(bank, &outcome), #change); \
    } while (0)
    REFUSED(bank->report.end = -1);
    REFUSED(bank->report.end = TASK_END_COUNT);
    REFUSED(bank->report.exit_code = 256);
    REFUSED(bank->report.exit_code = -1);
    REFUSED(bank->report.signal = 65);
    REFUSED(bank->report.out_bytes[0] = BANK_OUT_SIZE + 1);
    REFUSED(bank->report.out_bytes[1] = UINT64_MAX);
    REFUSED(bank->report.spooled[0] = 2);
    REFUSED(bank->report.truncated[0] = 2);
    REFUSED(bank->report.stop_sent = 7);
    REFUSED(bank->report.wall_us = -1);
    REFUSED(bank->report.user_us = -1);
    REFUSED(bank->report.max_rss_bytes = UINT64_MAX);
    REFUSED(memset(bank->error_text, 'x', sizeof(bank->error_text)));
#undef REFUSED
    fill(bank);
    bank->report.out_bytes[0] = BANK_OUT_SIZE;
    cr_assert(bank_read_outcome(bank, &outcome), "a full stream is a good one");
    cr_assert_eq(outcome.out[0].inline_bytes.len, BANK_OUT_SIZE);
}

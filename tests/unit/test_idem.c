/* SPDX-License-Identifier: MIT */
#include "storage_fixture.h"

STORE_TESTS(idem);

static struct idem_entry entry_of(uint8_t fill, int64_t created_us)
{
    struct idem_entry entry = {.first_no = fill, .n = 3, .created_us = created_us};

    memset(entry.key, fill, sizeof(entry.key));
    memset(entry.body, fill + 1, sizeof(entry.body));
    return entry;
}

Test(idem, what_was_put_is_found_and_nothing_else)
{
    struct idem_entry entry = entry_of(7, NOW_US), found;
    uint8_t other[32];
    bool is_there;

    memset(other, 7, sizeof(other));
    other[31] = 8;
    must(idem_put(f.store, &entry, err));
    tx_commit(&f);
    fixture_reopen(&f);
    must(idem_find(f.store, entry.key, &found, &is_there, err));
    cr_assert(is_there);
    cr_assert_eq(memcmp(&found, &entry, sizeof(found)), 0);
    must(idem_find(f.store, other, &found, &is_there, err));
    cr_assert(!is_there);
}

Test(idem, a_key_goes_with_its_transaction)
{
    struct idem_entry entry = entry_of(7, NOW_US), found;
    bool is_there;

    must(idem_put(f.store, &entry, err));
    store_rollback(f.store);
    must(idem_find(f.store, entry.key, &found, &is_there, err));
    cr_assert(!is_there);
}

Test(idem, prune_takes_the_oldest_first_and_keeps_the_young)
{
    struct idem_entry found;
    bool is_there;

    for (uint8_t i = 1; i <= 9; i++) {
        struct idem_entry entry = entry_of(i, NOW_US + i);

        must(idem_put(f.store, &entry, err));
    }
    must(idem_prune(f.store, NOW_US + 8, 3, err));
    cr_assert_eq(ask(&f, "SELECT count(*) * 100 + min(first_no) FROM idem"), 604);
    must(idem_prune(f.store, NOW_US + 8, 100, err));
    cr_assert_eq(ask(&f, "SELECT count(*) * 100 + min(first_no) FROM idem"), 208);
    must(idem_find(f.store, entry_of(8, 0).key, &found, &is_there, err));
    cr_assert(is_there);
}

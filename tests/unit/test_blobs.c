/* SPDX-License-Identifier: MIT */
#include "storage/blobs.h"
#include "storage_fixture.h"

STORE_TESTS(blobs);

static struct job_id blob_add(uint64_t file, int64_t keep_us)
{
    static const uint8_t sha[SHA256_BYTES];
    struct blob_new blob = {
        .file = file, .bytes = 1, .sha256 = sha, .now_us = NOW_US, .keep_us = keep_us};
    struct job_id id = {0};

    must(blob_insert(f.store, &blob, &id, err));
    return id;
}

Test(blobs, one_look_is_bounded_also_when_nothing_may_go)
{
    enum { USED = 5, FREE = 2, LOOK = 3 };
    uint64_t files[LOOK];
    struct blob_prune prune = {.now_us = NOW_US + SECOND_US, .files = files, .max = LOOK};
    int64_t next = INT64_MAX;

    for (uint64_t i = 0; i < USED; i++)
        must(blob_use(f.store, blob_add(i + 1, (int64_t)i).no, 1, err));
    for (uint64_t i = 0; i < FREE; i++)
        (void)blob_add(USED + i + 1, USED + (int64_t)i);
    must(blobs_prune(f.store, &prune, err));
    cr_assert_eq(prune.n, 0);
    must(blobs_next_gone(f.store, &next, err));
    cr_assert_eq(next, NOW_US + LOOK, "the rest is still due");
    must(blobs_prune(f.store, &prune, err));
    cr_assert_eq(prune.n, 1);
    cr_assert_eq(files[0], USED + 1);
    prune.n = 0;
    must(blobs_prune(f.store, &prune, err));
    cr_assert_eq(prune.n, 1);
    cr_assert_eq(files[0], USED + 2);
    cr_assert_eq(store_blobs(f.store).n, USED);
}

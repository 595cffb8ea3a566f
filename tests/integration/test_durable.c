/* SPDX-License-Identifier: MIT */
/* What is acknowledged is synced before: where a sync fails (tests/native/sync_fails.c), nobody
 * hears of what it was for. */
#include "integration/harness_blob.h"
#include "integration/harness_test.h"

/* The library of a sanitizer, which must be the first of all; "": there is none, or it is a part of
 * the binary. */
static struct text sanitizer_library(void)
{
    static const char *const names[] = {"libasan.so.", "libtsan.so."};
    size_t len = 0;
    AUTO_TEXT image = file_read(ganger_binary(), &len);
    for (size_t i = 0; image != NULL && i < COUNT_OF(names); i++) {
        const char *name = memmem(image, len, names[i], strlen(names[i]));
        if (name != NULL)
            return text_of("%s", name);
    }
    return (struct text){""};
}

static void start_without_sync(struct server *s, const char *pattern)
{
    const struct text fails = text_of("SYNC_FAILS=%s", pattern);
    const struct text preload = text_of("LD_PRELOAD=%s " GANGER_HELPER_DIR "/native_sync_fails.so",
                                        sanitizer_library().s);
    const struct server_options options = {.env = {preload.s, fails.s}};
    server_start(s, &options);
}

/* The file, and its name in its directory. */
PLAIN_TEST(durable, a_blob_that_is_not_synced_is_none)
{
    static const char *const patterns[] = {"*/blobs/*", "*/blobs"};
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        struct server s;
        start_without_sync(&s, patterns[i]);
        AUTO_RESPONSE r = blob_put_text(&s, "x");
        expect_problem(r, 503, "storage-unavailable");
        AUTO_RESPONSE job = job_run(&s, "{'command':['sh','-c','echo x >a'],'outputs':['a']}");
        expect_outcome(job, "failed", "function_error");
        cr_assert_not_null(strstr(json_text(job, "error.detail"), "Input/output error"));
        AWAIT(blob_files(&s) == 0, 20);
        AUTO_RESPONSE list = http_get(&s, "/v1/blobs");
        cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
        server_stop(&s);
    }
}

PLAIN_TEST(durable, an_output_that_is_not_synced_is_not_called_complete)
{
    struct server s;
    start_without_sync(&s, "*/spool/*");
    AUTO_RESPONSE r = job_run(&s, "{'command':['head','-c','100000','/dev/zero']}");
    expect_int(r, "output.stdout_bytes", 100000);
    cr_assert(json_bool(r, "output.truncated"));
    AUTO_RESPONSE small = job_run(&s, "{'command':['echo','x']}");
    cr_assert_not(json_bool(small, "output.truncated"));
    server_stop(&s);
}

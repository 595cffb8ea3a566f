/* SPDX-License-Identifier: MIT */
#include "service/signature.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MUST(call)                                    \
    do {                                              \
        struct err err = {0};                         \
        cr_assert(call, "%s: %s", #call, err.detail); \
    } while (0)

/* The example that the libraries of Standard Webhooks test themselves with. */
#define KNOWN_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define KNOWN_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
static const struct signed_message known = {
    "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, {"{\"test\": 2432232314}", 20}};

static void signature_is(const char *secrets, const char *wanted)
{
    struct signing_keys keys;
    AUTO_BUF struct buf out = {0};
    buf_init(&out, 1024);
    MUST(signing_keys_parse(slice_of(secrets), &keys, &err));
    signature_write(&keys, &known, &out);
    cr_assert(slice_is(buf_slice(&out), wanted), "%.*s", (int)out.len, out.ptr);
}

Test(signature, the_known_example_is_signed_alike)
{
    signature_is(KNOWN_SECRET, KNOWN_SIGNATURE);
    signature_is(KNOWN_SECRET "\r\n\n", KNOWN_SIGNATURE);
}

Test(signature, all_secrets_of_a_rotation_sign)
{
    signature_is(KNOWN_SECRET "\n" KNOWN_SECRET "\n", KNOWN_SIGNATURE " " KNOWN_SIGNATURE);
}

Test(signature, what_is_no_secret_is_refused_without_being_told)
{
    static const char *const bad[] = {
        "",
        "\n",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_c2hvcnQ=",                        /* 5 bytes */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", /* cut */
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAA", /* 65 bytes and more */
        KNOWN_SECRET "\nwhsec_bad\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct signing_keys keys;
        struct err err = {0};
        cr_assert_not(signing_keys_parse(slice_of(bad[i]), &keys, &err), "%s", bad[i]);
        cr_assert_eq(err.code, ERR_INVALID);
        cr_assert_null(strstr(err.detail, "MfKQ"), "%s", err.detail);
    }
}

Test(signature, there_are_at_most_eight_secrets)
{
    struct signing_keys keys;
    struct err why = {0};
    AUTO_BUF struct buf text = {0};
    buf_init(&text, 4096);
    for (size_t i = 0; i < SIGNING_MAX_KEYS; i++)
        buf_puts(&text, KNOWN_SECRET "\n");
    MUST(signing_keys_parse(buf_slice(&text), &keys, &err));
    cr_assert_eq(keys.n, SIGNING_MAX_KEYS);
    buf_puts(&text, KNOWN_SECRET "\n");
    cr_assert_not(signing_keys_parse(buf_slice(&text), &keys, &why));
}

static char dir[64], path[96];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/ganger-signature-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/secret", dir);
}

static void remove_dir(void)
{
    (void)unlink(path);
    cr_assert_eq(rmdir(dir), 0, "something else was left in %s", dir);
}

Test(signature, a_file_is_made_once_and_for_its_owner_alone, .init = make_dir, .fini = remove_dir)
{
    struct signing_keys first, second;
    struct stat st;
    bool made;
    MUST(signing_keys_open(path, &first, &made, &err));
    cr_assert(made);
    cr_assert_eq(first.n, 1);
    cr_assert_eq(first.items[0].len, 32);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    MUST(signing_keys_open(path, &second, &made, &err));
    cr_assert_not(made);
    cr_assert_arr_eq(first.items[0].bytes, second.items[0].bytes, 32);
}

Test(signature, a_file_that_others_can_read_is_refused, .init = make_dir, .fini = remove_dir)
{
    struct signing_keys keys;
    struct err why = {0};
    bool made;
    MUST(signing_keys_open(path, &keys, &made, &err));
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_not(signing_keys_open(path, &keys, &made, &why));
    cr_assert_eq(why.code, ERR_INVALID);
    cr_assert_not_null(strstr(why.detail, "chmod 600"), "%s", why.detail);
}

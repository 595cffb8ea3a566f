/* SPDX-License-Identifier: MIT */
#include "service/base/base64.h"

#include <criterion/criterion.h>

TestSuite(base64, .timeout = 60);

Test(base64, is_that_of_rfc_4648)
{
    static const struct {
        const char *plain, *text;
    } cases[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"\xff\xfe\xfd", "//79"}};
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "Z===", "Zm9v!A==", "=AAA", "Zg==Zg==", "Zm9v\n", "Zm 9v"};
    AUTO_BUF struct buf b = {0};
    buf_init(&b, 100);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&b);
        base64_put(&b, slice_of(cases[i].plain));
        cr_assert(slice_is(buf_slice(&b), cases[i].text), "%s", cases[i].text);
        buf_clear(&b);
        cr_assert(base64_read_bare(slice_of(cases[i].text), &b));
        cr_assert(slice_is(buf_slice(&b), cases[i].plain), "%s", cases[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_not(base64_read_bare(slice_of(bad[i]), &b), "%s", bad[i]);
}

Test(base64, gives_back_what_it_took)
{
    char bytes[64];
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct buf AUTO_BUF text, back;
        buf_init(&text, 256);
        buf_init(&back, 256);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(i * 37 + len);
        base64_put(&text, (struct slice){bytes, len});
        cr_assert(base64_read(buf_slice(&text), &back));
        cr_assert(slice_eq(buf_slice(&back), (struct slice){bytes, len}), "%zu bytes", len);
    }
}

Test(base64, lines_are_one_text)
{
    struct buf AUTO_BUF back;
    buf_init(&back, 256);
    cr_assert(base64_read(slice_of("YWJj\nZA==\n"), &back));
    cr_assert(slice_is(buf_slice(&back), "abcd"));
}

Test(base64, what_is_not_base64_is_refused)
{
    static const char *const wrong[] = {
        "A", "AB", "ABC", "A===", "====", "AB=C", "AA==AAAA", "A*AA"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct buf AUTO_BUF back;
        buf_init(&back, 256);
        cr_assert_not(base64_read(slice_of(wrong[i]), &back), "%s was read", wrong[i]);
    }
}

/* Section 5: what an address and a header take as they are. */
Test(base64, has_an_alphabet_for_addresses)
{
    static const struct slice bytes = {"\xfb\xef\xff\x00", 4};
    AUTO_BUF struct buf b;
    char back[BASE64_MAX_BYTES(8)];
    size_t len;
    buf_init(&b, 100);
    base64_put_url(&b, bytes);
    cr_assert(slice_is(buf_slice(&b), "--__AA=="));
    cr_assert(base64_decode_url(buf_slice(&b), back, &len));
    cr_assert(slice_eq((struct slice){back, len}, bytes));
    cr_assert_not(base64_decode_url(slice_of("++//AA=="), back, &len));
}

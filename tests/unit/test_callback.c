/* SPDX-License-Identifier: MIT */
/* Which URLs may be called: the door through which clients would make the service call others. */
#include "service/base/callback.h"

#include <criterion/criterion.h>

static char rule_name[] = "hooks.example.org", rule_suffix[] = "*.example.com";
static char rule_address[] = "8.8.8.8", rule_loopback[] = "127.0.0.1", rule_v6[] = "2606:4700::1";
static char rule_private[] = "10.0.0.7", rule_intern[] = "ci.intern", rule_private6[] = "[::1]";
static char rule_low_name[] = "localhost.intern";

static const struct config config = {
    .callback_hosts = {{rule_name, rule_suffix, rule_address, rule_loopback, rule_v6}, 5},
    .callback_private_hosts = {{rule_private, rule_intern, rule_private6, rule_low_name}, 4},
};

static struct callback_target must_pass(const char *url)
{
    struct callback_target target;
    struct err err = {0};
    cr_assert(callback_check(&config, slice_of(url), &target, &err), "%s: %s", url, err.detail);
    return target;
}

static void must_fail(const char *url, const char *word)
{
    struct callback_target target;
    struct err err = {0};
    cr_assert_not(callback_check(&config, slice_of(url), &target, &err), "%s", url);
    cr_assert_eq(err.code, ERR_INVALID);
    cr_assert(strstr(err.detail, word) != NULL, "%s: %s", url, err.detail);
}

Test(callback, the_receiver_is_what_may_be_shown)
{
    cr_assert_str_eq(must_pass("https://hooks.example.org/t/secret?k=v").receiver,
                     "https://hooks.example.org:443");
    cr_assert_str_eq(must_pass("HTTPS://Hooks.Example.ORG:8443").receiver,
                     "https://hooks.example.org:8443");
    cr_assert_str_eq(must_pass("https://a.b.example.com?x").receiver,
                     "https://a.b.example.com:443");
    cr_assert_str_eq(must_pass("https://[2606:4700:0:0::1]/").receiver,
                     "https://[2606:4700::1]:443");
    cr_assert_str_eq(must_pass("http://10.0.0.7:81/x").receiver, "http://10.0.0.7:81");
    cr_assert_str_eq(must_pass("http://[::1]:82/x").receiver, "http://[::1]:82");
}

Test(callback, private_hosts_alone_may_be_http_and_private)
{
    cr_assert(must_pass("http://ci.intern/").is_private);
    cr_assert(must_pass("https://ci.intern/").is_private);
    cr_assert_not(must_pass("https://8.8.8.8/").is_private);
    must_fail("http://hooks.example.org/", "https");
    must_fail("https://127.0.0.1/", "not public");
}

Test(callback, hosts_that_are_not_listed_are_refused)
{
    must_fail("https://example.com/", "list"); /* a suffix is not the name itself */
    must_fail("https://badexample.com/", "list");
    must_fail("https://hooks.example.org.evil.net/", "list");
    must_fail("https://8.8.8.9/", "list");
    must_fail("http://10.0.0.8/", "list");
}

Test(callback, addresses_in_disguise_are_no_hosts)
{
    static const char *const disguises[] = {
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://8.8.8.08/",
        "https://8.8.8.8./",
        "https://a.example.com./",
        "https://%31.example.com/",
        "https://a.0x7f/",
        "https:///x",
        "https://:443/",
        "https://[fe80::1%25eth0]/",
        "https://a..example.com/",
        "https://[8.8.8.8]/",
        "https://.example.com/",
    };
    for (size_t i = 0; i < ARRAY_LEN(disguises); i++)
        must_fail(disguises[i], "must name its host");
    must_fail("https://[::ffff:127.0.0.1]/", "list");
    must_fail("https://[::ffff:8.8.8.8]/", "list"); /* not the IPv4 rule */
}

Test(callback, urls_have_no_credentials_fragments_or_odd_bytes)
{
    must_fail("https://user@hooks.example.org/", "user name");
    must_fail("https://8.8.8.8:80@hooks.example.org/", "user name");
    must_fail("https://hooks.example.org@evil.net/", "user name");
    must_fail("https://hooks.example.org/#part", "fragment");
    must_fail("https://hooks.example.org\\@evil.net/", "bytes");
    must_fail("https://hooks.example.org/a b", "bytes");
    must_fail("https://hooks.example.org/\r\nX: y", "bytes");
    must_fail("https://h\xc3\xb6st.example.com/", "bytes");
    must_fail("ftp://hooks.example.org/", "https://");
    must_fail("file:///etc/passwd", "https://");
    must_fail("//hooks.example.org/", "https://");
    must_fail("hooks.example.org", "https://");
    must_fail("", "https://");
    must_fail("https://hooks.example.org:0/", "port");
    must_fail("https://hooks.example.org:65536/", "port");
    must_fail("https://hooks.example.org:+80/", "port");
    must_fail("https://hooks.example.org:/", "port");
    must_fail("https://[::ffff:8.8.8.8/", "port");
}

Test(callback, the_length_is_bounded)
{
    char url[CALLBACK_MAX_URL + 2];
    memset(url, 'a', sizeof url);
    memcpy(url, "https://hooks.example.org/", 26);
    url[CALLBACK_MAX_URL] = '\0';
    (void)must_pass(url);
    url[CALLBACK_MAX_URL] = 'a';
    url[CALLBACK_MAX_URL + 1] = '\0';
    must_fail(url, "2048");
}

Test(callback, without_lists_all_is_off)
{
    static const struct config off = {0};
    struct callback_target target;
    struct err err = {0};
    cr_assert_not(callback_is_on(&off));
    cr_assert_not(callback_check(&off, SLICE_LIT("https://a.org/"), &target, &err));
    cr_assert_not_null(strstr(err.detail, "callbacks.hosts"), "%s", err.detail);
}

Test(callback, rules_are_hosts)
{
    static const char *const good[] = {"a.org", "*.a.org", "10.0.0.1", "::1", "[::1]", "localhost"};
    static const char *const bad[] = {"https://a.org", "a.org:80", "*",       "*.",
                                      "*.10.0.0.1",    "a b",      "a.*.org", "10.0.0.0/8",
                                      "0x7f.1",        ""};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        cr_assert(callback_is_host_rule(good[i]), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_not(callback_is_host_rule(bad[i]), "%s", bad[i]);
}

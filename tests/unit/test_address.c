/* SPDX-License-Identifier: MIT */
#include "service/base/address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_public((const struct sockaddr *)&v4);
    cr_assert_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1, "%s", text);
    return address_is_public((const struct sockaddr *)&v6);
}

/* The first and the last address of each range, and its neighbours outside. */
Test(address, ranges_of_ipv4_end_where_they_should)
{
    static const char *const inside[] = {
        "0.0.0.0",         "0.255.255.255",   "10.0.0.0",        "10.255.255.255",
        "100.64.0.0",      "100.127.0.1",     "100.127.255.255", "127.0.0.1",
        "127.255.255.255", "169.254.0.0",     "169.254.169.254", "169.254.255.255",
        "172.16.0.0",      "172.31.255.255",  "192.0.0.0",       "192.0.0.255",
        "192.0.2.1",       "192.88.99.1",     "192.168.0.0",     "192.168.255.255",
        "198.18.0.0",      "198.19.255.255",  "198.51.100.7",    "203.0.113.255",
        "224.0.0.1",       "239.255.255.255", "240.0.0.1",       "255.255.255.255",
    };
    static const char *const outside[] = {
        "1.0.0.0",     "9.255.255.255",   "11.0.0.0",    "100.63.255.255", "100.128.0.0",
        "126.0.0.1",   "128.0.0.1",       "169.253.0.1", "169.255.0.1",    "172.15.255.255",
        "172.32.0.0",  "192.0.1.0",       "192.0.3.0",   "192.88.98.255",  "192.167.255.255",
        "192.169.0.0", "198.17.255.255",  "198.20.0.0",  "198.51.99.255",  "203.0.112.255",
        "203.0.114.0", "223.255.255.255", "8.8.8.8",
    };
    for (size_t i = 0; i < ARRAY_LEN(inside); i++)
        cr_assert_not(is_public(inside[i]), "%s", inside[i]);
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        cr_assert(is_public(outside[i]), "%s", outside[i]);
}

Test(address, only_global_unicast_of_ipv6_is_public)
{
    static const char *const inside[] = {
        "::",
        "::1",
        "::7f00:1",
        "100::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2001::1",
        "2001:0:53aa::1",
        "2001:1ff:ffff::1",
        "2001:20::1",
        "2001:db8::1",
        "2001:db8:ffff::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "64:ff9b:1::1",
        "1fff::1",
    };
    static const char *const outside[] = {
        "2001:200::1",     "2001:db7::1",  "2001:db9::1", "2001:4860:4860::8888", "2003::1",
        "2606:4700::1111", "2a00:1450::1", "3ffe::1",     "3fff:1000::1",         "2000::1",
    };
    for (size_t i = 0; i < ARRAY_LEN(inside); i++)
        cr_assert_not(is_public(inside[i]), "%s", inside[i]);
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        cr_assert(is_public(outside[i]), "%s", outside[i]);
}

Test(address, an_ipv4_address_inside_ipv6_counts_as_itself)
{
    cr_assert_not(is_public("::ffff:127.0.0.1"));
    cr_assert_not(is_public("::ffff:10.1.2.3"));
    cr_assert_not(is_public("::ffff:169.254.169.254"));
    cr_assert(is_public("::ffff:8.8.8.8"));
    cr_assert_not(is_public("64:ff9b::127.0.0.1"));
    cr_assert_not(is_public("64:ff9b::192.168.0.1"));
    cr_assert(is_public("64:ff9b::8.8.8.8"));
    cr_assert_not(is_public("2002:7f00:1::"));
    cr_assert_not(is_public("2002:c0a8:1::1"));
    cr_assert(is_public("2002:808:808::1"));
}

Test(address, other_families_are_not_public)
{
    struct sockaddr other = {.sa_family = AF_UNIX};
    cr_assert_not(address_is_public(&other));
}

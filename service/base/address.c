/* SPDX-License-Identifier: MIT */
#include "service/base/address.h"

#include <netinet/in.h>

/* IANA's registries of special-purpose addresses (RFC 6890 and its successors), with multicast and
 * what is reserved. */
struct range4 {
    uint8_t net[4];
    unsigned bits;
};

/* clang-format off */
static const struct range4 not_public4[] = {
    {{0, 0, 0, 0}, 8},        /* this network */
    {{10, 0, 0, 0}, 8},       /* private */
    {{100, 64, 0, 0}, 10},    /* carrier-grade NAT */
    {{127, 0, 0, 0}, 8},      /* loopback */
    {{169, 254, 0, 0}, 16},   /* link-local, with the metadata services of clouds */
    {{172, 16, 0, 0}, 12},    /* private */
    {{192, 0, 0, 0}, 24},     /* protocol assignments */
    {{192, 0, 2, 0}, 24},     /* documentation */
    {{192, 88, 99, 0}, 24},   /* relays of 6to4 */
    {{192, 168, 0, 0}, 16},   /* private */
    {{198, 18, 0, 0}, 15},    /* benchmarks */
    {{198, 51, 100, 0}, 24},  /* documentation */
    {{203, 0, 113, 0}, 24},   /* documentation */
    {{224, 0, 0, 0}, 4},      /* multicast */
    {{240, 0, 0, 0}, 4},      /* reserved, broadcast */
};

struct range6 {
    uint8_t net[16];
    unsigned bits;
};

/* All that is assigned to the internet lies in 2000::/3; these parts of it do not. */
static const struct range6 global6 = {{0x20}, 3};
static const struct range6 not_public6[] = {
    {{0x20, 0x01, 0x00}, 23},                   /* protocol assignments: Teredo, ORCHID, benchmarks */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},             /* documentation */
    {{0x3f, 0xff, 0x00}, 20},                   /* documentation */
};

/* IPv6 networks whose addresses carry an IPv4 address, from this byte on. */
static const struct {
    struct range6 range;
    size_t at;
} carriers[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12},    /* mapped */
    {{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},                      /* NAT64 */
    {{{0x20, 0x02}, 16}, 2},                                   /* 6to4 */
};
/* clang-format on */

static bool has_prefix(const uint8_t *address, const uint8_t *net, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(address, net, whole) != 0)
        return false;
    unsigned mask = 0xffu << (8 - rest) & 0xffu;
    return rest == 0 || (address[whole] & mask) == (net[whole] & mask);
}

static bool is_public4(const uint8_t address[4])
{
    for (size_t i = 0; i < ARRAY_LEN(not_public4); i++) {
        if (has_prefix(address, not_public4[i].net, not_public4[i].bits))
            return false;
    }
    return true;
}

static bool is_public6(const uint8_t address[16])
{
    for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
        if (has_prefix(address, carriers[i].range.net, carriers[i].range.bits))
            return is_public4(address + carriers[i].at);
    }
    for (size_t i = 0; i < ARRAY_LEN(not_public6); i++) {
        if (has_prefix(address, not_public6[i].net, not_public6[i].bits))
            return false;
    }
    return has_prefix(address, global6.net, global6.bits);
}

bool address_is_public(const struct sockaddr *address)
{
    uint8_t bytes[16];
    if (address->sa_family == AF_INET) {
        memcpy(bytes, (const char *)address + offsetof(struct sockaddr_in, sin_addr), 4);
        return is_public4(bytes);
    }
    if (address->sa_family == AF_INET6) {
        memcpy(bytes, (const char *)address + offsetof(struct sockaddr_in6, sin6_addr), 16);
        return is_public6(bytes);
    }
    return false;
}

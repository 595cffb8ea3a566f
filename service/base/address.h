/* SPDX-License-Identifier: MIT */
/* Which network addresses lie outside: whoever makes a call for a client must not be talked into
 * calling its own machine or network. */
#ifndef GANGER_BASE_ADDRESS_H
#define GANGER_BASE_ADDRESS_H

#include "service/base/util.h"

#include <sys/socket.h>

/* Whether the address is one of the public internet. An IPv6 address that carries an IPv4 one
 * (mapped, NAT64, 6to4) is what that one is. Any other family is not. */
bool address_is_public(const struct sockaddr *address);

#endif

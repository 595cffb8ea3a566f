/* SPDX-License-Identifier: MIT */
#ifndef GANGER_TESTS_CALLBACK_SIGNATURE_H
#define GANGER_TESTS_CALLBACK_SIGNATURE_H

#include "integration/harness_receiver.h"

/* What webhook-signature must be, as a receiver computes it: from the line of the secret file and
 * id.timestamp.body. */
struct text signature_of(const struct hook *hook, const char *secret);

#endif

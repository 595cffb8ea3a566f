/* SPDX-License-Identifier: MIT */
/* A module that was built for another version of the plug-in interface. */
#include <stdint.h>

extern __attribute__((visibility("default"))) const uint32_t ganger_plugin_abi;
const uint32_t ganger_plugin_abi = 999;

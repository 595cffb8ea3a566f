/* SPDX-License-Identifier: MIT */
/* Functions of tests/runners/odd.py, a runner that keeps or breaks the rules as it is told. */
#ifndef GANGER_TESTS_RUNNER_REGISTRY_H
#define GANGER_TESTS_RUNNER_REGISTRY_H

#include "integration/harness_runner.h"

/* clang-format off */
#define ODD "runner = [\"python3\", \"" GANGER_SOURCE_DIR "/tests/runners/odd.py\""

#define MORE(number) "[function more" number "]\nkind = runner\n" ODD "]\n"

static const char registry[] =
    "[function odd]\nkind = runner\n" ODD ", \"well\", \"\"]\n"
    "call = some:thing\n"
    "[function shm]\nkind = runner\n" ODD ", \"well\", \"shm\"]\n"
    "[function soft]\nkind = runner\n" ODD ", \"well\", \"cancel\"]\n"
    "[function raw]\nkind = runner\n" ODD ", \"well\", \"\", \"raw\"]\n"
    "[function pinged]\nkind = runner\n" ODD "]\nping = 100ms\n"
    "[function busy]\nkind = runner\n" ODD ", \"well\", \"busyping\"]\nping = 100ms\n"
    "[function late_body]\nkind = runner\n" ODD ", \"well\", \"\", \"json\", \"late_body\"]\n"
    "[function init]\nkind = runner\n" ODD ", \"well\", \"init\"]\n"
    "init = some words\n"
    "[function init_fails]\nkind = runner\n" ODD ", \"well\", \"init\"]\n"
    "init = fail\n"
    "[function init_hangs]\nkind = runner\n" ODD ", \"well\", \"init,cancel\"]\n"
    "init = never\n"
    "[function init_unanswered]\nkind = runner\n" ODD ", \"well\", \"init\"]\n"
    "init = unanswered\n"
    "[function init_behind]\nkind = runner\n" ODD ", \"well\", \"init\"]\n"
    "init = behind\n"
    "[function no_init]\nkind = runner\n" ODD "]\ninit = words\n"
    "[function silent]\nkind = runner\n" ODD ", \"silent\"]\n"
    "start_timeout = 100ms\n"
    "[function version]\nkind = runner\n" ODD ", \"version\"]\n"
    "[function early]\nkind = runner\n" ODD ", \"early\"]\n"
    "[function codecs]\nkind = runner\n" ODD ", \"well\", \"\", \"msgpack,cbor\"]\n"
    "[function fails]\nkind = runner\n" ODD ", \"fail\"]\n" MORE("0") MORE("1") MORE("2") MORE("3")
        MORE("4") MORE("5")
            MORE("6") "[function gone]\nkind = runner\nrunner = [\"/nowhere/at/all\"]\n";
/* clang-format on */

#endif

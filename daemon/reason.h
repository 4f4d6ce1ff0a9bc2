/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The reasons of bpf/abi.h in words.
 */
#pragma once

#include <stdbool.h>

#include "bpf/abi.h"

/* "no_mapping": key in JSON and metrics. Any number is allowed. */
const char *reason_key(unsigned int reason);
/* "[no mapping yet]": frame that stands for it in a stack, "" if none does. */
const char *reason_frame(unsigned int reason);
/* A sentence for people. */
const char *reason_text(unsigned int reason);
/* True if such samples are missing from the profile. */
bool reason_is_loss(unsigned int reason);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The samples of a profile in an order that does not depend on how it came together:
 * by time, process, thread's name and stack. For formats that write samples one by one,
 * so that equal profiles give equal files.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "flamegraph/profile.h"

/* Without `by_time` buckets do not count: samples alike but for theirs are neighbours.
 * Indexes of profile->samples, to be freed by the caller; NULL: out of memory. */
uint32_t *sample_order(const struct profile *profile, bool by_time);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A profile from a file that a person named: any format that can be read.
 */
#pragma once

#include "daemon/base/error.h"
#include "daemon/options.h"
#include "flamegraph/profile.h"

/* `path`: "-" is standard input. Heeds --from, --annotate, --step and --event. What could not
 * be understood in it is told on stderr, by line numbers. -EINVAL: called wrongly. */
int load_profile(const char *path, const struct options *options, struct error *error,
		 struct profile **ret);

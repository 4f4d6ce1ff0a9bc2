/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reading command is about, as a person names it:
 *
 *	FILE, -		a profile in any format that can be read; standard input
 *	@SINCE..UNTIL	the system-wide view of that time, of the running perfd; either end
 *			may be missing, and ".." with it: moments as when.h has them
 *	session:ID	what a session has so far
 *	nothing		--session, or the system-wide view of --last, --since and --until
 *
 * A file that is really called "@x" is "./@x".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/error.h"
#include "daemon/client.h"
#include "daemon/options.h"
#include "flamegraph/profile.h"

/* The operand, and options that say something else, exclude each other: -EINVAL. */
int subject_check(const char *operand, const struct options *options, struct error *error);
/* Whether the options alone name something: --session, --last, --since, --until, or a
 * filter. */
bool subject_by_options(const struct options *options);
/* `operand`: NULL for none. -EINVAL: called wrongly; else what load.h or client.h give. */
int subject_load(const char *operand, const struct options *options, struct error *error,
		 struct profile **ret);
/* The time and the filters that the options name. -EINVAL: called wrongly. */
int subject_range(const struct options *options, struct client_range *ret, struct error *error);
/* For a file's name: "old" of dir/old.folded, "session-7", "recent"; "" of standard input. */
void subject_name(const char *operand, const struct options *options, char *name, size_t size);

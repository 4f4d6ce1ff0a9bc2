/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the makers of time lines share: timeline_samples.c and timeline_series.c.
 */
#pragma once

#include "flamegraph/timeline.h"

int timeline_from_samples(const struct profile *profile, uint32_t value_type,
			  const struct timeline_options *options, struct error *error,
			  struct timeline *ret);
/* `name`: of a group, or of series that stand alone; -EINVAL: there is none. */
int timeline_from_series(const struct profile *profile, const char *name,
			 const struct timeline_options *options, struct error *error,
			 struct timeline *ret);

/* Takes the text, in any case. */
int timeline_add_mark(struct timeline *timeline, const struct timeline_mark *like,
		      struct strbuf *text);
/* Title, origin, foot and start. */
int timeline_describe(struct timeline *timeline, const struct profile *profile);
/* Once the series are there: the peak, and the profile's marks, by time. */
int timeline_finish(struct timeline *timeline, const struct profile *profile);

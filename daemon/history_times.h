/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Series and marks of a window of the history, in terms of a database's rows. All series
 * of a window are one blob: packed (history_packed.h), varints,
 *
 *	count                     series
 *	row, kind, step_ns, n     of one: its row in the table `series`, enum series_kind
 *	value                     of n steps: the value + 1, 0 for a step of which nothing is
 *				  known; then, unless exact, value - low and high - value
 *
 * where the kind has SERIES_BAND added if the points are not exact.
 */
#pragma once

#include <stddef.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/series.h"

/* Here a series' name is its row; unit, group and process are 0. */
int history_times_encode(const struct series_list *list, struct strbuf *out);
/* Adds what the bytes hold to the list, moved by `shift_ns`, in steps of at least
 * `step_ns`. -EBADMSG: damaged; -EFBIG; -ENOMEM. */
int history_times_decode(const void *bytes, size_t size, uint64_t shift_ns, uint64_t step_ns,
			 struct series_list *list);

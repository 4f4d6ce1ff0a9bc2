/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Old windows are summed to wider ones, so that they take less room: as taken → 10 s →
 * 1 min → 1 h. Nothing but the resolution in time is lost: weights and counts are added.
 * A wide window and the windows it stands for change places in one transaction.
 */
#pragma once

#include <stdint.h>

#include "daemon/history_database.h"

/* Ages at which windows become that wide; UINT64_MAX: never. */
struct history_ages {
	uint64_t ten_seconds_ns, minute_ns, hour_ns;
};

/* Sums up what is old enough at `now` (CLOCK_REALTIME), at most `groups_max` wide windows
 * in one call: *ret_more says that there is more to do. */
int history_rollup(sqlite3 *db, const struct history_ages *ages, uint64_t now_ns,
		   uint32_t groups_max, struct error *error, bool *ret_more);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Moments as people write them, in the local time zone ($TZ) unless they say another:
 *
 *	2026-11-27T03:10:00Z, …+01:00	RFC 3339; "T" may be a blank, seconds and
 *	2026-11-27 03:10		fractions and the zone may be missing
 *	2026-11-27			its beginning
 *	03:10, 03:10:30			the last time it was so (today's or yesterday's)
 *	-15m, -1h30m, -2d		so long ago (ms, s, m, h, d, w)
 *	now, today, yesterday		the latter two: their beginning
 *	@1764212400			seconds of CLOCK_REALTIME
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"

/* `now_ns` and *ret are CLOCK_REALTIME. -EINVAL with what was expected. */
int when_parse(const char *text, uint64_t now_ns, struct error *error, uint64_t *ret);

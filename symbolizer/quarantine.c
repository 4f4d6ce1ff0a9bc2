/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/quarantine.h"

#include <stdio.h>

#include "daemon/base/clock.h"

void quarantine_add(struct quarantine *quarantine, uint32_t image, const char *what,
		    const char *why)
{
	struct quarantined *entry = &quarantine->entries[quarantine->total++ % QUARANTINE_MAX];

	entry->image = image;
	entry->what = what;
	entry->when_ns = clock_real_ns();
	snprintf(entry->why, sizeof(entry->why), "%s", why);
}

size_t quarantine_count(const struct quarantine *quarantine)
{
	return quarantine->total < QUARANTINE_MAX ? (size_t)quarantine->total : QUARANTINE_MAX;
}

const struct quarantined *quarantine_get(const struct quarantine *quarantine, size_t at)
{
	return &quarantine->entries[(quarantine->total - 1 - at) % QUARANTINE_MAX];
}

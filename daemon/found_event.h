/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A mapping that a walk met (ABI_FOUND) in the shape of one that was told (ABI_MMAP).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct found_event {
	union {
		struct abi_mmap mmap;
		uint8_t bytes[sizeof(struct abi_mmap) + ABI_PATH_MAX + 8];
	};
};

/* "[vdso]", "//anon", or the path that was told; "" if none was, or one that is no path. The
 * record must be as long as its head says. */
void found_event_make(const struct abi_found *found, struct found_event *ret);
/* Gives it that path, as far as there is room. */
void found_event_name(struct found_event *event, const char *path, size_t length);

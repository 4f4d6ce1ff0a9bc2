/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The samples of one service in one window, as they lie in the database: packed
 * (history_packed.h), numbers as protobuf's varints,
 *
 *	width                     values an entry, 1 to PROFILE_VALUES_MAX
 *	count                     entries, in the order of process, comm and stack
 *	process, comm, stack      row ids; process and stack as the difference to the
 *	                          entry before (stack begins anew with each process)
 *	values                    `width` of them
 *
 * Rows of one process, comm and stack are one entry. Reading is bounded: a database is
 * a file, and files get damaged.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/strbuf.h"
#include "daemon/base/vec.h"
#include "flamegraph/profile.h"

struct history_entry {
	uint64_t process, comm, stack; /* row ids; 0: none */
};

/* A sum by process, comm and stack. */
struct history_entries {
	uint32_t width;
	VEC(struct history_entry) items;
	VEC(uint64_t) values; /* items.count * width */
	struct hashmap index; /* hash -> item; private */
};

/* `width` may be set anew while it is empty. */
void history_entries_deinit(struct history_entries *entries);
void history_entries_clear(struct history_entries *entries);
/* Adds `width` values to the entry alike, or makes one; sums stop at the top. -ENOMEM. */
int history_entries_add(struct history_entries *entries, const struct history_entry *entry,
			const uint64_t *values);
/* Appends to *out. The entries are in order afterwards. -ENOMEM. */
int history_entries_encode(struct history_entries *entries, struct strbuf *out);
/* Calls `each` for every entry until that gives something but 0, which is then the
 * result. -EBADMSG: damaged; -EFBIG; -ENOMEM. */
typedef int history_entry_fn(void *context, const struct history_entry *entry,
			     const uint64_t *values, uint32_t width);
int history_entries_decode(const void *bytes, size_t size, history_entry_fn *each, void *context);

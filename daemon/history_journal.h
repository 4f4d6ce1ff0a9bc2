/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Windows that are not in a database yet, in a file beside the databases: what perfd leaves
 * there when it is killed, its successor finds. To add one is one write of some kilobytes, to put
 * it into a database is some fifty pages; so windows are gathered, and go there together.
 *
 *	u32 "PFDJ", u32 size, u64 XXH3 of what follows; `size` bytes as profile_encode() makes them
 *
 * again and again. Numbers are little-endian. What is damaged or cut short is passed over, to the
 *next place from which a window can be read, and counted. The folder is perfd's own; the lock on it
 * (history_store.h) is over this file, too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "flamegraph/profile.h"

#define HISTORY_JOURNAL_NAME "journal"
#define HISTORY_JOURNAL_MAX (64u << 20) /* bytes */

struct history_journal {
	int fd; /* -1: there is none */
	uint64_t length;
};

/* The profile is the callee's. `behind_damage`: something that could not be read was between the
 * one before it, or the beginning, and this one. */
typedef void history_journal_fn(void *context, struct profile *profile, bool behind_damage);

/* What could not be read of one. */
struct history_journal_lost {
	uint64_t places, bytes;
	struct error first; /* why, of the first place */
};

/* `folder`: a descriptor. 0 or -errno. */
int history_journal_open(struct history_journal *journal, int folder);
void history_journal_close(struct history_journal *journal);
/* Adds them at the end; with an error (-EFBIG: it is full) none is there. */
int history_journal_append(struct history_journal *journal, struct profile *const *profiles,
			   size_t count);
/* Hands all that can be read to `each`, oldest first; adds what cannot. */
void history_journal_read(const struct history_journal *journal, history_journal_fn *each,
			  void *context, struct history_journal_lost *lost);
/* The same of a journal's bytes. */
void history_journal_parse(const void *bytes, size_t size, history_journal_fn *each, void *context,
			   struct history_journal_lost *lost);
/* All of it is elsewhere. */
void history_journal_clear(struct history_journal *journal);

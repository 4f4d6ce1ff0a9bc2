/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Unwind tables on disk: a folder with a file for each, and no index that could
 * disagree with it. What the symbolizer found no table in is kept too, with the
 * reason, so that it is not looked at again.
 *
 * The folder is the daemon's alone: its owner's, writable by nobody else, no
 * symbolic link. A file is written under another name and renamed when it is
 * whole. It is not synced: one that a power cut tore is found by its checksum,
 * and costs building a table again. Nothing that is read is trusted: what is
 * torn, damaged, of another version or under the wrong name is removed and
 * counted, and a table is checked as one that comes from the worker is.
 *
 * At the limit the files go that were used longest ago (their modification time,
 * which a use sets to now, at most once a minute). Several daemons may share a
 * folder: each sees what is there, and none depends on what the others leave.
 *
 * Blocks on the disk: see table_cache.h for who calls it.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/table_record.h"

struct table_store_stats {
	uint64_t stored, evicted, failed; /* failed: could not be written */
	uint64_t damaged; /* files that were removed unread */
	uint64_t bytes; /* on disk, as last seen */
};

struct table_store {
	int folder;
	uint64_t limit; /* bytes on disk */
	uint32_t unseen; /* files written since the folder was last looked through */
	uint32_t temporaries; /* written so far, for their names */
	struct table_store_stats stats;
};

/* Makes the folder (0700, not the folders above it) if it is not there. An error
 * says why it is not used, and how to mend it. */
int table_store_open(struct table_store *store, const char *path, uint64_t limit,
		     struct error *error);
void table_store_close(struct table_store *store);
/* Removes what writers that died have left behind, and counts what is there. */
void table_store_recover(struct table_store *store);
/* The table is the caller's to deinit. -ENOENT: none is kept; -EBADMSG: what was
 * there was damaged and has been removed; or -errno. */
int table_store_get(struct table_store *store, const struct table_key *key,
		    struct table_record *ret);
/* A table as it came encoded from the worker (record->table is not looked at), or
 * no bytes and the error. -ENOSPC, -EFBIG and the like leave nothing behind. */
int table_store_put(struct table_store *store, const struct table_key *key,
		    const struct table_record *record, const void *table, size_t size);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The event loop's side of the table store: reading, checking and writing happen
 * in a thread of its own, which may wait for a slow disk; answers come back as
 * callbacks from table_cache_dispatch(). Reading goes before writing. What waits
 * to be written is bounded, and what does not fit is counted and not kept.
 *
 * The thread touches nothing but the store and what it was handed. It says
 * nothing either: what went wrong is logged by dispatch, once a kind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/table_store.h"

/* Bytes that wait to be written. */
#define TABLE_CACHE_WAITING_MAX (64u << 20)

struct table_cache;

/* record: valid until the callback returns; NULL: nothing usable is kept. */
typedef void table_cache_fn(void *context, uint32_t tag, const struct table_record *record);

struct table_cache_stats {
	uint64_t hits, misses;
	struct table_store_stats store; /* failed: what did not fit counts too */
};

/* program: the one that makes the tables; another one (by size and times of its
 * file) makes them anew. The error says why the folder is not used. */
int table_cache_create(const char *folder, uint64_t limit, const char *program, struct error *error,
		       struct table_cache **ret);
/* Writes what waits, for at most a second; forgets what was asked for. */
void table_cache_destroy(struct table_cache *cache);
/* Readable when dispatch has something to do. */
int table_cache_fd(const struct table_cache *cache);
void table_cache_dispatch(struct table_cache *cache);
/* One callback, later; or -ENOMEM and none. */
int table_cache_ask(struct table_cache *cache, const struct file_identity *file, uint32_t tag,
		    table_cache_fn *done, void *context);
/* Keeps a table, encoded, or the error that stands for it (then without bytes).
 * What is handed in is copied. */
void table_cache_keep(struct table_cache *cache, const struct file_identity *file,
		      const struct table_record *record, const void *table, size_t size);
void table_cache_get_stats(struct table_cache *cache, struct table_cache_stats *ret);

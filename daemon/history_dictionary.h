/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which row of a table holds some bytes: strings, frames, stacks, services and the like are
 * written once a database, looked for before they are written, and remembered, for nearly
 * all that a window has was in the window before.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "daemon/history_database.h"

/* Binds the bytes, or what they stand for, to a statement's parameters; tables without an
 * index of their own over the bytes have one over the hash. */
typedef void history_bind_fn(sqlite3_stmt *statement, int64_t hash, const char *bytes, size_t size);

struct history_dictionary {
	sqlite3 *db;
	sqlite3_stmt *find, *insert;
	history_bind_fn *bind;
	struct strtab keys; /* what is remembered */
	VEC(int64_t) rows; /* by the ids of `keys`; 0: not known */
};

/* `find` selects an id, `insert` makes a row; both take what `bind` binds. */
int history_dictionary_init(struct history_dictionary *dictionary, sqlite3 *db, const char *find,
			    const char *insert, history_bind_fn *bind, struct error *error);
void history_dictionary_deinit(struct history_dictionary *dictionary);
/* What is remembered may not be there: after a roll-back. */
void history_dictionary_forget(struct history_dictionary *dictionary);
/* Bytes that are remembered. */
size_t history_dictionary_size(const struct history_dictionary *dictionary);
int history_dictionary_row(struct history_dictionary *dictionary, const void *bytes, size_t size,
			   struct error *error, int64_t *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_dictionary.h"

#include <errno.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

int history_dictionary_init(struct history_dictionary *dictionary, sqlite3 *db, const char *find,
			    const char *insert, history_bind_fn *bind, struct error *error)
{
	int r;

	*dictionary = (struct history_dictionary){.db = db, .bind = bind};
	r = history_database_prepare(db, find, error, &dictionary->find);
	return r ? r : history_database_prepare(db, insert, error, &dictionary->insert);
}

void history_dictionary_forget(struct history_dictionary *dictionary)
{
	strtab_deinit(&dictionary->keys);
	dictionary->keys = (struct strtab){0};
	vec_clear(&dictionary->rows);
}

void history_dictionary_deinit(struct history_dictionary *dictionary)
{
	sqlite3_finalize(dictionary->find);
	sqlite3_finalize(dictionary->insert);
	strtab_deinit(&dictionary->keys);
	vec_free(&dictionary->rows);
	*dictionary = (struct history_dictionary){0};
}

size_t history_dictionary_size(const struct history_dictionary *dictionary)
{
	return dictionary->keys.bytes.count;
}

static int look_up(struct history_dictionary *dictionary, const char *bytes, size_t size,
		   struct error *error, int64_t *ret)
{
	int64_t hash = (int64_t)XXH3_64bits(bytes, size);
	int step, r = 0;

	dictionary->bind(dictionary->find, hash, bytes, size);
	step = sqlite3_step(dictionary->find);
	if (step == SQLITE_ROW)
		*ret = sqlite3_column_int64(dictionary->find, 0);
	else if (step != SQLITE_DONE)
		r = history_database_error(dictionary->db, "cannot be read", error);
	sqlite3_reset(dictionary->find);
	if (r || step == SQLITE_ROW)
		return r;
	dictionary->bind(dictionary->insert, hash, bytes, size);
	r = history_database_step(dictionary->insert, error);
	if (!r)
		*ret = sqlite3_last_insert_rowid(dictionary->db);
	return r;
}

int history_dictionary_row(struct history_dictionary *dictionary, const void *bytes, size_t size,
			   struct error *error, int64_t *ret)
{
	uint32_t key = strtab_add(&dictionary->keys, bytes, size);
	int r;

	if (key == UINT32_MAX || vec_reserve(&dictionary->rows, (size_t)key + 1))
		return error_set(error, -ENOMEM, "history: out of memory");
	while (dictionary->rows.count <= key)
		dictionary->rows.items[dictionary->rows.count++] = 0;
	if (!dictionary->rows.items[key]) {
		r = look_up(dictionary, bytes, size, error, &dictionary->rows.items[key]);
		if (r)
			return r;
	}
	*ret = dictionary->rows.items[key];
	return 0;
}

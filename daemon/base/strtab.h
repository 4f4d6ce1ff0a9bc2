/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Interned byte strings: each distinct string once, named by a small id. Id 0
 * is always "". Ids are dense and stable; strings are NUL-terminated (they may
 * contain other control bytes: they come from foreign files). Zero-initialised
 * is empty and ready.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"

struct strtab {
	VEC(char) bytes;
	VEC(uint32_t) offsets; /* of id i; the end is offsets[i + 1] - 1 (its NUL) */
	struct hashmap index; /* hash of the bytes -> id of the newest with that hash */
	VEC(uint32_t) next; /* older id with the same hash, or UINT32_MAX */
};

void strtab_deinit(struct strtab *tab);
/* Id of the string, adding it if new; UINT32_MAX when out of memory. */
uint32_t strtab_add(struct strtab *tab, const char *bytes, size_t n);
/* Number of ids, "" included. */
uint32_t strtab_count(const struct strtab *tab);
/* Valid until the next add; an id out of range gives "". */
const char *strtab_get(const struct strtab *tab, uint32_t id);
size_t strtab_length(const struct strtab *tab, uint32_t id);
/* Bytes held. */
size_t strtab_memory(const struct strtab *tab);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/vec.h"

#include "daemon/base/huge.h"

#define HUGE_ROOM (64U << 20) /* bytes: what has come to a huge page may come to this */

/* 0: there is no such size. */
static size_t grow(size_t capacity, size_t want, size_t size)
{
	size_t grown = capacity ? capacity : 8;

	while (grown < want) {
		if (grown > SIZE_MAX / 2 / size)
			return 0;
		grown *= 2;
	}
	return grown;
}

void *vec_grow_(void *items, size_t *capacity, size_t want, size_t size)
{
	size_t grown = grow(*capacity, want, size);
	void *moved = grown ? realloc(items, grown * size) : NULL;

	if (moved)
		*capacity = grown;
	return moved;
}

void *vec_grow_huge_(void *items, size_t *capacity, size_t count, size_t want, size_t size)
{
	size_t grown = grow(*capacity, want, size), roomy = grown;
	void *moved;

	if (!grown)
		return NULL;
	/* What is not touched costs nothing, moving does. */
	if (grown >= HUGE_PAGE / size && grown < HUGE_ROOM / size)
		roomy = HUGE_ROOM / size;
	else if (grown >= HUGE_ROOM / size && grown <= SIZE_MAX / 2 / size)
		roomy = grown * 2;
	moved = huge_realloc(items, count * size, roomy * size);
	if (!moved && roomy > grown) {
		roomy = grown;
		moved = huge_realloc(items, count * size, roomy * size);
	}
	if (moved)
		*capacity = roomy;
	return moved;
}

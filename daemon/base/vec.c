/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/vec.h"

void *vec_grow_(void *items, size_t *capacity, size_t want, size_t size)
{
	size_t grown = *capacity ? *capacity : 8;
	void *moved;

	while (grown < want) {
		if (grown > SIZE_MAX / 2 / size)
			return NULL;
		grown *= 2;
	}
	moved = realloc(items, grown * size);
	if (moved)
		*capacity = grown;
	return moved;
}

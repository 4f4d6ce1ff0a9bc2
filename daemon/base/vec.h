/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A growable array of any element type, zero-initialised when empty:
 *
 *	VEC(uint32_t) ids = {0};
 *	int r = vec_push(&ids, 7);	// 0 or -ENOMEM, unchanged on failure
 *	vec_free(&ids);
 *
 * Elements move when the array grows: keep indexes, not pointers.
 */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *items;                                                                       \
		size_t count;                                                                      \
		size_t capacity;                                                                   \
	}

/* Room for `want` elements of `size` bytes in all; gives the (perhaps moved) array
 * or NULL. */
void *vec_grow_(void *items, size_t *capacity, size_t want, size_t size);

/* After 0, vec->items is there to be written to, even for a `want` of 0. */
#define vec_reserve(vec, want)                                                                     \
	({                                                                                         \
		int r_ = 0;                                                                        \
		if ((size_t)(want) > (vec)->capacity || !(vec)->items) {                           \
			void *moved_ = vec_grow_((vec)->items, &(vec)->capacity, (want),           \
						 sizeof(*(vec)->items));                           \
			if (moved_)                                                                \
				(vec)->items = moved_;                                             \
			else                                                                       \
				r_ = -ENOMEM;                                                      \
		}                                                                                  \
		r_;                                                                                \
	})

/* Likewise for one that may come to many megabytes: see huge.h. */
void *vec_grow_huge_(void *items, size_t *capacity, size_t count, size_t want, size_t size);
#define vec_reserve_huge(vec, want)                                                                \
	({                                                                                         \
		int r_ = 0;                                                                        \
		if ((size_t)(want) > (vec)->capacity || !(vec)->items) {                           \
			void *moved_ =                                                             \
				vec_grow_huge_((vec)->items, &(vec)->capacity, (vec)->count,       \
					       (want), sizeof(*(vec)->items));                     \
			if (moved_)                                                                \
				(vec)->items = moved_;                                             \
			else                                                                       \
				r_ = -ENOMEM;                                                      \
		}                                                                                  \
		r_;                                                                                \
	})

#define vec_push(vec, ...)                                                                         \
	({                                                                                         \
		int p_ = vec_reserve(vec, (vec)->count + 1);                                       \
		if (!p_)                                                                           \
			(vec)->items[(vec)->count++] = (__VA_ARGS__);                              \
		p_;                                                                                \
	})

#define vec_clear(vec) ((void)((vec)->count = 0))

#define vec_free(vec)                                                                              \
	do {                                                                                       \
		free((vec)->items);                                                                \
		(vec)->items = NULL;                                                               \
		(vec)->count = (vec)->capacity = 0;                                                \
	} while (0)

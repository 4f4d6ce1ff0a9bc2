/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sorting by a number in linear time, a byte of it at a time; bytes in which all are alike
 * cost nothing. Items with one key keep their order.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct radix_item {
	uint64_t key;
	uint32_t id, note; /* the caller's */
};

/* `spare` has room for as many. */
void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count);

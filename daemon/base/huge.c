/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/huge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *huge_alloc(size_t size)
{
	size_t rounded = (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	void *area;

	if (size < HUGE_PAGE)
		return malloc(size);
	if (size > SIZE_MAX - HUGE_PAGE)
		return NULL;
	area = aligned_alloc(HUGE_PAGE, rounded);
	if (area)
		madvise(area, rounded, MADV_HUGEPAGE); /* advice: it does without, too */
	return area;
}

void *huge_alloc_zero(size_t size)
{
	void *area;

	if (size < HUGE_PAGE)
		return calloc(1, size);
	area = huge_alloc(size);
	return area ? memset(area, 0, size) : NULL;
}

void *huge_realloc(void *area, size_t used, size_t size)
{
	void *moved;

	if (size < HUGE_PAGE)
		return realloc(area, size);
	/* realloc() would move page by page what is not aligned by chance. */
	moved = huge_alloc(size);
	if (!moved)
		return NULL;
	if (used)
		memcpy(moved, area, used);
	free(area);
	return moved;
}

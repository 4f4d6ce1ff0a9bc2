/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory by the megabyte, for tables that are looked up at random or filled once: in huge
 * pages where the kernel gives them on request (madvise(2), MADV_HUGEPAGE), so that neither
 * the first touch of each 4 KiB nor the way to a page's address costs more than the work.
 * A part of it that is never touched costs nothing, in steps of HUGE_PAGE.
 *
 * It is malloc()'s: free() gives it back. What is smaller than a huge page is as always.
 */
#pragma once

#include <stddef.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Not zeroed. NULL: no memory. */
void *huge_alloc(size_t size);
/* Zeroed. */
void *huge_alloc_zero(size_t size);
/* Moves the first `used` bytes into an area of `size`; NULL: no memory, `area` is as it
 * was. */
void *huge_realloc(void *area, size_t used, size_t size);

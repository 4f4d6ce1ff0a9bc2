/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a profile of allocations shows: which view, and by function or by site. Of a profile
 * that has no sites (pprof's, a history's) they are made of its samples; how exact they are
 * is then not known.
 *
 * A site's function is that of the innermost frame that is no allocator's.
 *
 * Ownership: views refer to their profile, which must outlive them unchanged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "flamegraph/heap_data.h"
#include "flamegraph/heap_growth.h"
#include "flamegraph/profile.h"

enum heap_view { HEAP_INUSE, HEAP_ALLOC, HEAP_PEAK, HEAP_LEAKED, HEAP_TEMPORARY, HEAP_VIEWS };
enum heap_by { HEAP_BY_FUNCTION, HEAP_BY_SITE };

struct heap_row {
	struct heap_site sum; /* of all its sites; the stack is that of the largest in the view */
	size_t sites;
	uint32_t frame; /* of the profile, its function's; PROFILE_NONE: the stack is empty */
	struct heap_growth growth;
	/* The one of its sites that leaks most, if any does; else of all together. */
	struct heap_growth worst;
	uint32_t worst_stack;
};

struct heap_rows {
	enum heap_view view;
	VEC(struct heap_row) rows; /* with anything in the view, the largest first */
	struct heap_site total; /* of all sites */
	struct heap_growth growth; /* of all together */
};

const char *heap_view_name(enum heap_view view); /* "inuse" */
const char *heap_view_title(enum heap_view view); /* "in use" */
/* HEAP_VIEWS: no such view. */
enum heap_view heap_view_find(const char *name);
/* In use is what its process had at the end, its own or the session's. */
struct heap_sum heap_view_sum(const struct heap_site *site, enum heap_view view);

/* The profile's sites, or such as its samples make: then *made has them, and is the caller's
 * to deinit (all zero before). -ENODATA: it is no profile of allocations; -ENOMEM. */
int heap_view_data(const struct profile *profile, struct heap_data *made, struct error *error,
		   const struct heap_data **ret);
/* Why the view cannot be had: -ENODATA with a sentence; else 0. */
int heap_view_check(const struct profile *profile, const struct heap_data *data,
		    enum heap_view view, struct error *error);
/* -ENOMEM. */
int heap_rows_init(struct heap_rows *rows, const struct profile *profile,
		   const struct heap_data *data, enum heap_view view, enum heap_by by);
void heap_rows_deinit(struct heap_rows *rows);
/* The frame of a stack's function; PROFILE_NONE: the stack is empty. */
uint32_t heap_view_frame(const struct profile *profile, uint32_t stack);
/* The value types of the view, for pictures and other formats: makes those of what was leaked
 * of the profile's own. NULL: it has none. */
const char *heap_view_value(struct profile *profile, enum heap_view view);
/* In place of a snapshot: the moment of the peak. */
#define HEAP_AT_PEAK SIZE_MAX
struct heap_level heap_view_level(const struct heap_site *site, size_t snapshot);
uint64_t heap_view_moment(const struct heap_data *data, size_t snapshot);
/* What was in use at a snapshot as a profile of its own, of the values "samples" and
 * "inuse_space"; NULL without memory. */
struct profile *heap_view_snapshot(const struct profile *profile, const struct heap_data *data,
				   size_t snapshot);

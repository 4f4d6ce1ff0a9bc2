/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Paths: the samples of a profile summed by (comm, stack) for one value type,
 * in the order of their labels. Neighbours may be alike in their labels, and are then
 * one path to whoever walks them. Sorted once, the tree and the folded lines come
 * out in one pass: what two neighbours share lies at their beginning.
 *
 * Who draws nothing of less than `least` need not wait for its order: paths that are alike
 * in their first elements, as many as are sorted by at once, and together hold less, are
 * one of them with the value of all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "flamegraph/labels.h"

struct path {
	uint32_t comm; /* string of the profile */
	uint32_t stack; /* of the profile */
	uint64_t value; /* never 0 */
};

struct paths {
	const struct labels *labels; /* the caller's; outlives the paths */
	bool with_comm; /* the comm is the first element of each path (if any sample has one) */
	VEC(struct path) items;
};

/* The (comm, stack) of a path as one number: comm << 32 | stack. */
static inline uint64_t paths_key(const struct path *path)
{
	return (uint64_t)path->comm << 32 | path->stack;
}

struct paths_options {
	uint32_t value_type;
	bool with_comm;
	uint64_t least; /* 0: every path is wanted */
	/* Ranks of a label by where in a path it stands; they may be the same array. */
	const uint32_t *inner, *last;
};

/* 0 or -ENOMEM (nothing to deinit then). */
int paths_init(struct paths *paths, const struct labels *labels,
	       const struct paths_options *options);
void paths_deinit(struct paths *paths);

/* One path, root first. */
struct path_elements {
	const uint32_t *frames;
	size_t frame_count;
	uint32_t comm; /* its label; PROFILE_NONE: not part of the path */
	size_t count;
};
struct path_elements path_elements(const struct paths *paths, const struct path *path);
/* Label of element i < count. */
static inline uint32_t path_label(const struct paths *paths, const struct path_elements *path,
				  size_t i)
{
	if (path->comm != PROFILE_NONE) {
		if (!i)
			return path->comm;
		i--;
	}
	return paths->labels->of_frame[path->frames[i]];
}
/* Brings the frames of a path a few places on nearer: the sorted paths lie anywhere in the
 * profile, and who walks them would wait for each. */
void paths_prefetch(const struct paths *paths, size_t i);
/* Elements that a and b have in common at their beginning. */
size_t path_common(const struct paths *paths, const struct path_elements *a,
		   const struct path_elements *b);

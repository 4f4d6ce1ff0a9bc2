/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The call tree of a profile, for one value type: a root over everything, the
 * threads' names below it (unless told otherwise), then frames from the outermost
 * on. A parent has one child a label (labels.h), so that no function is ever
 * split in two boxes; siblings are sorted by name bytes, then module and kind.
 *
 * Nodes lie in preorder in one array: node 0 is the root, the first child of i is
 * i + 1 if that is before nodes[i].end, and nodes[i].end is the next sibling or
 * the parent's end.
 *
 * Ownership: the tree refers to the profile, which must outlive it unchanged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "flamegraph/labels.h"
#include "flamegraph/profile.h"

struct tree_options {
	uint32_t value_type;
	bool without_comm;
	uint64_t least; /* nodes of a smaller total are left out, with all below; 0: none */
	/* Gets for each (comm << 32 | stack) that has a value its node, comm being 0 if
	 * without_comm; NULL: not wanted. Not together with `least`. */
	struct hashmap *leaves;
};

struct tree_node {
	uint32_t label; /* in tree->labels; PROFILE_NONE: the root */
	uint32_t parent; /* index; PROFILE_NONE: the root */
	uint32_t depth; /* the root's is 0 */
	uint32_t end; /* index behind the last descendant */
	uint32_t thin; /* children that were left out; what follows moves up */
	uint64_t begin; /* of its box: where the parent's begins, and the siblings before it */
	uint64_t self; /* value of the samples that end here */
	uint64_t total; /* self and all descendants */
};

struct tree {
	struct labels labels;
	VEC(struct tree_node) nodes;
	uint32_t depth; /* of the deepest node */
	size_t thin; /* children left out of all nodes, */
	uint64_t thin_value; /* and what they hold, which their parents' totals have too */
};

/* 0, -EINVAL (no such value type), -ENOMEM, -E2BIG (more than 2^32 - 2 nodes);
 * nothing to deinit then. */
int tree_init(struct tree *tree, const struct profile *profile, const struct tree_options *options);
void tree_deinit(struct tree *tree);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/tree.h"

#include "daemon/base/cleanup.h"
#include "flamegraph/paths.h"
#include "flamegraph/profile_internal.h"

/* Walks the sorted paths; the nodes from `at` up to the root are open: they may
 * still get children. */
struct builder {
	struct tree *tree;
	uint64_t least;
	uint32_t at; /* where the last path ended; PROFILE_NONE: nothing is open */
	VEC(uint64_t) next_begin; /* by depth: where the next box of that depth begins */
	struct hashmap *leaves; /* tree_options.leaves */
};

static int push_node(struct builder *builder, uint32_t label)
{
	struct tree *tree = builder->tree;
	struct tree_node node = {.label = label, .parent = builder->at};

	if (node.parent != PROFILE_NONE)
		node.depth = tree->nodes.items[node.parent].depth + 1;
	if (tree->nodes.count >= PROFILE_NONE - 1)
		return -E2BIG;
	if (vec_reserve(&builder->next_begin, (size_t)node.depth + 2))
		return -ENOMEM;
	if (node.depth)
		node.begin = builder->next_begin.items[node.depth];
	builder->next_begin.items[node.depth + 1] = node.begin;
	if (vec_push(&tree->nodes, node))
		return -ENOMEM;
	builder->at = (uint32_t)tree->nodes.count - 1;
	return 0;
}

/* Closes the open nodes from `depth` down; a closed one is complete. A thin one goes,
 * after all below it, which are as thin. */
static void close_nodes(struct builder *builder, size_t depth)
{
	struct tree *tree = builder->tree;
	struct tree_node *nodes = tree->nodes.items;

	while (builder->at != PROFILE_NONE && nodes[builder->at].depth >= depth) {
		struct tree_node *node = &nodes[builder->at];

		node->end = (uint32_t)tree->nodes.count;
		node->total = profile_sum(node->total, node->self);
		if (node->parent != PROFILE_NONE)
			nodes[node->parent].total =
				profile_sum(nodes[node->parent].total, node->total);
		builder->at = node->parent;
		if (node->total < builder->least && node->depth) {
			nodes[node->parent].thin++;
			tree->nodes.count--;
			continue;
		}
		builder->next_begin.items[node->depth] = profile_sum(node->begin, node->total);
		if (node->depth > tree->depth)
			tree->depth = node->depth;
	}
}

/* The value of a path goes to the node of its last element, or is that of a thin child
 * which has no node. */
static void add_value(struct builder *builder, const struct path *path, bool thin)
{
	struct tree_node *node = &builder->tree->nodes.items[builder->at];

	if (!thin) {
		node->self = profile_sum(node->self, path->value);
		return;
	}
	node->total = profile_sum(node->total, path->value);
	node->thin++;
}

/* What a path shares neither with the one before nor with the one behind it holds its
 * value only: if that is thin, no node is made of it. */
static int build(struct builder *builder, const struct paths *paths)
{
	struct path_elements elements, next = {0};
	size_t common = 0, after, made;
	int r = push_node(builder, PROFILE_NONE);

	if (paths->items.count)
		next = path_elements(paths, &paths->items.items[0]);
	for (size_t i = 0; !r && i < paths->items.count; i++, common = after) {
		const struct path *path = &paths->items.items[i];

		elements = next;
		after = 0;
		paths_prefetch(paths, i);
		if (i + 1 < paths->items.count) {
			next = path_elements(paths, path + 1);
			after = path_common(paths, &elements, &next);
		}
		made = elements.count;
		if (path->value < builder->least)
			made = after > common ? after : common;
		close_nodes(builder, common + 1); /* the root is one more */
		for (size_t k = common; !r && k < made; k++)
			r = push_node(builder, path_label(paths, &elements, k));
		if (r)
			break;
		add_value(builder, path, made < elements.count);
		if (builder->leaves && hashmap_put(builder->leaves, paths_key(path), builder->at))
			return -ENOMEM;
	}
	if (!r)
		close_nodes(builder, 0);
	return r;
}

/* What was left out is what no node has for its own. */
static void sum_thin(struct tree *tree)
{
	uint64_t self = 0;

	for (size_t i = 0; i < tree->nodes.count; i++) {
		tree->thin += tree->nodes.items[i].thin;
		self = profile_sum(self, tree->nodes.items[i].self);
	}
	tree->thin_value = tree->nodes.items[0].total - self;
}

int tree_init(struct tree *tree, const struct profile *profile, const struct tree_options *options)
{
	struct paths_options path_options = {.value_type = options->value_type,
					     .with_comm = !options->without_comm,
					     .least = options->least};
	struct builder builder = {.tree = tree,
				  .least = options->least,
				  .at = PROFILE_NONE,
				  .leaves = options->leaves};
	_cleanup_free_ uint32_t *rank = NULL;
	struct paths paths;
	int r;

	if (options->value_type >= profile->value_type_count || (options->least && options->leaves))
		return -EINVAL;
	*tree = (struct tree){0};
	r = labels_init(&tree->labels, profile, LABELS_FUNCTION);
	if (r)
		return r;
	rank = labels_rank(&tree->labels);
	path_options.inner = path_options.last = rank;
	r = rank ? paths_init(&paths, &tree->labels, &path_options) : -ENOMEM;
	if (!r) {
		r = build(&builder, &paths);
		paths_deinit(&paths);
	}
	if (!r)
		sum_thin(tree);
	vec_free(&builder.next_begin);
	if (r)
		tree_deinit(tree);
	return r;
}

void tree_deinit(struct tree *tree)
{
	labels_deinit(&tree->labels);
	vec_free(&tree->nodes);
}

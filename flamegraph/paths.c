/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/paths.h"

#include "flamegraph/profile_internal.h"

struct path_elements path_elements(const struct paths *paths, const struct path *path)
{
	struct path_elements elements = {.comm = PROFILE_NONE};

	elements.frames =
		profile_stack_frames(paths->labels->profile, path->stack, &elements.frame_count);
	elements.count = elements.frame_count;
	if (paths->with_comm) {
		elements.comm = paths->labels->of_comm[path->comm];
		elements.count++;
	}
	return elements;
}

size_t path_common(const struct paths *paths, const struct path_elements *a,
		   const struct path_elements *b)
{
	size_t shorter = a->count < b->count ? a->count : b->count;
	size_t i = 0;

	while (i < shorter && path_label(paths, a, i) == path_label(paths, b, i))
		i++;
	return i;
}

struct order {
	const struct paths *paths;
	const uint32_t *inner;
	const uint32_t *last;
};

static uint32_t rank(const struct order *order, const struct path_elements *path, size_t i)
{
	uint32_t label = path_label(order->paths, path, i);

	return i + 1 == path->count ? order->last[label] : order->inner[label];
}

static int compare_paths(const void *left, const void *right, void *context)
{
	const struct order *order = context;
	struct path_elements a = path_elements(order->paths, left);
	struct path_elements b = path_elements(order->paths, right);
	size_t i = path_common(order->paths, &a, &b);

	/* What they share may rank differently where it ends one of the two. */
	if (i && i == (a.count < b.count ? a.count : b.count))
		i--;
	for (; i < a.count && i < b.count; i++) {
		uint32_t a_rank = rank(order, &a, i), b_rank = rank(order, &b, i);

		if (a_rank != b_rank)
			return a_rank < b_rank ? -1 : 1;
	}
	return (a.count > b.count) - (a.count < b.count);
}

static int collect(struct paths *paths, uint32_t value_type, struct hashmap *index)
{
	const struct profile *profile = paths->labels->profile;

	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[i];
		uint32_t comm = paths->with_comm ? sample->comm : 0;
		uint64_t key = (uint64_t)comm << 32 | sample->stack;
		uint64_t value = profile->values.items[i * profile->value_type_count + value_type];
		uint64_t *found = value ? hashmap_get(index, key) : NULL;

		if (!value)
			continue;
		if (found) {
			struct path *path = &paths->items.items[*found];

			path->value = profile_sum(path->value, value);
			continue;
		}
		if (vec_push(&paths->items, (struct path){comm, sample->stack, value}) ||
		    hashmap_put(index, key, paths->items.count - 1))
			return -ENOMEM;
	}
	return 0;
}

int paths_init(struct paths *paths, const struct labels *labels, uint32_t value_type,
	       bool with_comm, const uint32_t *inner, const uint32_t *last)
{
	struct order order = {.paths = paths, .inner = inner, .last = last};
	struct hashmap index = {0};
	int r;

	*paths = (struct paths){.labels = labels, .with_comm = with_comm};
	r = collect(paths, value_type, &index);
	hashmap_deinit(&index);
	if (r) {
		paths_deinit(paths);
		return r;
	}
	if (paths->items.count)
		qsort_r(paths->items.items, paths->items.count, sizeof(*paths->items.items),
			compare_paths, &order);
	return 0;
}

void paths_deinit(struct paths *paths)
{
	vec_free(&paths->items);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/paths.h"

#include <string.h>

#include "daemon/base/cleanup.h"
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

#define FRAMES_AHEAD 8
#define ENDS_AHEAD 16 /* where the frames are must be known by then */

void paths_prefetch(const struct paths *paths, size_t i)
{
	const struct profile *profile = paths->labels->profile;

	if (i + ENDS_AHEAD < paths->items.count)
		__builtin_prefetch(
			&profile->stack_ends.items[paths->items.items[i + ENDS_AHEAD].stack]);
	if (i + FRAMES_AHEAD < paths->items.count) {
		uint32_t stack = paths->items.items[i + FRAMES_AHEAD].stack;
		size_t count;
		const uint32_t *frames = profile_stack_frames(profile, stack, &count);

		for (size_t at = 0; at < count; at += 16) /* a line of the cache */
			__builtin_prefetch(frames + at);
	}
}

size_t path_common(const struct paths *paths, const struct path_elements *a,
		   const struct path_elements *b)
{
	size_t shorter = a->count < b->count ? a->count : b->count;
	size_t comm = a->comm != PROFILE_NONE ? 1 : 0; /* both have one, or none has */
	const uint32_t *of_frame = paths->labels->of_frame;
	size_t i;

	if (comm && a->comm != b->comm)
		return 0;
	for (i = comm; i < shorter; i++) {
		uint32_t left = a->frames[i - comm], right = b->frames[i - comm];

		if (left != right && of_frame[left] != of_frame[right])
			break;
	}
	return i;
}

/* The sort: by the ranks of the first elements, then those that are alike in it by the
 * second, and so on. Only what tells two paths apart is ever looked at, the ranks of one
 * depth lie side by side while they are sorted, and no input makes it quadratic. */

#define FEW 12 /* paths: so many are put in order by comparing whole ones */
#define CHAIN_MAX 8 /* paths of one stack that collect() looks at */
#define RADIX_LEAST 64 /* below, insertion is faster than counting */

struct range {
	size_t begin, end; /* of paths alike in their elements before `depth` */
	size_t depth;
};

/* A path with where its frames are, so that a key is one look at memory. */
struct sorted {
	struct path path;
	const uint32_t *frames;
	size_t count;
};

struct sorter {
	const struct paths *paths;
	uint32_t *inner, *last; /* rank + 1 of a profile's frame; of it as a leaf */
	const uint32_t *comm_inner, *comm_last; /* ranks of labels */
	uint32_t most; /* the highest key */
	struct sorted *items, *spare;
	uint64_t *keys, *spare_keys; /* key << 32 | index into items */
	VEC(struct range) todo;
};

/* 0 for a path that has ended: the shorter comes first. */
static uint32_t key_at(const struct sorter *sorter, const struct sorted *item, size_t depth)
{
	size_t count = item->count;

	if (sorter->paths->with_comm) {
		uint32_t comm = sorter->paths->labels->of_comm[item->path.comm];

		if (!depth)
			return 1 + (count ? sorter->comm_inner[comm] : sorter->comm_last[comm]);
		depth--;
	}
	if (depth >= count)
		return 0;
	return (depth + 1 == count ? sorter->last : sorter->inner)[item->frames[depth]];
}

static int compare_from(const struct sorter *sorter, const struct sorted *a, const struct sorted *b,
			size_t depth)
{
	uint32_t a_key, b_key;

	do {
		a_key = key_at(sorter, a, depth);
		b_key = key_at(sorter, b, depth);
		depth++;
	} while (a_key == b_key && a_key);
	return (a_key > b_key) - (a_key < b_key);
}

static void sort_few(const struct sorter *sorter, const struct range *range)
{
	for (size_t i = range->begin + 1; i < range->end; i++) {
		struct sorted item = sorter->items[i];
		size_t at = i;

		for (; at > range->begin &&
		       compare_from(sorter, &sorter->items[at - 1], &item, range->depth) > 0;
		     at--)
			sorter->items[at] = sorter->items[at - 1];
		sorter->items[at] = item;
	}
}

static void insertion_sort(uint64_t *keys, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		uint64_t key = keys[i];
		size_t at = i;

		for (; at && keys[at - 1] > key; at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* By the upper halves, a byte at a time from the lowest; gives where the result is. */
static uint64_t *radix_sort(uint64_t *keys, uint64_t *spare, size_t count, uint32_t most)
{
	for (unsigned bit = 32; bit < 64 && most; bit += 8, most >>= 8) {
		size_t begins[257] = {0};
		uint64_t *swapped = keys;

		for (size_t i = 0; i < count; i++)
			begins[(keys[i] >> bit & 0xff) + 1]++;
		for (unsigned digit = 0; digit < 256; digit++)
			begins[digit + 1] += begins[digit];
		for (size_t i = 0; i < count; i++)
			spare[begins[keys[i] >> bit & 0xff]++] = keys[i];
		keys = spare;
		spare = swapped;
	}
	return keys;
}

/* Sorts a range by the elements at its depth; what is still alike is left to do. */
static int sort_range(struct sorter *sorter, const struct range *range)
{
	size_t count = range->end - range->begin, run = 0;
	uint64_t *keys = sorter->keys;
	struct sorted *items = sorter->items + range->begin;

	for (size_t i = 0; i < count; i++)
		keys[i] = (uint64_t)key_at(sorter, &items[i], range->depth) << 32 | i;
	if (count < RADIX_LEAST)
		insertion_sort(keys, count);
	else
		keys = radix_sort(keys, sorter->spare_keys, count, sorter->most);
	for (size_t i = 0; i < count; i++)
		sorter->spare[i] = items[(uint32_t)keys[i]];
	memcpy(items, sorter->spare, count * sizeof(*items));
	for (size_t i = 1; i <= count; i++) {
		struct range alike = {range->begin + run, range->begin + i, range->depth + 1};

		if (i < count && keys[i] >> 32 == keys[run] >> 32)
			continue;
		/* Those that have ended are wholly alike. */
		if (i - run > 1 && keys[run] >> 32 && vec_push(&sorter->todo, alike))
			return -ENOMEM;
		run = i;
	}
	return 0;
}

static int sort_all(struct sorter *sorter, size_t count)
{
	int r = vec_push(&sorter->todo, (struct range){0, count, 0});

	while (!r && sorter->todo.count) {
		struct range range = sorter->todo.items[--sorter->todo.count];

		if (range.end - range.begin <= FEW)
			sort_few(sorter, &range);
		else
			r = sort_range(sorter, &range);
	}
	return r;
}

static int sort_paths(struct paths *paths, const uint32_t *inner, const uint32_t *last)
{
	size_t count = paths->items.count, frames = paths->labels->profile->frames.count;
	struct sorter sorter = {
		.paths = paths,
		.inner = malloc((frames + 1) * sizeof(*sorter.inner)),
		.last = malloc((frames + 1) * sizeof(*sorter.last)),
		.comm_inner = inner,
		.comm_last = last,
		.items = malloc((count + 1) * sizeof(*sorter.items)),
		.spare = malloc((count + 1) * sizeof(*sorter.spare)),
		.keys = malloc((count + 1) * sizeof(*sorter.keys)),
		.spare_keys = malloc((count + 1) * sizeof(*sorter.spare_keys)),
	};
	int r = -ENOMEM;

	if (sorter.inner && sorter.last && sorter.items && sorter.spare && sorter.keys &&
	    sorter.spare_keys) {
		for (size_t i = 0; i < frames; i++) {
			uint32_t label = paths->labels->of_frame[i];

			sorter.inner[i] = inner[label] + 1;
			sorter.last[i] = last[label] + 1;
		}
		for (size_t i = 0; i < paths->labels->items.count; i++) {
			uint32_t most = (inner[i] > last[i] ? inner[i] : last[i]) + 1;

			if (most > sorter.most)
				sorter.most = most;
		}
		for (size_t i = 0; i < count; i++) {
			struct sorted *item = &sorter.items[i];

			item->path = paths->items.items[i];
			item->frames = profile_stack_frames(paths->labels->profile,
							    item->path.stack, &item->count);
		}
		r = sort_all(&sorter, count);
		for (size_t i = 0; i < count; i++)
			paths->items.items[i] = sorter.items[i].path;
	}
	free(sorter.inner);
	free(sorter.last);
	free(sorter.items);
	free(sorter.spare);
	free(sorter.keys);
	free(sorter.spare_keys);
	vec_free(&sorter.todo);
	return r;
}

/* Paths of one stack hang on a chain: `head` by stack, `next` by path. Most have one
 * thread's name only; of those with many the newest are looked at, so that no input
 * makes this quadratic. What is left double is summed by who walks the sorted paths. */
static int collect(struct paths *paths, uint32_t value_type)
{
	const struct profile *profile = paths->labels->profile;
	_cleanup_free_ uint32_t *head = malloc((profile->stack_ends.count + 1) * sizeof(*head));
	_cleanup_free_ uint32_t *next = malloc((profile->samples.count + 1) * sizeof(*next));

	if (!head || !next || vec_reserve(&paths->items, profile->samples.count))
		return -ENOMEM;
	memset(head, 0xff, profile->stack_ends.count * sizeof(*head));
	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[i];
		uint32_t comm = paths->with_comm ? sample->comm : 0, at = head[sample->stack];
		uint64_t value = profile->values.items[i * profile->value_type_count + value_type];
		struct path *items = paths->items.items;

		if (!value)
			continue;
		for (unsigned step = 0; at != PROFILE_NONE && items[at].comm != comm; step++)
			at = step < CHAIN_MAX ? next[at] : PROFILE_NONE;
		if (at != PROFILE_NONE) {
			items[at].value = profile_sum(items[at].value, value);
			continue;
		}
		next[paths->items.count] = head[sample->stack];
		head[sample->stack] = (uint32_t)paths->items.count;
		items[paths->items.count++] = (struct path){comm, sample->stack, value};
	}
	return 0;
}

/* A profile of a file that has no threads' names gets no level for them. */
static bool has_comm(const struct profile *profile)
{
	for (size_t i = 0; i < profile->samples.count; i++) {
		if (profile->samples.items[i].comm)
			return true;
	}
	return false;
}

int paths_init(struct paths *paths, const struct labels *labels, uint32_t value_type,
	       bool with_comm, const uint32_t *inner, const uint32_t *last)
{
	int r;

	*paths = (struct paths){.labels = labels,
				.with_comm = with_comm && has_comm(labels->profile)};
	r = collect(paths, value_type);
	if (!r)
		r = sort_paths(paths, inner, last);
	if (r)
		paths_deinit(paths);
	return r;
}

void paths_deinit(struct paths *paths)
{
	vec_free(&paths->items);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/paths.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/huge.h"
#include "daemon/base/radix.h"
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

/* The sort: by the ranks of the first few elements, as many as one number holds, then those
 * that are alike in it by the next few, and so on. Only what tells two paths apart is ever
 * looked at, the ranks lie side by side while they are sorted, and no input makes it
 * quadratic. */

#define CHAIN_MAX 8 /* paths of one stack that collect() looks at */
#define KEY_ELEMENTS 8 /* of a path in one key, at most */

struct range {
	size_t begin, end; /* of paths alike in their elements before `depth` */
	size_t depth;
};

struct sorter {
	const struct paths *paths;
	uint64_t least; /* see paths_options */
	uint32_t *inner, *last; /* rank + 1 of a profile's frame; of it as a leaf */
	const uint32_t *comm_inner, *comm_last; /* ranks of labels */
	unsigned bits; /* of an element in a key */
	unsigned elements; /* in a key */
	struct radix_item *entries, *spare; /* ids are indexes of paths, notes their stacks */
	VEC(struct range) todo;
};

static uint64_t comm_rank(const struct sorter *sorter, const struct radix_item *entry)
{
	const struct paths *paths = sorter->paths;
	uint32_t comm = paths->labels->of_comm[paths->items.items[entry->id].comm];

	return 1 + (entry->note ? sorter->comm_inner[comm] : sorter->comm_last[comm]);
}

/* The ranks of the elements from `depth` on; zeros where a path has ended: the shorter
 * comes first. */
static uint64_t key_at(const struct sorter *sorter, const struct radix_item *entry, size_t depth)
{
	unsigned left = sorter->elements;
	size_t at = depth, count;
	const uint32_t *frames =
		profile_stack_frames(sorter->paths->labels->profile, entry->note, &count);
	uint64_t key = 0;

	if (sorter->paths->with_comm && depth) {
		at--;
	} else if (sorter->paths->with_comm) {
		key = comm_rank(sorter, entry);
		left--;
	}
	for (; left && at + 1 < count; at++, left--)
		key = key << sorter->bits | sorter->inner[frames[at]];
	if (left && at + 1 == count) {
		key = key << sorter->bits | sorter->last[frames[at]];
		left--;
	}
	return left < sorter->elements ? key << left * sorter->bits : 0;
}

static void fill_keys(struct sorter *sorter, const struct range *range)
{
	const struct profile *profile = sorter->paths->labels->profile;
	struct radix_item *entries = sorter->entries + range->begin;
	size_t count = range->end - range->begin;

	for (size_t i = 0; i < count; i++) {
		if (i + ENDS_AHEAD < count)
			__builtin_prefetch(
				&profile->stack_ends.items[entries[i + ENDS_AHEAD].note]);
		if (i + FRAMES_AHEAD < count) {
			size_t ahead_n;
			const uint32_t *ahead = profile_stack_frames(
				profile, entries[i + FRAMES_AHEAD].note, &ahead_n);

			if (ahead_n > range->depth)
				__builtin_prefetch(ahead + range->depth);
		}
		entries[i].key = key_at(sorter, &entries[i], range->depth);
	}
}

/* If paths alike together hold less than anybody asks for: they are one from now on, the
 * others of no value. */
static bool join_thin(struct sorter *sorter, const struct range *alike)
{
	const struct radix_item *entries = sorter->entries;
	struct path *paths = sorter->paths->items.items;
	uint64_t value = 0;

	for (size_t i = alike->begin; i < alike->end && value < sorter->least; i++)
		value = profile_sum(value, paths[entries[i].id].value);
	if (value >= sorter->least)
		return false;
	for (size_t i = alike->begin; i < alike->end; i++)
		paths[entries[i].id].value = 0;
	paths[entries[alike->begin].id].value = value;
	return true;
}

/* Sorts a range by the elements from its depth on; what is still alike is left to do. */
static int sort_range(struct sorter *sorter, const struct range *range)
{
	size_t count = range->end - range->begin, run = 0;
	struct radix_item *entries = sorter->entries + range->begin;
	uint64_t ended = (1ULL << sorter->bits) - 1;

	fill_keys(sorter, range);
	radix_sort(entries, sorter->spare, count);
	for (size_t i = 1; i <= count; i++) {
		struct range alike = {range->begin + run, range->begin + i,
				      range->depth + sorter->elements};

		if (i < count && entries[i].key == entries[run].key)
			continue;
		/* Those that have ended are wholly alike. */
		if (i - run > 1 && !join_thin(sorter, &alike) && entries[run].key & ended &&
		    vec_push(&sorter->todo, alike))
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

		r = sort_range(sorter, &range);
	}
	return r;
}

/* Ranks of the profile's frames, and how many of them a key holds. */
static void set_ranks(struct sorter *sorter, const struct paths_options *options)
{
	const struct labels *labels = sorter->paths->labels;
	const uint32_t *inner = options->inner, *last = options->last;
	uint32_t most = 1;

	for (size_t i = 0; i < labels->profile->frames.count; i++) {
		uint32_t label = labels->of_frame[i];

		sorter->inner[i] = inner[label] + 1;
		sorter->last[i] = last[label] + 1;
	}
	for (size_t i = 0; i < labels->items.count; i++) {
		most = inner[i] + 1 > most ? inner[i] + 1 : most;
		most = last[i] + 1 > most ? last[i] + 1 : most;
	}
	sorter->bits = 32 - (unsigned)__builtin_clz(most);
	sorter->elements = 64 / sorter->bits;
	if (sorter->elements > KEY_ELEMENTS)
		sorter->elements = KEY_ELEMENTS;
}

/* The paths in their order, without those that have become part of another. */
static int take_sorted(struct paths *paths, const struct sorter *sorter)
{
	const struct path *from = paths->items.items;
	size_t count = paths->items.count, kept = 0;
	struct path *sorted;

	for (size_t i = 0; i < count; i++)
		kept += from[i].value != 0;
	sorted = huge_alloc((kept + 1) * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	kept = 0;
	for (size_t i = 0; i < count; i++) {
		const struct path *path = &from[sorter->entries[i].id];

		if (i + ENDS_AHEAD < count)
			__builtin_prefetch(&from[sorter->entries[i + ENDS_AHEAD].id]);
		if (path->value)
			sorted[kept++] = *path;
	}
	free(paths->items.items);
	paths->items.items = sorted;
	paths->items.count = kept;
	paths->items.capacity = kept + 1;
	return 0;
}

static int sort_paths(struct paths *paths, const struct paths_options *options)
{
	size_t count = paths->items.count, frames = paths->labels->profile->frames.count;
	struct sorter sorter = {
		.paths = paths,
		.least = options->least,
		.inner = malloc((frames + 1) * sizeof(*sorter.inner)),
		.last = malloc((frames + 1) * sizeof(*sorter.last)),
		.comm_inner = options->inner,
		.comm_last = options->last,
		.entries = huge_alloc((count + 1) * sizeof(*sorter.entries)),
		.spare = huge_alloc((count + 1) * sizeof(*sorter.spare)),
	};
	int r = -ENOMEM;

	if (sorter.inner && sorter.last && sorter.entries && sorter.spare) {
		set_ranks(&sorter, options);
		for (size_t i = 0; i < count; i++)
			sorter.entries[i] = (struct radix_item){
				.id = (uint32_t)i, .note = paths->items.items[i].stack};
		r = sort_all(&sorter, count);
		if (!r)
			r = take_sorted(paths, &sorter);
	}
	free(sorter.inner);
	free(sorter.last);
	free(sorter.entries);
	free(sorter.spare);
	vec_free(&sorter.todo);
	return r;
}

/* Of a file of stacks, each once, the samples' stacks are in the order of their ids. */
static bool each_stack_once(const struct profile *profile)
{
	const struct profile_sample *samples = profile->samples.items;

	for (size_t i = 1; i < profile->samples.count; i++) {
		if (samples[i].stack <= samples[i - 1].stack)
			return false;
	}
	return true;
}

static int collect_all(struct paths *paths, uint32_t value_type)
{
	const struct profile *profile = paths->labels->profile;

	if (vec_reserve_huge(&paths->items, profile->samples.count))
		return -ENOMEM;
	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[i];
		uint64_t value = profile->values.items[i * profile->value_type_count + value_type];

		if (value)
			paths->items.items[paths->items.count++] = (struct path){
				paths->with_comm ? sample->comm : 0, sample->stack, value};
	}
	return 0;
}

/* Paths of one stack hang on a chain: `head` by stack, `next` by path. Most have one
 * thread's name only; of those with many the newest are looked at, so that no input
 * makes this quadratic. What is left double is summed by who walks the sorted paths. */
static int collect_alike(struct paths *paths, uint32_t value_type)
{
	const struct profile *profile = paths->labels->profile;
	_cleanup_free_ uint32_t *head = huge_alloc((profile->stack_ends.count + 1) * sizeof(*head));
	_cleanup_free_ uint32_t *next = huge_alloc((profile->samples.count + 1) * sizeof(*next));

	if (!head || !next || vec_reserve_huge(&paths->items, profile->samples.count))
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

int paths_init(struct paths *paths, const struct labels *labels,
	       const struct paths_options *options)
{
	int r;

	*paths = (struct paths){.labels = labels,
				.with_comm = options->with_comm && has_comm(labels->profile)};
	r = each_stack_once(labels->profile) ? collect_all(paths, options->value_type)
					     : collect_alike(paths, options->value_type);
	if (!r)
		r = sort_paths(paths, options);
	if (r)
		paths_deinit(paths);
	return r;
}

void paths_deinit(struct paths *paths)
{
	vec_free(&paths->items);
}

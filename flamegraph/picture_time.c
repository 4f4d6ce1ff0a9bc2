/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/picture_time.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/text.h"

/* What one box did in one step. */
struct moment {
	uint64_t key; /* step << 32 | box */
	uint64_t self;
	uint64_t thin;
};

_Static_assert(PICTURE_BOXES_MAX <= PICTURE_TIMES_MAX, "one step has room for all boxes");

struct times {
	const struct picture *picture;
	const struct hashmap *leaves;
	uint32_t *box_of; /* by node: its box, or the nearest above it that is drawn */
	uint32_t first; /* bucket */
	uint32_t merge; /* buckets a step */
	VEC(struct moment) moments;
	struct hashmap index; /* key -> moment */
};

static int map_boxes(struct times *times)
{
	const struct picture *picture = times->picture;
	const struct tree *tree = &picture->tree;
	size_t box = 0;

	times->box_of = malloc((tree->nodes.count + 1) * sizeof(*times->box_of));
	if (!times->box_of)
		return -ENOMEM;
	for (uint32_t i = 0; i < tree->nodes.count; i++) {
		bool drawn = box < picture->boxes.count && picture->boxes.items[box].node == i;

		times->box_of[i] =
			drawn ? (uint32_t)box++ : times->box_of[tree->nodes.items[i].parent];
	}
	return 0;
}

static int add_moment(struct times *times, uint32_t step, uint32_t node, uint64_t value)
{
	uint32_t box = times->box_of[node];
	uint64_t key = (uint64_t)step << 32 | box, *found = hashmap_get(&times->index, key);
	struct moment *moment;

	if (!found) {
		if (vec_push(&times->moments, (struct moment){.key = key}) ||
		    hashmap_put(&times->index, key, times->moments.count - 1))
			return -ENOMEM;
	}
	moment = &times->moments.items[found ? *found : times->moments.count - 1];
	if (times->picture->boxes.items[box].node == node)
		moment->self = profile_sum(moment->self, value);
	else
		moment->thin = profile_sum(moment->thin, value);
	return 0;
}

/* -E2BIG: more than PICTURE_TIMES_MAX; wider steps have fewer. */
static int collect(struct times *times)
{
	const struct format_job *job = times->picture->job;
	const struct profile *profile = job->profile;

	times->moments.count = 0;
	hashmap_clear(&times->index);
	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[i];
		uint32_t comm = job->without_comm ? 0 : sample->comm;
		uint64_t value =
			profile->values.items[i * profile->value_type_count + job->value_type];
		uint64_t *node = hashmap_get(times->leaves, (uint64_t)comm << 32 | sample->stack);

		if (!value || !node)
			continue;
		if (add_moment(times, (sample->bucket - times->first) / times->merge,
			       (uint32_t)*node, value))
			return -ENOMEM;
		if (times->moments.count > PICTURE_TIMES_MAX)
			return -E2BIG;
	}
	return 0;
}

static int compare_moments(const void *left, const void *right)
{
	const struct moment *a = left, *b = right;

	return (a->key > b->key) - (a->key < b->key);
}

static void put_moments(struct strbuf *out, const struct times *times, uint32_t steps)
{
	size_t i = 0;

	for (uint32_t step = 0; step < steps; step++) {
		const char *blank = "";

		for (; i < times->moments.count && times->moments.items[i].key >> 32 == step; i++) {
			const struct moment *moment = &times->moments.items[i];

			strbuf_puts(out, blank);
			strbuf_put_u64(out, (uint32_t)moment->key);
			strbuf_putc(out, ',');
			strbuf_put_u64(out, moment->self);
			if (moment->thin) {
				strbuf_putc(out, ',');
				strbuf_put_u64(out, moment->thin);
			}
			blank = " ";
		}
		strbuf_putc(out, '\n');
	}
}

/* At least so many buckets that a second is a whole number of steps, or a step one of
 * seconds: the map of parts of seconds needs it. */
static uint32_t whole_steps(const struct profile *profile, uint32_t least)
{
	const uint64_t second = 1000000000;
	uint32_t merge = least;

	if (second % profile->bucket_ns)
		return least;
	while (merge * profile->bucket_ns < second && second % (merge * profile->bucket_ns))
		merge++;
	return merge;
}

static int compare_marks(const void *left, const void *right)
{
	const struct profile_mark *a = left, *b = right;

	return (a->at_ns > b->at_ns) - (a->at_ns < b->at_ns);
}

static int put_marks(struct strbuf *out, const struct profile *profile, uint64_t first_ns)
{
	size_t count = profile->marks.count;
	_cleanup_free_ struct profile_mark *marks = calloc(count + 1, sizeof(*marks));

	if (!marks)
		return -ENOMEM;
	if (count)
		memcpy(marks, profile->marks.items, count * sizeof(*marks));
	qsort(marks, count, sizeof(*marks), compare_marks);
	strbuf_printf(out, "marks %zu\n", count);
	for (size_t i = 0; i < count; i++) {
		const struct profile_mark *mark = &marks[i];

		strbuf_put_u64(out, mark->at_ns > first_ns ? mark->at_ns - first_ns : 0);
		strbuf_puts(out, profile_mark_alarms(profile, mark) ? " 1 " : " 0 ");
		text_put_xml(out, profile_text(profile, mark->text),
			     strtab_length(&profile->strings, mark->text));
		strbuf_putc(out, '\n');
	}
	return 0;
}

static int put_all(struct strbuf *out, struct times *times, uint32_t last)
{
	const struct profile *profile = times->picture->job->profile;
	uint32_t buckets = last - times->first, steps;
	int r;

	times->merge = whole_steps(profile, buckets / PICTURE_STEPS_MAX + 1);
	/* Ends: a single step has no more moments than there are boxes. */
	while ((r = collect(times)) == -E2BIG)
		times->merge = whole_steps(profile, times->merge * 2);
	if (r)
		return r;
	steps = buckets / times->merge + 1;
	if (times->moments.count)
		qsort(times->moments.items, times->moments.count, sizeof(*times->moments.items),
		      compare_moments);
	strbuf_puts(out, "times 1\nstart ");
	strbuf_put_u64(
		out, profile->start_ns ? profile->start_ns + times->first * profile->bucket_ns : 0);
	strbuf_puts(out, "\nbucket ");
	strbuf_put_u64(out, profile->bucket_ns * times->merge);
	strbuf_printf(out, "\nsteps %u\n", steps);
	put_moments(out, times, steps);
	return put_marks(out, profile, times->first * profile->bucket_ns);
}

int picture_put_times(struct strbuf *out, const struct picture *picture,
		      const struct hashmap *leaves)
{
	const struct profile *profile = picture->job->profile;
	struct times times = {.picture = picture, .leaves = leaves, .first = UINT32_MAX};
	uint32_t last = 0;
	int r;

	for (size_t i = 0; i < profile->samples.count; i++) {
		uint32_t bucket = profile->samples.items[i].bucket;

		times.first = bucket < times.first ? bucket : times.first;
		last = bucket > last ? bucket : last;
	}
	if (!profile->bucket_ns || !profile->samples.count)
		return 0;
	r = map_boxes(&times);
	if (!r)
		r = put_all(out, &times, last);
	free(times.box_of);
	vec_free(&times.moments);
	hashmap_deinit(&times.index);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The time line of a profile's samples.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/hashmap.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/report.h"
#include "flamegraph/text.h"
#include "flamegraph/timeline_internal.h"

/* Samples that belong to one series. */
struct group {
	uint64_t key;
	uint64_t total;
	struct strbuf name;
	uint32_t series; /* its place once that is decided */
};

struct maker {
	const struct profile *profile;
	const struct timeline_options *options;
	enum timeline_by by;
	uint32_t value_type;
	uint64_t merge; /* windows a step */
	VEC(struct group) groups;
	struct hashmap index; /* key -> group */
	struct timeline timeline;
};

#define KEY_COMM (1ULL << 32) /* of samples that belong to no known process */

static uint64_t value_of(const struct maker *maker, size_t sample)
{
	return maker->profile->values
		.items[sample * maker->profile->value_type_count + maker->value_type];
}

static const struct profile_frame *leaf_of(const struct maker *maker, size_t sample)
{
	size_t count;
	const uint32_t *frames = profile_stack_frames(
		maker->profile, maker->profile->samples.items[sample].stack, &count);

	return count ? &maker->profile->frames.items[frames[count - 1]] : NULL;
}

static uint64_t key_of(const struct maker *maker, size_t i)
{
	const struct profile_sample *sample = &maker->profile->samples.items[i];
	const struct profile_frame *leaf = leaf_of(maker, i);

	switch (maker->by) {
	case TIMELINE_MODULE:
		return leaf ? leaf->module : 0;
	case TIMELINE_KIND:
		return leaf ? leaf->kind : FRAME_SPECIAL;
	case TIMELINE_PROCESS:
		if (sample->process != PROFILE_NONE)
			return sample->process;
		return KEY_COMM | sample->comm;
	default:
		return KEY_COMM | sample->comm;
	}
}

static void put_string(const struct maker *maker, struct strbuf *out, uint32_t string)
{
	if (string)
		text_put(out, profile_text(maker->profile, string),
			 strtab_length(&maker->profile->strings, string));
	else
		strbuf_puts(out, "unknown");
}

static void put_name(const struct maker *maker, struct strbuf *out, uint64_t key)
{
	if (maker->by == TIMELINE_KIND) {
		strbuf_puts(out, report_kind_name((uint32_t)key));
	} else if (maker->by == TIMELINE_MODULE || key & KEY_COMM) {
		put_string(maker, out, (uint32_t)key);
	} else {
		put_string(maker, out, maker->profile->processes.items[key].comm);
		strbuf_printf(out, " (%u)", maker->profile->processes.items[key].pid);
	}
}

static struct group *group_of(struct maker *maker, uint64_t key)
{
	uint64_t *found = hashmap_get(&maker->index, key);
	struct group group = {.key = key};

	if (found)
		return &maker->groups.items[*found];
	put_name(maker, &group.name, key);
	if (group.name.failed || vec_push(&maker->groups, group)) {
		strbuf_deinit(&group.name);
		return NULL;
	}
	if (hashmap_put(&maker->index, key, maker->groups.count - 1))
		return NULL;
	return &maker->groups.items[maker->groups.count - 1];
}

static int compare_groups(const void *left, const void *right)
{
	const struct group *a = left, *b = right;
	int names = strcmp(strbuf_text(&a->name), strbuf_text(&b->name));

	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return names ? names : (a->key > b->key) - (a->key < b->key);
}

/* Those of the largest groups, and one for the others if there are any. */
static int make_series(struct maker *maker)
{
	struct timeline *timeline = &maker->timeline;
	size_t top = maker->options->top ? maker->options->top : TIMELINE_TOP_DEFAULT;
	size_t groups = maker->groups.count;

	if (top > TIMELINE_SERIES_MAX - 1)
		top = TIMELINE_SERIES_MAX - 1;
	qsort(maker->groups.items, groups, sizeof(*maker->groups.items), compare_groups);
	for (size_t i = 0; i < groups; i++) {
		struct group *group = &maker->groups.items[i];
		struct timeline_series series = {0};

		group->series = (uint32_t)(i < top ? i : top);
		if (hashmap_put(&maker->index, group->key, i))
			return -ENOMEM;
		if (i > top)
			continue;
		if (i == top)
			strbuf_printf(&series.name, "others (%zu)", groups - top);
		else
			strbuf_puts(&series.name, strbuf_text(&group->name));
		series.values = calloc(timeline->steps, sizeof(*series.values));
		if (!series.values || series.name.failed || vec_push(&timeline->series, series)) {
			free(series.values);
			strbuf_deinit(&series.name);
			return -ENOMEM;
		}
	}
	return 0;
}

static int collect_groups(struct maker *maker)
{
	for (size_t i = 0; i < maker->profile->samples.count; i++) {
		struct group *group;

		if (!value_of(maker, i))
			continue;
		group = group_of(maker, key_of(maker, i));
		if (!group)
			return -ENOMEM;
		group->total = profile_sum(group->total, value_of(maker, i));
	}
	return 0;
}

static void fill_series(struct maker *maker)
{
	struct timeline *timeline = &maker->timeline;

	for (size_t i = 0; i < maker->profile->samples.count; i++) {
		const struct profile_sample *sample = &maker->profile->samples.items[i];
		uint64_t value = value_of(maker, i), *group;
		struct timeline_series *series;
		uint64_t *at;

		if (!value)
			continue;
		group = hashmap_get(&maker->index, key_of(maker, i));
		series = &timeline->series.items[maker->groups.items[*group].series];
		at = &series->values[sample->bucket / maker->merge];
		*at = profile_sum(*at, value);
		series->peak = *at > series->peak ? *at : series->peak;
		series->total = profile_sum(series->total, value);
		timeline->total = profile_sum(timeline->total, value);
	}
}

/* Of the processes that have a series: where they began and ended. */
static int mark_processes(struct maker *maker)
{
	const struct profile *profile = maker->profile;
	struct timeline *timeline = &maker->timeline;
	size_t shown = maker->groups.count;
	int r = 0;

	if (maker->by != TIMELINE_PROCESS)
		return 0;
	if (shown > TIMELINE_SERIES_MAX - 1)
		shown = TIMELINE_SERIES_MAX - 1;
	for (size_t i = 0; i < shown && !r; i++) {
		const struct group *group = &maker->groups.items[i];
		const struct profile_process *process;
		struct strbuf began = {0}, ended = {0};

		if (group->key & KEY_COMM ||
		    strcmp(strbuf_text(&timeline->series.items[group->series].name),
			   strbuf_text(&group->name)) != 0)
			continue;
		process = &profile->processes.items[group->key];
		strbuf_printf(&began, "%s begins", strbuf_text(&group->name));
		strbuf_printf(&ended, "%s ends", strbuf_text(&group->name));
		if (process->start_ns)
			r = timeline_add_mark(
				timeline,
				&(struct timeline_mark){.at_ns = process->start_ns, .key = "start"},
				&began);
		else
			strbuf_deinit(&began);
		if (process->end_ns && !r)
			r = timeline_add_mark(
				timeline,
				&(struct timeline_mark){.at_ns = process->end_ns, .key = "exit"},
				&ended);
		else
			strbuf_deinit(&ended);
	}
	return r;
}

static void measure(struct maker *maker)
{
	const struct profile *profile = maker->profile;
	uint64_t windows = profile->duration_ns / profile->bucket_ns +
			   (profile->duration_ns % profile->bucket_ns > 0);
	uint64_t least;

	for (size_t i = 0; i < profile->samples.count; i++) {
		if (profile->samples.items[i].bucket >= windows)
			windows = (uint64_t)profile->samples.items[i].bucket + 1;
	}
	least = maker->options->step_ns ? maker->options->step_ns : TIMELINE_STEP_NS;
	if (!maker->options->step_ns && windows * profile->bucket_ns < TIMELINE_SHORT * least)
		least = TIMELINE_STEP_SHORT_NS;
	maker->merge = (windows + TIMELINE_STEPS_MAX - 1) / TIMELINE_STEPS_MAX;
	if (maker->merge < least / profile->bucket_ns)
		maker->merge = least / profile->bucket_ns;
	maker->timeline.steps = (size_t)((windows + maker->merge - 1) / maker->merge);
	maker->timeline.step_ns = profile->bucket_ns * maker->merge;
}

static int make(struct maker *maker)
{
	const struct profile_value_type *type = &maker->profile->value_types[maker->value_type];
	int r;

	measure(maker);
	put_string(maker, &maker->timeline.value, type->name);
	put_string(maker, &maker->timeline.unit, type->unit);
	r = maker->timeline.value.failed || maker->timeline.unit.failed
		    ? -ENOMEM
		    : timeline_describe(&maker->timeline, maker->profile);
	if (!r)
		r = collect_groups(maker);
	if (!r)
		r = make_series(maker);
	if (r)
		return r;
	fill_series(maker);
	r = mark_processes(maker);
	if (!r)
		r = timeline_finish(&maker->timeline, maker->profile);
	return r;
}

int timeline_from_samples(const struct profile *profile, uint32_t value_type,
			  const struct timeline_options *options, struct error *error,
			  struct timeline *ret)
{
	struct maker maker = {
		.profile = profile,
		.options = options,
		.by = options->by ? options->by : TIMELINE_PROCESS,
		.value_type = value_type,
	};
	int r;

	if (!profile->bucket_ns)
		return error_set(error, -ENODATA,
				 "the profile says nothing of time: folded files and pprof do not; "
				 "perf script's text and perfd's own profiles do");
	if (!profile_total(profile, value_type))
		return error_set(error, -ENODATA, "there is nothing in the profile");
	r = make(&maker);
	for (size_t i = 0; i < maker.groups.count; i++)
		strbuf_deinit(&maker.groups.items[i].name);
	vec_free(&maker.groups);
	hashmap_deinit(&maker.index);
	if (r) {
		timeline_deinit(&maker.timeline);
		return error_set(error, r, "out of memory");
	}
	*ret = maker.timeline;
	return 0;
}

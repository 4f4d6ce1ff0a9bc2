/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The time line of series of a profile: the parts of a group stacked, or one thing by
 * process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/text.h"
#include "flamegraph/timeline_internal.h"

/* Series that are shown as one: of one name, or of one process. */
struct bundle {
	uint32_t key; /* string, or process */
	struct timeline_series series;
};

struct maker {
	const struct profile *profile;
	const char *name;
	bool by_process;
	struct timeline timeline;
	VEC(struct bundle) bundles;
};

static bool is_wanted(const struct maker *maker, const struct series *series)
{
	return !strcmp(profile_text(maker->profile, series->group ? series->group : series->name),
		       maker->name);
}

static void put_string(const struct maker *maker, struct strbuf *out, uint32_t string)
{
	text_put(out, profile_text(maker->profile, string),
		 strtab_length(&maker->profile->strings, string));
}

static void put_name(const struct maker *maker, struct strbuf *out, uint32_t key)
{
	if (!maker->by_process) {
		put_string(maker, out, key);
	} else if (key == PROFILE_NONE) {
		strbuf_puts(out, "all processes");
	} else {
		put_string(maker, out, maker->profile->processes.items[key].comm);
		strbuf_printf(out, " (%u)", maker->profile->processes.items[key].pid);
	}
}

/* The first one wanted gives unit and kind; the widest step is the time line's. */
static int measure(struct maker *maker)
{
	struct timeline *timeline = &maker->timeline;
	uint64_t end_ns = 0;
	bool found = false;

	for (size_t i = 0; i < maker->profile->series.count; i++) {
		const struct series *series = &maker->profile->series.items[i];
		uint64_t end;

		if (!is_wanted(maker, series))
			continue;
		if (!found) {
			put_string(maker, &timeline->unit, series->unit);
			timeline->level = series->kind == SERIES_LEVEL;
		}
		found = true;
		if (series->step_ns > timeline->step_ns)
			timeline->step_ns = series->step_ns;
		if (__builtin_mul_overflow(series->step_ns, series->points.count, &end))
			end = UINT64_MAX;
		end_ns = end > end_ns ? end : end_ns;
	}
	if (!found)
		return -EINVAL;
	while (end_ns / timeline->step_ns >= TIMELINE_STEPS_MAX)
		timeline->step_ns = profile_sum(timeline->step_ns, timeline->step_ns);
	timeline->steps = (size_t)(end_ns / timeline->step_ns + (end_ns % timeline->step_ns > 0));
	text_put(&timeline->value, maker->name, strlen(maker->name));
	return timeline->steps ? 0 : -ENODATA;
}

static struct bundle *bundle_of(struct maker *maker, const struct series *series)
{
	uint32_t key = maker->by_process ? series->process : series->name;
	struct bundle bundle = {.key = key};

	for (size_t i = 0; i < maker->bundles.count; i++) {
		if (maker->bundles.items[i].key == key)
			return &maker->bundles.items[i];
	}
	put_name(maker, &bundle.series.name, key);
	bundle.series.values = calloc(maker->timeline.steps, sizeof(uint64_t));
	bundle.series.low = calloc(maker->timeline.steps, sizeof(uint64_t));
	bundle.series.high = calloc(maker->timeline.steps, sizeof(uint64_t));
	if (!bundle.series.values || !bundle.series.low || !bundle.series.high ||
	    bundle.series.name.failed || vec_push(&maker->bundles, bundle)) {
		free(bundle.series.values);
		free(bundle.series.low);
		free(bundle.series.high);
		strbuf_deinit(&bundle.series.name);
		return NULL;
	}
	return &maker->bundles.items[maker->bundles.count - 1];
}

/* A level stays what it was until it is measured again; after the last measure there is
 * none of it. */
static void fill_gaps(struct series_point *points, size_t count, bool level)
{
	struct series_point last = {0};

	for (size_t i = 0; i < count; i++) {
		if (points[i].value == SERIES_UNKNOWN)
			points[i] = level ? last : (struct series_point){0};
		last = points[i];
	}
}

static int add_series(struct maker *maker, const struct series *series)
{
	struct series scaled = {.kind = series->kind, .step_ns = maker->timeline.step_ns};
	struct bundle *bundle = bundle_of(maker, series);
	int r = bundle ? series_join(&scaled, series, 0) : -ENOMEM;

	if (!r) {
		struct timeline_series *into = &bundle->series;

		fill_gaps(scaled.points.items, scaled.points.count, maker->timeline.level);
		for (size_t i = 0; i < scaled.points.count && i < maker->timeline.steps; i++) {
			const struct series_point *point = &scaled.points.items[i];

			into->values[i] = profile_sum(into->values[i], point->value);
			into->low[i] = profile_sum(into->low[i], point->low);
			into->high[i] = profile_sum(into->high[i], point->high);
		}
	}
	series_deinit(&scaled);
	return r;
}

static void sum_up(struct timeline_series *series, size_t steps)
{
	bool exact = true;

	for (size_t i = 0; i < steps; i++) {
		series->total = profile_sum(series->total, series->values[i]);
		if (series->values[i] > series->peak)
			series->peak = series->values[i];
		if (series->low[i] != series->values[i] || series->high[i] != series->values[i])
			exact = false;
	}
	if (!exact)
		return;
	free(series->low);
	free(series->high);
	series->low = series->high = NULL;
}

static int compare_bundles(const void *left, const void *right)
{
	const struct bundle *a = left, *b = right;

	if (a->series.total != b->series.total)
		return a->series.total > b->series.total ? -1 : 1;
	return strcmp(strbuf_text(&a->series.name), strbuf_text(&b->series.name));
}

static void add_to_others(struct timeline_series *others, const struct timeline_series *series,
			  size_t steps)
{
	for (size_t i = 0; i < steps; i++) {
		others->values[i] = profile_sum(others->values[i], series->values[i]);
		others->low[i] = profile_sum(others->low[i], series->low[i]);
		others->high[i] = profile_sum(others->high[i], series->high[i]);
	}
}

/* The largest ones are the time line's; what is left over becomes the last of them. */
static int take_series(struct maker *maker, size_t top)
{
	struct timeline *timeline = &maker->timeline;
	size_t count = maker->bundles.count;

	for (size_t i = 0; i < count; i++) {
		struct timeline_series *series = &maker->bundles.items[i].series;

		for (size_t step = 0; step < timeline->steps; step++)
			series->total = profile_sum(series->total, series->values[step]);
	}
	qsort(maker->bundles.items, count, sizeof(*maker->bundles.items), compare_bundles);
	if (vec_reserve(&timeline->series, count))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct timeline_series *series = &maker->bundles.items[i].series;

		series->total = 0;
		if (i <= top) {
			timeline->series.items[timeline->series.count++] = *series;
			*series = (struct timeline_series){0};
		} else {
			add_to_others(&timeline->series.items[top], series, timeline->steps);
		}
	}
	if (count > top + 1) {
		strbuf_clear(&timeline->series.items[top].name);
		strbuf_printf(&timeline->series.items[top].name, "others (%zu)", count - top);
	}
	for (size_t i = 0; i < timeline->series.count; i++) {
		sum_up(&timeline->series.items[i], timeline->steps);
		timeline->total = profile_sum(timeline->total, timeline->series.items[i].total);
	}
	return 0;
}

static int make(struct maker *maker, const struct timeline_options *options)
{
	size_t top = options->top ? options->top : TIMELINE_TOP_DEFAULT;
	int r = timeline_describe(&maker->timeline, maker->profile);

	for (size_t i = 0; i < maker->profile->series.count && !r; i++) {
		if (is_wanted(maker, &maker->profile->series.items[i]))
			r = add_series(maker, &maker->profile->series.items[i]);
	}
	if (!r)
		r = take_series(maker, top < TIMELINE_SERIES_MAX ? top : TIMELINE_SERIES_MAX - 1);
	return r ? r : timeline_finish(&maker->timeline, maker->profile);
}

/* "no value "x": cpu, samples, rss". */
static int not_there(const struct profile *profile, const char *name, struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf names = {0};

	for (uint32_t i = 0; i < profile->value_type_count; i++)
		strbuf_printf(&names, "%s%s", names.length ? ", " : "",
			      profile_text(profile, profile->value_types[i].name));
	for (size_t i = 0; i < profile->series.count; i++) {
		const struct series *series = &profile->series.items[i];
		const char *text =
			profile_text(profile, series->group ? series->group : series->name);

		if (!strstr(strbuf_text(&names), text))
			strbuf_printf(&names, "%s%s", names.length ? ", " : "", text);
	}
	return error_set(error, -EINVAL, "the profile has no value \"%s\"; there is %s",
			 name ? name : "", names.length ? strbuf_text(&names) : "none");
}

int timeline_from_series(const struct profile *profile, const char *name,
			 const struct timeline_options *options, struct error *error,
			 struct timeline *ret)
{
	struct maker maker = {.profile = profile,
			      .name = name ? name : "",
			      .by_process = options->by == TIMELINE_PROCESS};
	int r = measure(&maker);

	if (r == -EINVAL)
		r = not_there(profile, name, error);
	else if (r)
		error_set(error, r, "there is nothing in the series \"%s\"", name);
	else if (options->by == TIMELINE_THREAD || options->by == TIMELINE_MODULE)
		r = error_set(error, -EINVAL, "\"%s\" is known by process and by kind only", name);
	else if ((r = make(&maker, options)))
		error_set(error, r, "out of memory");
	for (size_t i = 0; i < maker.bundles.count; i++) {
		struct timeline_series *series = &maker.bundles.items[i].series;

		strbuf_deinit(&series->name);
		free(series->values);
		free(series->low);
		free(series->high);
	}
	vec_free(&maker.bundles);
	if (r) {
		timeline_deinit(&maker.timeline);
		return r;
	}
	*ret = maker.timeline;
	return 0;
}

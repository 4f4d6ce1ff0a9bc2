/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/timeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flamegraph/profile_internal.h"
#include "flamegraph/summary.h"
#include "flamegraph/text.h"
#include "flamegraph/timeline_internal.h"

int timeline_add_mark(struct timeline *timeline, const struct timeline_mark *like,
		      struct strbuf *text)
{
	struct timeline_mark mark = *like;

	mark.text = *text;
	if (text->failed || vec_push(&timeline->marks, mark)) {
		strbuf_deinit(text);
		return -ENOMEM;
	}
	return 0;
}

static int mark_peak(struct timeline *timeline)
{
	struct strbuf text = {0};
	size_t where = 0;

	for (size_t step = 0; step < timeline->steps; step++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < timeline->series.count; i++)
			sum = profile_sum(sum, timeline->series.items[i].values[step]);
		if (sum > timeline->peak) {
			timeline->peak = sum;
			where = step;
		}
	}
	strbuf_puts(&text, "the most at once: ");
	timeline_put_rate(&text, timeline, timeline->peak, 1);
	return timeline_add_mark(
		timeline,
		&(struct timeline_mark){.at_ns = where * timeline->step_ns, .key = "peak"}, &text);
}

/* What the profile says of the time. */
static int mark_events(struct timeline *timeline, const struct profile *profile)
{
	int r = 0;

	for (size_t i = 0; i < profile->marks.count && !r; i++) {
		const struct profile_mark *from = &profile->marks.items[i];
		struct timeline_mark mark = {.at_ns = from->at_ns, .value = from->value};
		struct strbuf key = {0}, text = {0};

		text_put(&key, profile_text(profile, from->key),
			 strtab_length(&profile->strings, from->key));
		text_put(&text, profile_text(profile, from->text),
			 strtab_length(&profile->strings, from->text));
		if (key.length < sizeof(mark.key))
			memcpy(mark.key, strbuf_text(&key), key.length + 1);
		mark.alarm = profile_mark_alarms(profile, from);
		strbuf_deinit(&key);
		r = timeline_add_mark(timeline, &mark, &text);
	}
	return r;
}

static int compare_marks(const void *left, const void *right)
{
	const struct timeline_mark *a = left, *b = right;

	if (a->at_ns != b->at_ns)
		return a->at_ns > b->at_ns ? 1 : -1;
	return strcmp(strbuf_text(&a->text), strbuf_text(&b->text));
}

int timeline_describe(struct timeline *timeline, const struct profile *profile)
{
	const struct format_job job = {.profile = profile};

	if (profile->title)
		text_put(&timeline->title, profile_text(profile, profile->title),
			 strtab_length(&profile->strings, profile->title));
	else
		strbuf_puts(&timeline->title, "Time line");
	summary_put_origin(&timeline->origin, &job);
	for (size_t i = 0; i < profile->counts.count; i++) {
		summary_put_count(&timeline->foot, profile, &profile->counts.items[i]);
		strbuf_putc(&timeline->foot, '\n');
	}
	timeline->start_ns = profile->start_ns;
	return timeline->title.failed || timeline->origin.failed || timeline->foot.failed ? -ENOMEM
											  : 0;
}

int timeline_finish(struct timeline *timeline, const struct profile *profile)
{
	int r = mark_peak(timeline);

	if (!r)
		r = mark_events(timeline, profile);
	if (!r)
		qsort(timeline->marks.items, timeline->marks.count, sizeof(*timeline->marks.items),
		      compare_marks);
	return r;
}

int timeline_from_profile(const struct profile *profile, const struct timeline_options *options,
			  struct error *error, struct timeline *ret)
{
	uint32_t type = options->value ? profile_find_value_type(profile, options->value, NULL)
				       : profile->default_value;
	bool samples = type < profile->value_type_count;
	/* A profile of nothing but series is one of these. */
	const char *name = options->value;

	if (!options->value && profile->series.count &&
	    (!samples || !profile_total(profile, type))) {
		const struct series *first = &profile->series.items[0];

		samples = false;
		name = profile_text(profile, first->group ? first->group : first->name);
	}
	if (samples)
		return timeline_from_samples(profile, type, options, error, ret);
	return timeline_from_series(profile, name, options, error, ret);
}

void timeline_deinit(struct timeline *timeline)
{
	for (size_t i = 0; i < timeline->series.count; i++) {
		strbuf_deinit(&timeline->series.items[i].name);
		free(timeline->series.items[i].values);
		free(timeline->series.items[i].low);
		free(timeline->series.items[i].high);
	}
	for (size_t i = 0; i < timeline->marks.count; i++)
		strbuf_deinit(&timeline->marks.items[i].text);
	vec_free(&timeline->series);
	vec_free(&timeline->marks);
	strbuf_deinit(&timeline->title);
	strbuf_deinit(&timeline->origin);
	strbuf_deinit(&timeline->foot);
	strbuf_deinit(&timeline->value);
	strbuf_deinit(&timeline->unit);
}

void timeline_put_rate(struct strbuf *out, const struct timeline *timeline, uint64_t amount,
		       size_t steps)
{
	double seconds = (double)timeline->step_ns * (double)steps / 1e9;
	double rate = seconds > 0 ? (double)amount / seconds : 0;

	if (timeline->level) {
		double mean = steps ? (double)amount / (double)steps : 0;

		text_put_value(out, mean < 9e18 ? (uint64_t)(mean + 0.5) : INT64_MAX,
			       strbuf_text(&timeline->unit));
		return;
	}
	if (!strcmp(strbuf_text(&timeline->unit), "nanoseconds")) {
		strbuf_printf(out, "%.2f CPUs", rate / 1e9);
		return;
	}
	/* Beyond 2^63 no figure means anything. */
	text_put_value(out, rate < 9e18 ? (uint64_t)(rate + 0.5) : INT64_MAX,
		       strbuf_text(&timeline->unit));
	strbuf_puts(out, "/s");
}

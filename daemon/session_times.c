/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/session_times.h"

#include <string.h>

static void measure_deinit(struct session_measure *measure)
{
	if (measure->process)
		process_unref(measure->process);
}

void session_times_deinit(struct session_times *times)
{
	for (size_t i = 0; i < times->measures.count; i++)
		measure_deinit(&times->measures.items[i]);
	vec_free(&times->measures);
	vec_free(&times->marks);
}

void session_times_measure(struct session_times *times, const struct session_measure *measure)
{
	if (times->measures.count >= SESSION_MEASURES_MAX || vec_push(&times->measures, *measure)) {
		times->dropped++;
		return;
	}
	if (measure->process)
		process_ref(measure->process);
}

void session_times_mark(struct session_times *times, const struct session_mark *mark)
{
	if (times->marks.count >= SESSION_MARKS_MAX || vec_push(&times->marks, *mark))
		times->dropped++;
}

uint64_t session_times_first(const struct session_times *times)
{
	uint64_t first = times->measures.count ? times->measures.items[0].time : UINT64_MAX;

	if (times->marks.count && times->marks.items[0].time < first)
		first = times->marks.items[0].time;
	return first == UINT64_MAX ? 0 : first;
}

static uint64_t since(uint64_t time, uint64_t start)
{
	return time > start ? time - start : 0;
}

static int put_measure(const struct session_measure *measure, const struct session_times_apply *how)
{
	struct profile *profile = how->profile;
	struct series like = {
		.name = profile_string(profile, measure->kind->name),
		.unit = profile_string(profile, measure->kind->unit),
		.group = profile_string(profile, measure->kind->group),
		.process = measure->process ? how->process(how->context, measure->process)
					    : PROFILE_NONE,
		.kind = measure->kind->kind,
		.step_ns = measure->kind->step_ns,
	};
	uint32_t series;

	if (measure->process && like.process == PROFILE_NONE)
		return -ENOMEM;
	series = profile_add_series(profile, &like);
	if (series == PROFILE_NONE)
		return -ENOMEM;
	return series_put(&profile->series.items[series], since(measure->time, how->start),
			  &measure->point);
}

void session_times_apply(struct session_times *times, const struct session_times_apply *how)
{
	size_t kept = 0;

	for (size_t i = 0; i < times->measures.count; i++) {
		struct session_measure *measure = &times->measures.items[i];

		if (measure->time >= how->until) {
			times->measures.items[kept++] = *measure;
			continue;
		}
		times->dropped += put_measure(measure, how) != 0;
		measure_deinit(measure);
	}
	times->measures.count = kept;
	kept = 0;
	for (size_t i = 0; i < times->marks.count; i++) {
		struct session_mark *mark = &times->marks.items[i];

		if (mark->time >= how->until)
			times->marks.items[kept++] = *mark;
		else
			times->dropped +=
				profile_add_mark(how->profile, since(mark->time, how->start),
						 mark->key, mark->text, mark->value) != 0;
	}
	times->marks.count = kept;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define SEAM_NS NSEC_PER_SEC /* windows so near to one another leave nothing out */

int history_reader_init(struct history_reader *reader, const struct history_query *query)
{
	*reader = (struct history_reader){.query = *query, .profile = profile_create()};
	if (!reader->profile)
		return -ENOMEM;
	reader->profile->bucket_ns = query->step_ns;
	reader->profile->start_ns = query->since_ns;
	return 0;
}

void history_reader_deinit(struct history_reader *reader)
{
	profile_destroy(reader->profile);
	vec_free(&reader->spans);
}

static int out_of_memory(struct error *error)
{
	return error_set(error, -ENOMEM, "history: no memory for the answer");
}

int history_reader_note(struct history_reader *reader, const struct history_span *span,
			uint32_t frequency_hz)
{
	if (!reader->windows++)
		reader->frequency_hz = frequency_hz;
	if (reader->frequency_hz != frequency_hz)
		reader->frequency_hz = 0;
	if (span->end_ns > reader->last_ns)
		reader->last_ns = span->end_ns;
	return vec_push(&reader->spans, *span);
}

uint32_t history_reader_bucket(const struct history_reader *reader, uint64_t start_ns)
{
	uint64_t since = start_ns > reader->query.since_ns ? start_ns - reader->query.since_ns : 0;

	return reader->query.step_ns ? (uint32_t)(since / reader->query.step_ns) : 0;
}

/* ---- what is not written yet ---- */

/* Leaves out the samples that do not pass. The index of samples is not kept: the profile
 * is only merged into another one. */
static void drop_samples(const struct history_query *query, struct profile *profile,
			 const bool *passes)
{
	size_t kept = 0, width = profile->value_type_count;

	for (size_t i = 0; i < profile->samples.count; i++) {
		struct profile_sample *sample = &profile->samples.items[i];
		bool pass = !query->pid && sample->process == PROFILE_NONE &&
			    history_query_service(query, profile_text(profile, sample->comm), "");

		if (sample->process != PROFILE_NONE)
			pass = passes[sample->process];
		if (!pass)
			continue;
		sample->bucket = 0; /* the axis of the result begins elsewhere */
		profile->samples.items[kept] = *sample;
		memmove(profile->values.items + kept * width, profile->values.items + i * width,
			width * sizeof(uint64_t));
		kept++;
	}
	profile->samples.count = kept;
	profile->values.count = kept * width;
}

static void drop_series(const struct history_query *query, struct profile *profile,
			const bool *passes)
{
	size_t kept = 0;

	for (size_t i = 0; i < profile->series.count; i++) {
		struct series *series = &profile->series.items[i];

		if (query->step_ns &&
		    (series->process == PROFILE_NONE ? !history_query_has_filter(query)
						     : passes[series->process]))
			profile->series.items[kept++] = *series;
		else
			series_deinit(series);
	}
	profile->series.count = kept;
}

/* All of `from` that passes, as a profile of its own. */
static struct profile *filtered(const struct history_query *query, const struct profile *from)
{
	_cleanup_profile_ struct profile *kept = profile_create();
	_cleanup_free_ bool *passes = calloc(from->processes.count + 1, sizeof(*passes));

	if (!kept || !passes || profile_merge(kept, from))
		return NULL;
	for (size_t i = 0; i < kept->processes.count; i++) {
		const struct profile_process *process = &kept->processes.items[i];

		passes[i] = (!query->pid || process->pid == query->pid) &&
			    history_query_service(query, profile_text(kept, process->comm),
						  profile_text(kept, process->cgroup));
	}
	drop_samples(query, kept, passes);
	drop_series(query, kept, passes);
	return TAKE_PTR(kept);
}

int history_reader_add_profile(struct history_reader *reader, const struct profile *profile,
			       struct error *error)
{
	struct history_span span = {.start_ns = profile->start_ns,
				    .end_ns = profile->start_ns + profile->duration_ns};
	_cleanup_profile_ struct profile *kept = NULL;
	int r;

	if (!history_query_window(&reader->query, span.start_ns, span.end_ns) ||
	    !history_query_event(&reader->query, profile_text(profile, profile->event)) ||
	    !history_filter_passes(reader->query.host, profile_text(profile, profile->host)))
		return 0;
	kept = filtered(&reader->query, profile);
	if (!kept)
		return out_of_memory(error);
	kept->bucket_ns = reader->query.step_ns;
	r = profile_merge(reader->profile, kept);
	if (r || history_reader_note(reader, &span, profile->frequency_hz))
		return r == -EINVAL ? error_set(error, r,
						"the history has values of several kinds "
						"in that time: ask for one event")
				    : out_of_memory(error);
	return 0;
}

/* ---- the end ---- */

static int compare_spans(const void *a, const void *b)
{
	const struct history_span *x = a, *y = b;

	return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* Of the time between the first and the last window, and before and behind them: what
 * no window covers. */
static uint64_t missing_ns(struct history_reader *reader)
{
	uint64_t at = reader->query.since_ns, missing = 0;
	uint64_t until = reader->query.until_ns, now = clock_real_ns();

	if (until > now)
		until = now; /* what is to come is not missing */
	if (reader->spans.count)
		qsort(reader->spans.items, reader->spans.count, sizeof(*reader->spans.items),
		      compare_spans);
	for (size_t i = 0; i < reader->spans.count; i++) {
		const struct history_span *span = &reader->spans.items[i];

		if (span->start_ns > at + SEAM_NS)
			missing += span->start_ns - at;
		if (span->end_ns > at)
			at = span->end_ns;
	}
	if (until > at + SEAM_NS)
		missing += until - at;
	return missing;
}

struct profile *history_reader_finish(struct history_reader *reader)
{
	struct profile *profile = reader->profile;
	uint64_t missing = missing_ns(reader);

	if (reader->spans.count && missing &&
	    profile_add_count(profile, "history_missing",
			      "milliseconds of the time asked for that the history does not have",
			      missing / NSEC_PER_MSEC, 0))
		return NULL;
	/* Steps, marks and series count from the time asked for. */
	profile->start_ns = reader->query.since_ns;
	profile->duration_ns =
		reader->last_ns > profile->start_ns ? reader->last_ns - profile->start_ns : 0;
	profile->frequency_hz = reader->frequency_hz;
	return TAKE_PTR(reader->profile);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_growth.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "flamegraph/text.h"

#define INTERVAL 1.96 /* standard errors to either side, for 95 % */
#define POINTS_MIN 6u

/* The site's levels after its start, as numbers. */
struct track {
	size_t count;
	double at[HEAP_SNAPSHOTS_MAX + 1]; /* s */
	double bytes[HEAP_SNAPSHOTS_MAX + 1];
	double moved_var[HEAP_SNAPSHOTS_MAX + 1];
};

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* The time that the site was watched for. */
static uint64_t make_track(const struct heap_data *data, const struct heap_site *site,
			   struct track *track)
{
	size_t first = site->first_level, end = first + site->levels.count;
	uint64_t begin, until, start;

	track->count = 0;
	if (!site->levels.count || end > data->snapshots.count || end > HEAP_SNAPSHOTS_MAX + 1)
		return 0;
	begin = first ? data->snapshots.items[first - 1] : 0;
	until = data->snapshots.items[end - 1];
	start = begin + (until - begin) / 4;
	for (size_t i = first; i < end; i++) {
		struct heap_level level = heap_site_level(site, i);

		if (data->snapshots.items[i] < start)
			continue;
		track->at[track->count] = seconds(data->snapshots.items[i]);
		track->bytes[track->count] = (double)level.live.bytes;
		track->moved_var[track->count] = level.moved_var;
		track->count++;
	}
	return until - begin;
}

static void fit(const struct track *track, struct heap_growth *growth)
{
	double mean = 0, spread = 0, rest = 0, variance = 0;

	for (size_t i = 0; i < track->count; i++)
		mean += track->at[i] / (double)track->count;
	for (size_t i = 0; i < track->count; i++)
		spread += (track->at[i] - mean) * (track->at[i] - mean);
	if (spread <= 0)
		return;
	/* From the end: `rest` is the coefficient of the increment that leads to point i. */
	for (size_t i = track->count; i-- > 0;) {
		double coefficient = (track->at[i] - mean) / spread;

		growth->slope += coefficient * track->bytes[i];
		rest += coefficient;
		if (i)
			variance += rest * rest * track->moved_var[i];
	}
	growth->error = sqrt(variance);
}

/* The point nearest to a share of the time. */
static size_t point_at(const struct track *track, double share)
{
	double first = track->at[0], last = track->at[track->count - 1];
	double at = first + share * (last - first);
	size_t best = 0;

	for (size_t i = 1; i < track->count; i++)
		if (fabs(track->at[i] - at) < fabs(track->at[best] - at))
			best = i;
	return best;
}

static void look_at_parts(const struct track *track, struct heap_growth *growth)
{
	for (unsigned int part = 0; part < HEAP_PARTS; part++) {
		size_t from = point_at(track, (double)part / HEAP_PARTS);
		size_t until = point_at(track, (double)(part + 1) / HEAP_PARTS);
		double time = track->at[until] - track->at[from], variance = 0;

		for (size_t i = from + 1; i <= until; i++)
			variance += track->moved_var[i];
		if (time <= 0)
			continue;
		growth->parts[part] = (track->bytes[until] - track->bytes[from]) / time;
		growth->part_errors[part] = sqrt(variance) / time;
	}
}

static bool part_grows(const struct heap_growth *growth, unsigned int part)
{
	return growth->parts[part] > 0 &&
	       growth->parts[part] > HEAP_PART_SIGMAS * growth->part_errors[part];
}

static enum heap_doubt doubt_of(const struct heap_growth *growth, uint64_t watched)
{
	double mean = 0;

	for (unsigned int part = 0; part < HEAP_PARTS; part++)
		mean += growth->parts[part] / HEAP_PARTS;
	if (watched < HEAP_LEAK_NS)
		return HEAP_DOUBT_SHORT;
	for (unsigned int part = 0; part < HEAP_PARTS; part++)
		if (!part_grows(growth, part))
			return HEAP_DOUBT_UNEVEN;
	if (growth->parts[HEAP_PARTS - 1] < HEAP_LEAK_LAST * mean)
		return HEAP_DOUBT_SLOWS;
	if (growth->old < HEAP_LEAK_OLD)
		return HEAP_DOUBT_FEW;
	return (double)growth->old_freed > HEAP_LEAK_FREED * (double)growth->old ? HEAP_DOUBT_FREED
										 : HEAP_DOUBT_NONE;
}

static void judge(struct heap_growth *growth, uint64_t watched, double last)
{
	/* Less than a byte on the way is rounding. */
	double bound = fmax(HEAP_LEAK_SIGMAS * growth->error,
			    1 / seconds(growth->until_ns - growth->from_ns + 1));
	bool grows = growth->slope > bound;

	if (growth->slope < -bound)
		growth->verdict = HEAP_SHRINKS;
	else if (!part_grows(growth, HEAP_PARTS - 1))
		growth->verdict = grows && last > 0 ? HEAP_SETTLED : HEAP_STEADY;
	else if (!grows)
		growth->verdict = HEAP_STEADY;
	else
		growth->verdict = HEAP_GROWS;
	if (growth->verdict != HEAP_GROWS)
		return;
	growth->doubt = doubt_of(growth, watched);
	if (growth->doubt == HEAP_DOUBT_NONE)
		growth->verdict = HEAP_LEAKS;
}

void heap_growth_of(const struct heap_data *data, const struct heap_site *site,
		    struct heap_growth *ret)
{
	struct heap_growth growth = {.old = site->old, .old_freed = site->old_freed};
	struct track track;
	uint64_t watched;

	*ret = growth;
	if (!data->frees)
		return;
	watched = make_track(data, site, &track);
	if (track.count < POINTS_MIN)
		return;
	growth.from_ns = (uint64_t)(track.at[0] * 1e9);
	growth.until_ns = (uint64_t)(track.at[track.count - 1] * 1e9);
	fit(&track, &growth);
	look_at_parts(&track, &growth);
	judge(&growth, watched, track.bytes[track.count - 1]);
	*ret = growth;
}

const char *heap_verdict_name(enum heap_verdict verdict)
{
	static const char *const names[] = {
		[HEAP_UNKNOWN] = "unknown", [HEAP_STEADY] = "steady", [HEAP_SHRINKS] = "shrinks",
		[HEAP_SETTLED] = "settled", [HEAP_GROWS] = "grows",   [HEAP_LEAKS] = "leaks",
	};

	return names[verdict];
}

/* Both in the unit of the larger. */
static void put_rate(struct strbuf *out, double rate, double error)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double largest = fmax(fabs(rate), error), scale = 1;
	unsigned int unit = 0;
	int digits;

	for (; unit + 1 < sizeof(units) / sizeof(*units) && largest / scale >= 1024; unit++)
		scale *= 1024;
	digits = largest / scale >= 100 ? 0 : largest / scale >= 10 ? 1 : 2;
	strbuf_printf(out, "%.*f ± %.*f %s/s", digits, rate / scale, digits, error / scale,
		      units[unit]);
}

void heap_growth_put_slope(struct strbuf *out, const struct heap_growth *growth)
{
	if (growth->verdict == HEAP_UNKNOWN)
		strbuf_puts(out, "-");
	else
		put_rate(out, growth->slope, INTERVAL * growth->error);
}

static void put_old(struct strbuf *out, const struct heap_growth *growth)
{
	if (!growth->old) {
		strbuf_printf(out, "no sampled object became older than %llu s",
			      HEAP_OLD_NS / 1000000000ULL);
		return;
	}
	if (growth->old_freed)
		strbuf_printf(out, "%" PRIu64, growth->old_freed);
	else
		strbuf_puts(out, "none");
	strbuf_printf(out, " of the %" PRIu64 " sampled object%s older than %llu s %s freed",
		      growth->old, growth->old == 1 ? "" : "s", HEAP_OLD_NS / 1000000000ULL,
		      growth->old_freed > 1 ? "were" : "was");
}

void heap_growth_put(struct strbuf *out, const struct heap_growth *growth)
{
	static const char *const doubts[] = {
		[HEAP_DOUBT_NONE] = "",
		[HEAP_DOUBT_SHORT] = "; too early to call it a leak",
		[HEAP_DOUBT_UNEVEN] = "; not all the time",
		[HEAP_DOUBT_SLOWS] = "; it slows down",
		[HEAP_DOUBT_FEW] = "; too few are old to call it a leak",
		[HEAP_DOUBT_FREED] = "; no leak, for old ones are freed",
	};
	static const char *const verbs[] = {
		[HEAP_UNKNOWN] = "",          [HEAP_STEADY] = "is steady: ",
		[HEAP_SHRINKS] = "shrinks: ", [HEAP_SETTLED] = "grew, and does no more: ",
		[HEAP_GROWS] = "grows ",      [HEAP_LEAKS] = "grows ",
	};

	if (growth->verdict == HEAP_UNKNOWN) {
		strbuf_puts(out, "not watched for long enough");
		return;
	}
	strbuf_puts(out, verbs[growth->verdict]);
	put_rate(out, growth->slope, INTERVAL * growth->error);
	strbuf_printf(out, " for %.0f s, ", seconds(growth->until_ns - growth->from_ns));
	put_old(out, growth);
	strbuf_puts(out, doubts[growth->doubt]);
}

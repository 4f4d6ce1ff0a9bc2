/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/alloc_pattern.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MIN 3u
#define BURST_SECONDS_MIN 8u
#define SHORT 0.01 /* of a second: says nothing of it */
#define HELD 3u /* seconds, until what would be less is believed */
#define BURST 10 /* times the median */
#define RARE 20 /* samples a second at the usual interval */
#define HEAVY 500
#define MANY 1000 /* allocations */
#define LARGE_SHARE 0.5 /* of the bytes */
#define SMALL_SHARE 0.5 /* of the allocations */
#define BAND_MOST 100 /* pieces of the largest second */
#define BAND_UNKNOWN 3u /* 1 MiB */
#define GRANT 2 /* of what is to be the most: an interval may be off by that */
#define SHIFT_MAX 6
#define OFF 1 /* powers of two that an interval may be off */

static const struct {
	const char *name, *text;
	double wanted; /* samples a second below the band; 0: as the usual interval gives */
	double most; /* of the largest second */
	int32_t lowest; /* shift */
} rules[ALLOC_PATTERN_COUNT] = {
	[ALLOC_UNKNOWN] = {"unknown", "it is not known yet", 0, HEAVY, 0},
	[ALLOC_RARE] = {"rare", "it allocates little: more of it is taken", RARE, HEAVY,
			-SHIFT_MAX},
	[ALLOC_FEW_LARGE] = {"few large", "large pieces are all taken, of the others more", 50,
			     HEAVY, -4},
	[ALLOC_MANY_SMALL] = {"many small", "small pieces are seldom hit: more are taken", 200,
			      HEAVY, -4},
	[ALLOC_BURSTS] = {"bursts",
			  "large pieces are all taken; as many samples as its largest second bears",
			  50, 2000, -4},
	[ALLOC_HEAVY] = {"heavy", "so much is allocated that fewer samples will do", 0, HEAVY, 0},
	[ALLOC_STEADY] = {"steady", "as usual, or what a hundred samples a second take", 100, HEAVY,
			  -2},
};

const char *alloc_pattern_name(enum alloc_pattern pattern)
{
	return pattern < ALLOC_PATTERN_COUNT ? rules[pattern].name : "";
}

const char *alloc_pattern_text(enum alloc_pattern pattern)
{
	return pattern < ALLOC_PATTERN_COUNT ? rules[pattern].text : "";
}

static uint64_t band_bytes(uint32_t band)
{
	return band < ALLOC_BANDS ? (uint64_t)ALLOC_BAND_FIRST << band : 0;
}

static uint64_t interval_of(uint64_t usual, int32_t shift)
{
	uint64_t interval = shift < 0 ? usual >> -shift : usual << shift;

	if (interval < ALLOC_INTERVAL_MIN)
		return usual < ALLOC_INTERVAL_MIN ? usual : ALLOC_INTERVAL_MIN;
	return interval < ALLOC_INTERVAL_MAX || interval <= usual ? interval : ALLOC_INTERVAL_MAX;
}

static void set_rule(struct alloc_behaviour *behaviour, int32_t shift, uint32_t band)
{
	behaviour->shift = shift;
	behaviour->rule = (struct alloc_rule){
		.interval = interval_of(behaviour->usual, shift),
		.band = band_bytes(band),
		.grant = (uint32_t)(GRANT * rules[behaviour->pattern].most / ALLOC_GRANTS),
	};
}

void alloc_behaviour_init(struct alloc_behaviour *behaviour, uint64_t usual)
{
	*behaviour = (struct alloc_behaviour){.usual = usual};
	set_rule(behaviour, 0, BAND_UNKNOWN);
}

/* ALLOC_BANDS: below them all, as the first of them says. */
static uint32_t band_of(double size)
{
	uint32_t band = 0;

	if (size < ALLOC_BAND_FIRST)
		return ALLOC_BANDS;
	while (band + 1 < ALLOC_BANDS && size >= (double)band_bytes(band + 1))
		band++;
	return band;
}

void alloc_behaviour_add(struct alloc_behaviour *behaviour, double size, double bytes)
{
	struct alloc_second *open = &behaviour->open;
	uint32_t band = band_of(size);

	open->samples++;
	open->bytes += bytes;
	open->count += bytes / size;
	if (size <= ALLOC_SMALL)
		open->small += bytes / size;
	if (band < ALLOC_BANDS) {
		open->large[band] += bytes / size;
		open->large_bytes[band] += bytes;
	}
}

/* ---- what is known ---- */

static uint32_t known(const struct alloc_behaviour *behaviour)
{
	return behaviour->count < ALLOC_SECONDS ? (uint32_t)behaviour->count : ALLOC_SECONDS;
}

static void add_scaled(struct alloc_second *sum, const struct alloc_second *second, double scale)
{
	sum->bytes += second->bytes * scale;
	sum->count += second->count * scale;
	sum->small += second->small * scale;
	for (uint32_t band = 0; band < ALLOC_BANDS; band++) {
		sum->large[band] += second->large[band] * scale;
		sum->large_bytes[band] += second->large_bytes[band] * scale;
	}
	sum->samples += second->samples;
}

struct alloc_second alloc_behaviour_mean(const struct alloc_behaviour *behaviour)
{
	struct alloc_second mean = {0};
	uint32_t n = known(behaviour);

	for (uint32_t i = 0; i < n; i++)
		add_scaled(&mean, &behaviour->seconds[i], 1.0 / n);
	return mean;
}

static double from_band(const double *values, uint32_t band)
{
	double sum = 0;

	for (; band < ALLOC_BANDS; band++)
		sum += values[band];
	return sum;
}

/* The lowest band of which no second had too many pieces. */
static uint32_t settle_band(const struct alloc_behaviour *behaviour)
{
	uint32_t n = known(behaviour), band = 0;

	for (uint32_t i = 0; i < n; i++)
		while (band < ALLOC_BANDS &&
		       from_band(behaviour->seconds[i].large, band) > BAND_MOST)
			band++;
	return band;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static bool has_bursts(const struct alloc_behaviour *behaviour)
{
	uint32_t n = known(behaviour);
	double sorted[ALLOC_SECONDS];

	if (n < BURST_SECONDS_MIN)
		return false;
	for (uint32_t i = 0; i < n; i++)
		sorted[i] = behaviour->seconds[i].bytes;
	qsort(sorted, n, sizeof(*sorted), compare);
	return sorted[n - 1] > BURST * sorted[n / 2] &&
	       sorted[n - 1] >= RARE * (double)behaviour->usual;
}

static enum alloc_pattern judge(const struct alloc_behaviour *behaviour)
{
	struct alloc_second mean = alloc_behaviour_mean(behaviour);

	if (known(behaviour) < SECONDS_MIN)
		return ALLOC_UNKNOWN;
	if (has_bursts(behaviour))
		return ALLOC_BURSTS;
	if (mean.bytes > 0 && from_band(mean.large_bytes, 0) >= LARGE_SHARE * mean.bytes)
		return ALLOC_FEW_LARGE;
	if (mean.bytes > HEAVY * (double)behaviour->usual)
		return ALLOC_HEAVY;
	if (mean.count >= MANY && mean.small >= SMALL_SHARE * mean.count)
		return ALLOC_MANY_SMALL;
	return mean.bytes < RARE * (double)behaviour->usual ? ALLOC_RARE : ALLOC_STEADY;
}

/* ---- the rule ---- */

/* What the interval ought to be, in powers of two of the usual one. */
static double wanted_shift(const struct alloc_behaviour *behaviour, uint32_t band)
{
	uint32_t n = known(behaviour);
	double mean = 0, largest = 0, usual = (double)behaviour->usual;
	double lowest = rules[behaviour->pattern].lowest;
	double wanted = rules[behaviour->pattern].wanted, shift = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct alloc_second *second = &behaviour->seconds[i];
		double rest = second->bytes - from_band(second->large_bytes, band);

		mean += rest / n;
		largest = rest > largest ? rest : largest;
	}
	if (wanted > 0)
		shift = mean > 0 ? log2(mean / wanted / usual) : lowest;
	/* Fewer than usual only where there are too many. */
	shift = fmax(fmin(shift, 0), lowest);
	if (largest > 0)
		shift = fmax(shift, log2(largest / rules[behaviour->pattern].most / usual));
	return fmin(shift, SHIFT_MAX);
}

static int32_t settle_shift(struct alloc_behaviour *behaviour, uint32_t band, bool anew)
{
	double wanted = wanted_shift(behaviour, band);
	double off = wanted - behaviour->shift;

	if (anew || off >= OFF) {
		behaviour->longer_held = 0;
		return (int32_t)lround(wanted);
	}
	if (off > -OFF) {
		behaviour->longer_held = 0;
		return behaviour->shift;
	}
	if (++behaviour->longer_held < HELD)
		return behaviour->shift;
	behaviour->longer_held = 0;
	return (int32_t)lround(wanted);
}

/* Whether it has another pattern. */
static bool settle_pattern(struct alloc_behaviour *behaviour)
{
	enum alloc_pattern judged = judge(behaviour);

	behaviour->next_held = judged == behaviour->next ? behaviour->next_held + 1 : 1;
	behaviour->next = judged;
	if (judged == behaviour->pattern)
		return false;
	/* The first one, and one that asks for fewer samples, hold at once. */
	if (behaviour->pattern != ALLOC_UNKNOWN && judged != ALLOC_HEAVY &&
	    behaviour->next_held < HELD)
		return false;
	behaviour->pattern = judged;
	return true;
}

bool alloc_behaviour_second(struct alloc_behaviour *behaviour, double seconds)
{
	const struct alloc_rule was = behaviour->rule;
	struct alloc_second *place;
	uint32_t band;
	bool another;

	if (seconds < SHORT)
		return false;
	place = &behaviour->seconds[behaviour->count++ % ALLOC_SECONDS];
	*place = (struct alloc_second){0};
	add_scaled(place, &behaviour->open, 1 / seconds);
	behaviour->open = (struct alloc_second){0};
	another = settle_pattern(behaviour);
	band = behaviour->pattern == ALLOC_UNKNOWN ? BAND_UNKNOWN : settle_band(behaviour);
	set_rule(behaviour, settle_shift(behaviour, band, another), band);
	return another || was.interval != behaviour->rule.interval ||
	       was.band != behaviour->rule.band;
}

void alloc_behaviour_set_usual(struct alloc_behaviour *behaviour, uint64_t usual)
{
	behaviour->usual = usual;
	behaviour->rule.interval = interval_of(usual, behaviour->shift);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/diff.h"

#include <math.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"

#define EXACT_MAX 2000 /* samples; above, the normal distribution stands in */
#define LIKELY_BELOW 0.05
#define SURE_BELOW 0.001

static double log_choose(double n, double k)
{
	return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

/* P(X <= k) for k below n. */
static double lower_tail(double n, double k, double p)
{
	double sum = 0;

	for (unsigned i = 0; i <= (unsigned)k; i++)
		sum += exp(log_choose(n, i) + i * log(p) + (n - i) * log1p(-p));
	return sum < 1 ? sum : 1;
}

double diff_binomial(double k_before, double k_after, double p)
{
	double n = round(k_before + k_after), k = round(k_after), tail, z;

	if (n < 1 || !(p > 0) || !(p < 1))
		return 1;
	if (n > EXACT_MAX) {
		z = (fabs(k - n * p) - 0.5) / sqrt(n * p * (1 - p));
		return z > 0 ? erfc(z / sqrt(2)) : 1;
	}
	/* The other tail is the larger one. */
	tail = 2 * (k < n * p ? lower_tail(n, k, p) : lower_tail(n, n - k, 1 - p));
	return tail < 1 ? tail : 1;
}

/* --- Joining --- */

struct joiner {
	struct profile *into;
	const struct profile *from;
	uint32_t value, count; /* value types of `from`; count PROFILE_NONE: records */
	bool modules;
	uint32_t *frames; /* of `from` -> of `into` + 1 */
	VEC(uint32_t) stack;
};

static uint32_t copy_string(struct joiner *joiner, uint32_t string)
{
	return profile_string_n(joiner->into, profile_text(joiner->from, string),
				strtab_length(&joiner->from->strings, string));
}

static uint32_t join_frame(struct joiner *joiner, uint32_t id)
{
	const struct profile_frame *frame = &joiner->from->frames.items[id];
	struct profile_frame joined = {.kind = frame->kind};
	const char *module = profile_text(joiner->from, frame->module);
	const char *slash = strrchr(module, '/');
	uint32_t have;

	if (joiner->frames[id])
		return joiner->frames[id] - 1;
	joined.name = copy_string(joiner, frame->name);
	if (joiner->modules)
		joined.module = profile_string(joiner->into, slash ? slash + 1 : module);
	have = profile_frame(joiner->into, &joined);
	if (have != PROFILE_NONE)
		joiner->frames[id] = have + 1;
	return have;
}

static int join_sample(struct joiner *joiner, size_t i, bool after)
{
	const struct profile_sample *sample = &joiner->from->samples.items[i];
	const uint64_t *have = joiner->from->values.items + i * joiner->from->value_type_count;
	struct profile_sample joined = {.process = PROFILE_NONE};
	uint64_t values[DIFF_SUM + 1] = {0};
	size_t count;
	const uint32_t *frames = profile_stack_frames(joiner->from, sample->stack, &count);

	if (!have[joiner->value])
		return 0;
	vec_clear(&joiner->stack);
	for (size_t f = 0; f < count; f++) {
		uint32_t frame = join_frame(joiner, frames[f]);

		if (frame == PROFILE_NONE || vec_push(&joiner->stack, frame))
			return -ENOMEM;
	}
	joined.comm = copy_string(joiner, sample->comm);
	joined.stack = profile_stack(joiner->into, joiner->stack.items, count);
	if (joined.comm == PROFILE_NONE || joined.stack == PROFILE_NONE)
		return -ENOMEM;
	values[after ? DIFF_AFTER : DIFF_BEFORE] = values[DIFF_SUM] = have[joiner->value];
	values[after ? DIFF_AFTER_N : DIFF_BEFORE_N] =
		joiner->count == PROFILE_NONE ? 1 : have[joiner->count];
	return profile_add_sample(joiner->into, &joined, values);
}

/* What counts samples: the type of that name, or a count that is not something else's. */
static uint32_t count_type(const struct profile *profile, uint32_t value)
{
	uint32_t samples = profile_find_value_type(profile, "samples", "count");
	const char *unit = profile_text(profile, profile->value_types[value].unit);

	if (samples != PROFILE_NONE)
		return samples;
	return strcmp(unit, "count") ? PROFILE_NONE : value;
}

static int join(struct profile *into, const struct diff_side *side, uint32_t value, bool modules,
		bool after)
{
	struct joiner joiner = {
		.into = into,
		.from = side->profile,
		.value = value,
		.count = count_type(side->profile, value),
		.modules = modules,
		.frames = calloc(side->profile->frames.count + 1, sizeof(*joiner.frames)),
	};
	int r = joiner.frames ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < side->profile->samples.count; i++)
		r = join_sample(&joiner, i, after);
	free(joiner.frames);
	vec_free(&joiner.stack);
	return r;
}

static bool has_modules(const struct profile *profile)
{
	for (size_t i = 0; i < profile->frames.count; i++) {
		if (profile->frames.items[i].module)
			return true;
	}
	return false;
}

static int find_value(const struct diff_side *side, const char *which, uint32_t *ret,
		      struct error *error)
{
	const struct profile *profile = side->profile;

	*ret = side->value ? profile_find_value_type(profile, side->value, NULL)
			   : profile->default_value;
	if (*ret >= profile->value_type_count)
		return error_set(error, -EINVAL, "no value \"%s\" in the %s",
				 side->value ? side->value : "", which);
	if (!profile_total(profile, *ret))
		return error_set(error, -ENODATA, "nothing in the %s: its samples weigh nothing",
				 which);
	return 0;
}

static int make_joined(struct diff *diff, const struct diff_side *before,
		       const struct diff_side *after, struct error *error)
{
	static const char *const names[] = {"before", "after", "before_n", "after_n", "sum"};
	uint32_t before_value, after_value;
	const char *before_unit, *after_unit;
	bool modules = has_modules(before->profile) && has_modules(after->profile);
	int r = find_value(before, "before", &before_value, error);

	if (!r)
		r = find_value(after, "after", &after_value, error);
	if (r)
		return r;
	before_unit =
		profile_text(before->profile, before->profile->value_types[before_value].unit);
	after_unit = profile_text(after->profile, after->profile->value_types[after_value].unit);
	if (strcmp(before_unit, after_unit) != 0)
		return error_set(error, -EINVAL,
				 "the before is in %s, the after in %s: choose a value that both "
				 "have with --value",
				 before_unit, after_unit);
	diff->joined = profile_create();
	diff->unit = after_unit;
	for (unsigned i = 0; diff->joined && i <= DIFF_SUM; i++)
		profile_add_value_type(diff->joined, names[i], i < DIFF_BEFORE_N ? after_unit : "");
	if (!diff->joined || diff->joined->value_type_count != DIFF_SUM + 1)
		return error_set(error, -ENOMEM, "no memory for the difference");
	r = join(diff->joined, before, before_value, modules, false);
	if (!r)
		r = join(diff->joined, after, after_value, modules, true);
	return r ? error_set(error, r, "no memory for the difference") : 0;
}

static int set_scale(struct diff *diff, const struct profile *before, const struct profile *after,
		     enum diff_scale scale, struct error *error)
{
	bool timed = before->duration_ns && after->duration_ns;

	if (scale == DIFF_SECOND && !timed)
		return error_set(error, -EINVAL,
				 "nothing is known of how long one of them took: compare shares");
	if (scale == DIFF_AUTO)
		scale = timed ? DIFF_SECOND : DIFF_SHARE;
	diff->scale = scale;
	diff->factor = 1;
	if (scale == DIFF_SECOND)
		diff->factor = (double)after->duration_ns / (double)before->duration_ns;
	else if (scale == DIFF_SHARE)
		diff->factor = (double)diff->all.after / (double)diff->all.before;
	return 0;
}

/* --- The rows --- */

static void add_amount(struct diff_amount *amount, const uint64_t *values)
{
	amount->before = profile_sum(amount->before, values[DIFF_BEFORE]);
	amount->after = profile_sum(amount->after, values[DIFF_AFTER]);
	amount->before_n = profile_sum(amount->before_n, values[DIFF_BEFORE_N]);
	amount->after_n = profile_sum(amount->after_n, values[DIFF_AFTER_N]);
}

static int sum_rows(struct diff *diff)
{
	const struct profile *joined = diff->joined;
	size_t labels = diff->labels.items.count;
	_cleanup_free_ size_t *seen = calloc(labels + 1, sizeof(*seen));

	if (!seen || vec_reserve(&diff->rows, labels))
		return -ENOMEM;
	for (uint32_t i = 0; i < labels; i++)
		diff->rows.items[i] = (struct diff_row){.label = i};
	diff->rows.count = labels;
	for (size_t i = 0; i < joined->samples.count; i++) {
		const uint64_t *values = joined->values.items + i * joined->value_type_count;
		size_t count;
		const uint32_t *frames =
			profile_stack_frames(joined, joined->samples.items[i].stack, &count);

		add_amount(&diff->all, values);
		for (size_t f = 0; f < count; f++) {
			uint32_t label = diff->labels.of_frame[frames[f]];

			if (seen[label] != i + 1)
				add_amount(&diff->rows.items[label].total, values);
			seen[label] = i + 1;
			if (f + 1 == count)
				add_amount(&diff->rows.items[label].self, values);
		}
	}
	return 0;
}

/* Under "nothing has changed", the chance that a sample of a function is of the after:
 * by how many samples each side would have of the same amount. */
static double after_chance(const struct diff *diff)
{
	double before = (double)diff->all.before_n / ((double)diff->all.before * diff->factor);
	double after = (double)diff->all.after_n / (double)diff->all.after;

	return after / (before + after);
}

static void judge(const struct diff *diff, struct diff_amount *amount, double chance)
{
	amount->delta = (double)amount->after - (double)amount->before * diff->factor;
	amount->p = diff_binomial((double)amount->before_n, (double)amount->after_n, chance);
}

static int compare_p(const void *left, const void *right)
{
	const struct diff_amount *a = *(struct diff_amount *const *)left;
	const struct diff_amount *b = *(struct diff_amount *const *)right;

	return (a->p > b->p) - (a->p < b->p);
}

/* Step-up: the adjusted p of rank i of n is the least of p_j * n / j for j from i on. */
static int adjust(struct diff *diff)
{
	size_t n = diff->rows.count * 2, rank;
	_cleanup_free_ struct diff_amount **amounts = malloc((n + 1) * sizeof(*amounts));
	double least = 1;

	if (!amounts)
		return -ENOMEM;
	for (size_t i = 0; i < diff->rows.count; i++) {
		amounts[2 * i] = &diff->rows.items[i].self;
		amounts[2 * i + 1] = &diff->rows.items[i].total;
	}
	qsort(amounts, n, sizeof(*amounts), compare_p);
	for (rank = n; rank > 0; rank--) {
		struct diff_amount *amount = amounts[rank - 1];
		double adjusted = amount->p * (double)n / (double)rank;

		if (adjusted < least)
			least = adjusted;
		amount->p = least;
		amount->verdict = least < SURE_BELOW     ? DIFF_SURE
				  : least < LIKELY_BELOW ? DIFF_LIKELY
							 : DIFF_NOISE;
	}
	return 0;
}

struct row_order {
	const uint32_t *rank;
};

/* The largest change of self first, then of total, then by name. */
static int compare_rows(const void *left, const void *right, void *context)
{
	const struct diff_row *a = left, *b = right;
	const struct row_order *order = context;
	double a_self = fabs(a->self.delta), b_self = fabs(b->self.delta);
	double a_total = fabs(a->total.delta), b_total = fabs(b->total.delta);

	if (a_self != b_self)
		return a_self > b_self ? -1 : 1;
	if (a_total != b_total)
		return a_total > b_total ? -1 : 1;
	return order->rank[a->label] < order->rank[b->label] ? -1 : 1;
}

/* Less than a unit is rounding, not a difference. */
static bool differs(const struct diff_amount *amount)
{
	return fabs(amount->delta) >= 1;
}

static int make_rows(struct diff *diff)
{
	_cleanup_free_ uint32_t *rank = labels_rank(&diff->labels);
	struct row_order order = {.rank = rank};
	double chance = after_chance(diff);
	size_t kept = 0;
	int r;

	if (!rank)
		return -ENOMEM;
	for (size_t i = 0; i < diff->rows.count; i++) {
		struct diff_row *row = &diff->rows.items[i];

		if (!row->total.before && !row->total.after)
			continue;
		judge(diff, &row->self, chance);
		judge(diff, &row->total, chance);
		diff->rows.items[kept++] = *row;
	}
	diff->rows.count = diff->functions = kept;
	r = adjust(diff);
	kept = 0;
	for (size_t i = 0; i < diff->rows.count; i++) {
		if (differs(&diff->rows.items[i].self) || differs(&diff->rows.items[i].total))
			diff->rows.items[kept++] = diff->rows.items[i];
	}
	diff->rows.count = kept;
	if (kept)
		qsort_r(diff->rows.items, kept, sizeof(*diff->rows.items), compare_rows, &order);
	return r;
}

int diff_init(struct diff *diff, const struct diff_side *before, const struct diff_side *after,
	      enum diff_scale scale, struct error *error)
{
	int r;

	*diff = (struct diff){0};
	r = make_joined(diff, before, after, error);
	if (!r && labels_init(&diff->labels, diff->joined, LABELS_FUNCTION))
		r = error_set(error, -ENOMEM, "no memory for the difference");
	if (!r && sum_rows(diff))
		r = error_set(error, -ENOMEM, "no memory for the difference");
	if (!r)
		r = set_scale(diff, before->profile, after->profile, scale, error);
	if (!r && make_rows(diff))
		r = error_set(error, -ENOMEM, "no memory for the difference");
	if (r) {
		diff_deinit(diff);
		return r;
	}
	diff->all.delta = (double)diff->all.after - (double)diff->all.before * diff->factor;
	snprintf(diff->before_title, sizeof(diff->before_title), "%s",
		 profile_text(before->profile, before->profile->title));
	snprintf(diff->after_title, sizeof(diff->after_title), "%s",
		 profile_text(after->profile, after->profile->title));
	return 0;
}

void diff_deinit(struct diff *diff)
{
	labels_deinit(&diff->labels);
	vec_free(&diff->rows);
	profile_destroy(diff->joined);
	diff->joined = NULL;
}

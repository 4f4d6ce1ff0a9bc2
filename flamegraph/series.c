/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/series.h"

#include <errno.h>

#include "flamegraph/profile_internal.h"

static const struct series_point unknown = {SERIES_UNKNOWN, SERIES_UNKNOWN, SERIES_UNKNOWN};

void series_deinit(struct series *series)
{
	vec_free(&series->points);
}

void series_list_deinit(struct series_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		series_deinit(&list->items[i]);
	vec_free(list);
}

int series_list_find(struct series_list *list, const struct series *like, struct series **ret)
{
	struct series series = *like;

	for (size_t i = 0; i < list->count; i++) {
		if (!series_same(&list->items[i], like))
			continue;
		*ret = &list->items[i];
		return 0;
	}
	series.points.items = NULL;
	series.points.count = series.points.capacity = 0;
	if (vec_push(list, series))
		return -ENOMEM;
	*ret = &list->items[list->count - 1];
	return 0;
}

bool series_same(const struct series *a, const struct series *b)
{
	return a->name == b->name && a->unit == b->unit && a->group == b->group &&
	       a->process == b->process && a->kind == b->kind;
}

/* By value, then by the band: which of two points counts must not depend on the order
 * they come in. */
static bool is_larger(const struct series_point *a, const struct series_point *b)
{
	if (a->value != b->value)
		return a->value > b->value;
	return a->high != b->high ? a->high > b->high : a->low > b->low;
}

static void join_point(uint32_t kind, struct series_point *into, const struct series_point *point)
{
	if (point->value == SERIES_UNKNOWN)
		return;
	if (into->value != SERIES_UNKNOWN && kind == SERIES_AMOUNT) {
		into->value = profile_sum(into->value, point->value);
		into->low = profile_sum(into->low, point->low);
		into->high = profile_sum(into->high, point->high);
		/* The largest number there is means something else. */
		if (into->value == SERIES_UNKNOWN)
			into->value--;
	} else if (into->value == SERIES_UNKNOWN || is_larger(point, into)) {
		*into = *point;
	}
}

static void halve(struct series *series)
{
	size_t count = series->points.count;

	for (size_t i = 0; i < (count + 1) / 2; i++) {
		struct series_point joined = series->points.items[2 * i];

		if (2 * i + 1 < count)
			join_point(series->kind, &joined, &series->points.items[2 * i + 1]);
		series->points.items[i] = joined;
	}
	series->points.count = (count + 1) / 2;
	series->step_ns = profile_sum(series->step_ns, series->step_ns);
}

/* The place of a time, made if it is new. */
static int make_place(struct series *series, uint64_t at_ns, size_t *ret)
{
	size_t place;

	while (at_ns / series->step_ns >= SERIES_STEPS_MAX)
		halve(series);
	place = at_ns / series->step_ns;
	if (vec_reserve(&series->points, place + 1))
		return -ENOMEM;
	while (series->points.count <= place)
		series->points.items[series->points.count++] = unknown;
	*ret = place;
	return 0;
}

int series_put(struct series *series, uint64_t at_ns, const struct series_point *point)
{
	size_t place;
	int r;

	if (!series->step_ns || point->value == SERIES_UNKNOWN)
		return -EINVAL;
	r = make_place(series, at_ns, &place);
	if (!r)
		join_point(series->kind, &series->points.items[place], point);
	return r;
}

/* All of `from` into `to`, whose step is set. */
static int add_all(struct series *to, const struct series *from, uint64_t shift_ns)
{
	int r = 0;

	for (size_t i = 0; !r && i < from->points.count; i++) {
		uint64_t at;

		if (from->points.items[i].value == SERIES_UNKNOWN)
			continue;
		if (__builtin_mul_overflow(i, from->step_ns, &at))
			at = UINT64_MAX;
		r = series_put(to, profile_sum(at, shift_ns), &from->points.items[i]);
	}
	return r;
}

/* `into`, moved by `own_ns`, and `from`, moved by `from_ns`, in the place of `into`. */
static int remake(struct series *into, uint64_t own_ns, const struct series *from, uint64_t from_ns)
{
	struct series joined = *into;
	int r;

	joined.points.items = NULL;
	joined.points.count = joined.points.capacity = 0;
	if (from && from->step_ns > joined.step_ns)
		joined.step_ns = from->step_ns;
	r = add_all(&joined, into, own_ns);
	if (!r && from)
		r = add_all(&joined, from, from_ns);
	if (r) {
		series_deinit(&joined);
		return r;
	}
	series_deinit(into);
	*into = joined;
	return 0;
}

int series_join(struct series *into, const struct series *from, uint64_t shift_ns)
{
	uint64_t end;

	if (__builtin_mul_overflow(from->step_ns, from->points.count, &end))
		end = UINT64_MAX;
	end = profile_sum(shift_ns, end);
	/* Piece by piece along the time, as a history is read: nothing is moved. */
	if (from->step_ns <= into->step_ns && end / into->step_ns < SERIES_STEPS_MAX &&
	    !vec_reserve(&into->points, (size_t)(end / into->step_ns) + 1))
		return add_all(into, from, shift_ns);
	return remake(into, 0, from, shift_ns);
}

int series_shift(struct series *series, uint64_t shift_ns)
{
	return shift_ns ? remake(series, shift_ns, NULL, 0) : 0;
}

bool series_has_band(const struct series *series)
{
	for (size_t i = 0; i < series->points.count; i++) {
		const struct series_point *point = &series->points.items[i];

		if (point->low != point->value || point->high != point->value)
			return true;
	}
	return false;
}

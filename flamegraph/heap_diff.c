/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is in use at one snapshot beside what is at another.
 */
#include "flamegraph/heap_report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/hashmap.h"

/* "10", "10s", "1.5m"; nothing behind it. */
static bool parse_seconds(const char *text, double *ret)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"h", 3600}};
	char *end;
	double value;

	if (*text < '0' || *text > '9')
		return false;
	value = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		*ret = value * units[i].seconds;
		return isfinite(*ret);
	}
	return false;
}

bool heap_diff_is_moment(const char *text)
{
	double ignored;

	return !strcmp(text, "start") || !strcmp(text, "end") || !strcmp(text, "peak") ||
	       parse_seconds(text + (*text == '-'), &ignored);
}

static size_t nearest(const struct heap_data *data, double at_ns)
{
	size_t best = 0;

	for (size_t i = 1; i < data->snapshots.count; i++)
		if (fabs((double)data->snapshots.items[i] - at_ns) <
		    fabs((double)data->snapshots.items[best] - at_ns))
			best = i;
	return best;
}

int heap_diff_moment(const struct heap_data *data, const char *text, struct error *error,
		     size_t *ret)
{
	size_t last = data->snapshots.count - 1;
	double seconds;

	if (!heap_diff_is_moment(text))
		return error_set(error, -EINVAL,
				 "--diff %s: expected moments of the session: 10s, 1.5m, -5s "
				 "(before the end), start, end or peak",
				 text);
	if (data->snapshots.count < 2 || (!strcmp(text, "peak") && !data->peak_ns))
		return error_set(error, -ENODATA,
				 "there are no two snapshots to compare: they are taken once a "
				 "second where frees are followed");
	if (!strcmp(text, "start"))
		*ret = 0;
	else if (!strcmp(text, "end"))
		*ret = last;
	else if (!strcmp(text, "peak"))
		*ret = HEAP_AT_PEAK;
	else if (*text == '-' && parse_seconds(text + 1, &seconds))
		*ret = nearest(data, (double)data->snapshots.items[last] - seconds * 1e9);
	else if (parse_seconds(text, &seconds))
		*ret = nearest(data, seconds * 1e9);
	if (*ret != HEAP_AT_PEAK && data->snapshots.items[*ret] < data->since_ns)
		return error_set(
			error, -ENODATA,
			"--diff %s: what was in use then is not known: nobody looked for a "
			"while, until %.1f s",
			text, (double)data->since_ns / 1e9);
	return 0;
}

/* What changed of one site, and how exactly that is known: by what moved on the way, or by
 * both ends, whichever is less. */
static void site_change(const struct heap_site *site, size_t before, size_t after,
			struct heap_change *change)
{
	size_t first = before < after ? before : after, last = before < after ? after : before;
	double moved = 0, ends;

	change->before = heap_view_level(site, before);
	change->after = heap_view_level(site, after);
	ends = change->before.live.bytes_var + change->after.live.bytes_var;
	/* A process that ended on the way took all it had: known as exactly as that. */
	if (last < site->first_level + site->levels.count)
		for (size_t i = first + 1; i <= last; i++)
			moved += heap_site_level(site, i).moved_var;
	else
		moved = ends;
	change->bytes = (double)change->after.live.bytes - (double)change->before.live.bytes;
	change->count = heap_sum_count(&change->after.live) - heap_sum_count(&change->before.live);
	change->error = moved < ends ? moved : ends; /* its square, until all are summed */
}

static void add_change(struct heap_change *into, const struct heap_change *change)
{
	heap_sum_add(&into->before.live, &change->before.live);
	heap_sum_add(&into->after.live, &change->after.live);
	into->bytes += change->bytes;
	into->count += change->count;
	into->error += change->error;
	into->sites++;
}

static int compare_changes(const void *left, const void *right)
{
	const struct heap_change *a = left, *b = right;
	double x = fabs(a->bytes), y = fabs(b->bytes);

	if (x != y)
		return x > y ? -1 : 1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

static int add_site(struct heap_diff *diff, struct hashmap *index, const struct heap_site *site)
{
	struct heap_change change = {.stack = site->stack}, row = {.stack = site->stack};
	uint64_t key, *known;

	change.frame = row.frame = heap_view_frame(diff->profile, site->stack);
	site_change(site, diff->before, diff->after, &change);
	add_change(&diff->all, &change);
	key = diff->by == HEAP_BY_SITE || change.frame == PROFILE_NONE
		      ? (uint64_t)site->process << 32 | site->stack
		      : (uint64_t)diff->profile->frames.items[change.frame].module << 32 |
				diff->profile->frames.items[change.frame].name;
	known = hashmap_get(index, key);
	if (!known) {
		if (vec_push(&diff->rows, row) || hashmap_put(index, key, diff->rows.count - 1))
			return -ENOMEM;
		add_change(&diff->rows.items[diff->rows.count - 1], &change);
		return 0;
	}
	if (fabs(change.bytes) > fabs(diff->rows.items[*known].bytes))
		diff->rows.items[*known].stack = site->stack;
	add_change(&diff->rows.items[*known], &change);
	return 0;
}

int heap_diff_init(struct heap_diff *diff, const struct profile *profile,
		   const struct heap_data *data, size_t before, size_t after, enum heap_by by,
		   uint32_t top)
{
	struct hashmap index = {0};
	size_t kept = 0;
	int r = 0;

	*diff = (struct heap_diff){.profile = profile,
				   .data = data,
				   .before = before,
				   .after = after,
				   .by = by,
				   .top = top};
	for (size_t i = 0; !r && i < data->sites.count; i++)
		r = add_site(diff, &index, &data->sites.items[i]);
	hashmap_deinit(&index);
	if (r) {
		heap_diff_deinit(diff);
		return r;
	}
	for (size_t i = 0; i < diff->rows.count; i++) {
		struct heap_change *row = &diff->rows.items[i];

		row->error = sqrt(row->error);
		if (row->bytes != 0 || row->count != 0)
			diff->rows.items[kept++] = *row;
	}
	diff->rows.count = kept;
	diff->all.error = sqrt(diff->all.error);
	if (kept)
		qsort(diff->rows.items, kept, sizeof(*diff->rows.items), compare_changes);
	return 0;
}

void heap_diff_deinit(struct heap_diff *diff)
{
	vec_free(&diff->rows);
}

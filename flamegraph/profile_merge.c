/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * profile_merge(): one profile added to another.
 *
 * Everything that can fail comes first or can be taken back: interning leaves
 * at most unused strings, frames and stacks behind; processes and samples are
 * changed in copies of their tables, which are dropped if it cannot be finished.
 */
#include "flamegraph/profile.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/time_axis.h"

/* Two tables, whatever they are called. */
#define SWAP(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) swapped_ = (a);                                                      \
		memcpy(&(a), &(b), sizeof(a));                                                     \
		memcpy(&(b), &swapped_, sizeof(b));                                                \
	} while (0)

struct merge {
	struct profile *into;
	const struct profile *from;
	struct time_axis axis; /* of the result */
	uint32_t *strings; /* id in from -> id in into; PROFILE_NONE: not needed yet */
	uint32_t *frames; /* likewise, all filled */
	uint32_t *stacks;
	uint32_t *processes;
	uint32_t value_map[PROFILE_VALUES_MAX]; /* index in from -> index in into */
	struct series_list series; /* of the result, until it is the profile's */
	struct heap_data heap; /* likewise */
};

static void merge_deinit(struct merge *merge)
{
	series_list_deinit(&merge->series);
	heap_data_deinit(&merge->heap);
	free(merge->strings);
	free(merge->frames);
	free(merge->stacks);
	free(merge->processes);
}

static uint32_t *new_map(size_t count)
{
	uint32_t *map = malloc((count + 1) * sizeof(*map));

	if (map)
		memset(map, 0xff, (count + 1) * sizeof(*map));
	return map;
}

static int map_string(struct merge *merge, uint32_t string, uint32_t *ret)
{
	const struct strtab *strings = &merge->from->strings;
	uint32_t *mapped = &merge->strings[string];

	if (*mapped == PROFILE_NONE)
		*mapped = profile_string_n(merge->into, strtab_get(strings, string),
					   strtab_length(strings, string));
	if (*mapped == PROFILE_NONE)
		return -ENOMEM;
	*ret = *mapped;
	return 0;
}

static int map_frames(struct merge *merge)
{
	for (size_t i = 0; i < merge->from->frames.count; i++) {
		struct profile_frame frame = merge->from->frames.items[i];

		if (map_string(merge, frame.name, &frame.name) ||
		    map_string(merge, frame.module, &frame.module) ||
		    map_string(merge, frame.file, &frame.file))
			return -ENOMEM;
		merge->frames[i] = profile_frame(merge->into, &frame);
		if (merge->frames[i] == PROFILE_NONE)
			return -ENOMEM;
	}
	return 0;
}

static int map_stacks(struct merge *merge)
{
	VEC(uint32_t) mapped = {0};
	int r = 0;

	merge->stacks[0] = 0;
	for (uint32_t i = 1; !r && i < merge->from->stack_ends.count; i++) {
		size_t count;
		const uint32_t *frames = profile_stack_frames(merge->from, i, &count);

		vec_clear(&mapped);
		r = vec_reserve(&mapped, count);
		for (size_t k = 0; !r && k < count; k++)
			mapped.items[mapped.count++] = merge->frames[frames[k]];
		if (!r)
			merge->stacks[i] = profile_stack(merge->into, mapped.items, count);
		if (merge->stacks[i] == PROFILE_NONE)
			r = -ENOMEM;
	}
	vec_free(&mapped);
	return r;
}

/* Says which value of `into` each of `from` is; adds none yet. */
static int map_value_types(struct merge *merge, uint32_t *ret_count)
{
	const struct profile *from = merge->from;
	uint32_t count = merge->into->value_type_count;

	for (uint32_t i = 0; i < from->value_type_count; i++) {
		const struct profile_value_type *type = &from->value_types[i];
		uint32_t have = profile_find_value_type(merge->into, profile_text(from, type->name),
							profile_text(from, type->unit));

		if (have == PROFILE_NONE) {
			if (merge->into->samples.count)
				return -EINVAL;
			if (count == PROFILE_VALUES_MAX)
				return -E2BIG;
			have = count++;
		}
		merge->value_map[i] = have;
	}
	*ret_count = count;
	return 0;
}

static uint64_t process_hash(const struct profile_process *process)
{
	uint64_t words[3] = {
		(uint64_t)process->pid << 32 | process->ppid,
		process->birth_ns ? process->birth_ns : process->start_ns,
		(uint64_t)process->comm << 32 | process->cgroup,
	};

	return XXH3_64bits(words, sizeof(words));
}

static bool process_equal(const struct profile_process *a, const struct profile_process *b)
{
	/* The start is cut at the beginning of the profile, the birth is not. */
	return a->pid == b->pid && a->ppid == b->ppid && a->birth_ns == b->birth_ns &&
	       (a->birth_ns || a->start_ns == b->start_ns) && a->comm == b->comm &&
	       a->cgroup == b->cgroup;
}

/* 0 keeps its meaning (before the start, or still alive). */
static uint64_t shift(uint64_t time_ns, uint64_t by)
{
	return time_ns ? profile_sum(time_ns, by) : 0;
}

static struct profile_process shifted(struct profile_process process, uint64_t by)
{
	process.start_ns = shift(process.start_ns, by);
	process.end_ns = shift(process.end_ns, by);
	return process;
}

/* Rows alike in both profiles become one, the n-th such row of the one with the
 * n-th of the other, so that the outcome does not depend on the direction.
 * `by_hash` heads the chains of rows of `into`, which `next` links in order. */
static int match_processes(struct merge *merge, struct hashmap *by_hash, uint32_t *next,
			   uint64_t into_shift, uint64_t from_shift)
{
	struct profile *into = merge->into;
	size_t had = into->processes.count;

	for (size_t i = had; i-- > 0;) {
		struct profile_process row = shifted(into->processes.items[i], into_shift);
		uint64_t hash = process_hash(&row);
		uint64_t *head = hashmap_get(by_hash, hash);

		next[i] = head ? (uint32_t)*head : PROFILE_NONE;
		if (hashmap_put(by_hash, hash, i))
			return -ENOMEM;
	}
	for (size_t i = 0, added = 0; i < merge->from->processes.count; i++) {
		struct profile_process row = shifted(merge->from->processes.items[i], from_shift);
		struct profile_process have;
		uint64_t *head;

		if (map_string(merge, row.comm, &row.comm) ||
		    map_string(merge, row.cgroup, &row.cgroup))
			return -ENOMEM;
		head = hashmap_get(by_hash, process_hash(&row));
		if (head && *head != PROFILE_NONE) {
			have = shifted(into->processes.items[*head], into_shift);
			if (process_equal(&have, &row)) {
				merge->processes[i] = (uint32_t)*head;
				*head = next[*head];
				continue;
			}
		}
		merge->processes[i] = (uint32_t)(had + added++);
	}
	return 0;
}

static int map_processes(struct merge *merge, uint64_t into_shift, uint64_t from_shift)
{
	struct profile *into = merge->into;
	_cleanup_free_ uint32_t *next = new_map(into->processes.count);
	struct hashmap by_hash = {0};
	int r;

	if (!next)
		return -ENOMEM;
	if (into->processes.count + merge->from->processes.count >= PROFILE_NONE)
		return -E2BIG;
	r = match_processes(merge, &by_hash, next, into_shift, from_shift);
	hashmap_deinit(&by_hash);
	return r;
}

/* One that was there before the later of two profiles may have begun within both. */
static uint64_t start_on_axis(const struct profile_process *process, uint64_t axis_start_ns)
{
	if (!process->birth_ns || !axis_start_ns)
		return process->start_ns;
	return process->birth_ns > axis_start_ns ? process->birth_ns - axis_start_ns : 0;
}

/* After everything has been reserved and mapped: cannot fail. */
static void join_processes(struct merge *merge, uint64_t into_shift, uint64_t from_shift)
{
	struct profile *into = merge->into;

	for (size_t i = 0; i < into->processes.count; i++)
		into->processes.items[i] = shifted(into->processes.items[i], into_shift);
	for (size_t i = 0; i < merge->from->processes.count; i++) {
		struct profile_process row = shifted(merge->from->processes.items[i], from_shift);
		uint32_t at = merge->processes[i];

		row.comm = merge->strings[row.comm];
		row.cgroup = merge->strings[row.cgroup];
		if (at == into->processes.count)
			into->processes.items[into->processes.count++] = row;
		else if (row.end_ns > into->processes.items[at].end_ns)
			into->processes.items[at].end_ns = row.end_ns;
	}
	for (size_t i = 0; i < into->processes.count; i++)
		into->processes.items[i].start_ns =
			start_on_axis(&into->processes.items[i], merge->axis.start_ns);
}

/* Moves the samples of `old` to the new axis, into the empty table of `into`;
 * there may be fewer then. */
static int rebucket_all(struct profile *into, const struct profile *old, const struct time_axis *to)
{
	struct time_axis axis = time_axis_of(old);
	int r = 0;

	for (size_t i = 0; !r && i < old->samples.count; i++) {
		struct profile_sample sample = old->samples.items[i];

		sample.bucket = time_axis_bucket(sample.bucket, &axis, to);
		r = profile_add_sample(into, &sample,
				       old->values.items + i * old->value_type_count);
	}
	return r;
}

static int add_samples(struct merge *merge)
{
	const struct profile *from = merge->from;
	struct time_axis axis = time_axis_of(from);

	for (size_t i = 0; i < from->samples.count; i++) {
		struct profile_sample sample = from->samples.items[i];
		uint64_t values[PROFILE_VALUES_MAX] = {0};
		int r;

		sample.stack = merge->stacks[sample.stack];
		sample.comm = merge->strings[sample.comm];
		if (sample.process != PROFILE_NONE)
			sample.process = merge->processes[sample.process];
		sample.bucket = time_axis_bucket(sample.bucket, &axis, &merge->axis);
		for (uint32_t v = 0; v < from->value_type_count; v++)
			values[merge->value_map[v]] =
				from->values.items[i * from->value_type_count + v];
		r = profile_add_sample(merge->into, &sample, values);
		if (r)
			return r;
	}
	return 0;
}

static void add_value_types(struct merge *merge, uint32_t count)
{
	struct profile *into = merge->into;

	if (!into->value_type_count && merge->from->value_type_count)
		into->default_value = merge->from->default_value;
	for (uint32_t i = 0; i < merge->from->value_type_count; i++) {
		const struct profile_value_type *type = &merge->from->value_types[i];

		if (merge->value_map[i] < into->value_type_count)
			continue;
		into->value_types[merge->value_map[i]] = (struct profile_value_type){
			.name = merge->strings[type->name],
			.unit = merge->strings[type->unit],
		};
	}
	into->value_type_count = count;
}

static int put_series(struct merge *merge, const struct series *series, uint64_t shift_ns)
{
	struct series *have;
	int r = series_list_find(&merge->series, series, &have);

	return r ? r : series_join(have, series, shift_ns);
}

/* The series of both, beside the profile; needs the maps of strings and processes. */
static int make_series(struct merge *merge, uint64_t into_shift, uint64_t from_shift)
{
	int r = 0;

	for (size_t i = 0; !r && i < merge->into->series.count; i++)
		r = put_series(merge, &merge->into->series.items[i], into_shift);
	for (size_t i = 0; !r && i < merge->from->series.count; i++) {
		struct series series = merge->from->series.items[i];

		series.name = merge->strings[series.name];
		series.unit = merge->strings[series.unit];
		series.group = merge->strings[series.group];
		if (series.process != PROFILE_NONE)
			series.process = merge->processes[series.process];
		r = put_series(merge, &series, from_shift);
	}
	return r;
}

/* Likewise what they have of allocations. */
static int make_heap(struct merge *merge, uint64_t into_shift, uint64_t from_shift)
{
	const struct heap_data_map own = {.shift_ns = into_shift};
	const struct heap_data_map other = {
		.stacks = merge->stacks, .processes = merge->processes, .shift_ns = from_shift};
	int r = heap_data_join(&merge->heap, &merge->into->heap, &own);

	return r ? r : heap_data_join(&merge->heap, &merge->from->heap, &other);
}

/* Of two names that differ, that of the earlier profile; of two as early, the
 * smaller. */
static uint32_t join_name(const struct merge *merge, uint32_t a, uint32_t from_name)
{
	uint32_t b = merge->strings[from_name];
	uint64_t a_start = merge->into->start_ns, b_start = merge->from->start_ns;

	if (!a || !b || a == b)
		return a ? a : b;
	if (a_start != b_start)
		return a_start < b_start ? a : b;
	return strcmp(profile_text(merge->into, a), profile_text(merge->into, b)) < 0 ? a : b;
}

/* Room was made: cannot fail. */
static void join_marks(struct merge *merge)
{
	struct profile *into = merge->into;
	struct time_axis into_axis = time_axis_of(into), from_axis = time_axis_of(merge->from);
	uint64_t into_shift = time_axis_shift(&into_axis, &merge->axis);
	uint64_t from_shift = time_axis_shift(&from_axis, &merge->axis);

	for (size_t i = 0; i < into->marks.count; i++)
		into->marks.items[i].at_ns = profile_sum(into->marks.items[i].at_ns, into_shift);
	for (size_t i = 0; i < merge->from->marks.count; i++) {
		struct profile_mark mark = merge->from->marks.items[i];

		mark.at_ns = profile_sum(mark.at_ns, from_shift);
		mark.key = merge->strings[mark.key];
		mark.text = merge->strings[mark.text];
		profile_join_mark(into, &mark);
	}
	SWAP(into->series, merge->series);
	SWAP(into->heap, merge->heap);
}

static void join_meta(struct merge *merge)
{
	struct profile *into = merge->into;
	const struct profile *from = merge->from;

	for (size_t i = 0; i < from->counts.count; i++) {
		struct profile_count count = from->counts.items[i];

		count.key = merge->strings[count.key];
		count.text = merge->strings[count.text];
		profile_join_count(into, &count); /* room was made: cannot fail */
	}
	join_marks(merge);
	into->title = join_name(merge, into->title, from->title);
	into->host = join_name(merge, into->host, from->host);
	into->event = join_name(merge, into->event, from->event);
	if (from->frequency_hz > into->frequency_hz)
		into->frequency_hz = from->frequency_hz;
	into->start_ns = merge->axis.start_ns;
	into->duration_ns = merge->axis.duration_ns;
	into->bucket_ns = merge->axis.bucket_ns;
}

/* Those of marks and series, and room for what join_meta() adds. */
static int map_time_strings(struct merge *merge)
{
	const struct profile *from = merge->from;
	struct profile *into = merge->into;
	uint32_t ignored;

	for (size_t i = 0; i < from->marks.count; i++) {
		if (map_string(merge, from->marks.items[i].key, &ignored) ||
		    map_string(merge, from->marks.items[i].text, &ignored))
			return -ENOMEM;
	}
	for (size_t i = 0; i < from->series.count; i++) {
		if (map_string(merge, from->series.items[i].name, &ignored) ||
		    map_string(merge, from->series.items[i].unit, &ignored) ||
		    map_string(merge, from->series.items[i].group, &ignored))
			return -ENOMEM;
	}
	if (into->marks.count + from->marks.count > PROFILE_MARKS_MAX &&
	    (profile_string(into, PROFILE_MARKS_KEY) == PROFILE_NONE ||
	     profile_string(into, PROFILE_MARKS_TEXT) == PROFILE_NONE))
		return -ENOMEM;
	if (vec_reserve(&into->marks, into->marks.count + from->marks.count))
		return -ENOMEM;
	return vec_reserve(&into->counts, into->counts.count + from->counts.count + 1);
}

/* Interns every string of `from` that is referred to outside frames. */
static int map_strings(struct merge *merge)
{
	const struct profile *from = merge->from;
	uint32_t ignored;

	if (map_string(merge, from->title, &ignored) || map_string(merge, from->host, &ignored) ||
	    map_string(merge, from->event, &ignored))
		return -ENOMEM;
	for (uint32_t i = 0; i < from->value_type_count; i++) {
		if (map_string(merge, from->value_types[i].name, &ignored) ||
		    map_string(merge, from->value_types[i].unit, &ignored))
			return -ENOMEM;
	}
	for (size_t i = 0; i < from->samples.count; i++) {
		if (map_string(merge, from->samples.items[i].comm, &ignored))
			return -ENOMEM;
	}
	for (size_t i = 0; i < from->counts.count; i++) {
		if (map_string(merge, from->counts.items[i].key, &ignored) ||
		    map_string(merge, from->counts.items[i].text, &ignored))
			return -ENOMEM;
	}
	return map_time_strings(merge);
}

#define COPY_ITEMS(to, old)                                                                        \
	({                                                                                         \
		int c_ = vec_reserve(to, (old)->count);                                            \
		if (!c_ && (old)->count)                                                           \
			memcpy((to)->items, (old)->items, (old)->count * sizeof(*(to)->items));    \
		if (!c_)                                                                           \
			(to)->count = (old)->count;                                                \
		c_;                                                                                \
	})

/* Puts copies in the place of the tables that are about to change; `old` keeps
 * the originals. The sample index is shared unless it is built anew: entries
 * that a failure leaves in it do no harm. */
static int swap_tables(struct profile *into, struct profile *old, bool anew)
{
	*old = *into;
	memset(&into->processes, 0, sizeof(into->processes));
	memset(&into->samples, 0, sizeof(into->samples));
	memset(&into->values, 0, sizeof(into->values));
	if (anew) {
		memset(&into->sample_index, 0, sizeof(into->sample_index));
		into->samples_indexed = 0;
	}
	if (COPY_ITEMS(&into->processes, &old->processes))
		return -ENOMEM;
	if (!anew &&
	    (COPY_ITEMS(&into->samples, &old->samples) || COPY_ITEMS(&into->values, &old->values)))
		return -ENOMEM;
	return 0;
}

/* Ends what swap_tables() began: gives the tables back if the merge failed, and
 * frees the others. */
static void settle_tables(struct profile *into, struct profile *old, bool anew, bool failed)
{
	if (failed) {
		SWAP(into->processes, old->processes);
		SWAP(into->samples, old->samples);
		SWAP(into->values, old->values);
		if (anew)
			SWAP(into->sample_index, old->sample_index);
		into->samples_indexed = old->samples_indexed;
		into->value_type_count = old->value_type_count;
		into->default_value = old->default_value;
	}
	vec_free(&old->processes);
	vec_free(&old->samples);
	vec_free(&old->values);
	if (anew)
		hashmap_deinit(&old->sample_index);
}

static int merge_tables(struct merge *merge, uint32_t value_types)
{
	struct profile *into = merge->into, old;
	struct time_axis into_axis = time_axis_of(into), from_axis = time_axis_of(merge->from);
	uint64_t into_shift = time_axis_shift(&into_axis, &merge->axis);
	uint64_t from_shift = time_axis_shift(&from_axis, &merge->axis);
	bool anew = into_shift || into->bucket_ns != merge->axis.bucket_ns;
	int r;

	r = map_processes(merge, into_shift, from_shift);
	if (!r)
		r = make_series(merge, into_shift, from_shift);
	if (!r)
		r = make_heap(merge, into_shift, from_shift);
	if (r)
		return r;
	r = swap_tables(into, &old, anew);
	if (!r)
		r = vec_reserve(&into->processes,
				old.processes.count + merge->from->processes.count);
	if (!r) {
		join_processes(merge, into_shift, from_shift);
		add_value_types(merge, value_types);
		if (anew)
			r = rebucket_all(into, &old, &merge->axis);
	}
	if (!r)
		r = add_samples(merge);
	settle_tables(into, &old, anew, r < 0);
	return r;
}

int profile_merge(struct profile *into, const struct profile *from)
{
	struct merge merge = {
		.into = into,
		.from = from,
		.axis = time_axis_join(into, from),
		.strings = new_map(strtab_count(&from->strings)),
		.frames = new_map(from->frames.count),
		.stacks = new_map(from->stack_ends.count),
		.processes = new_map(from->processes.count),
	};
	uint32_t value_types;
	int r = -ENOMEM;

	if (into == from)
		r = -EINVAL;
	else if (merge.strings && merge.frames && merge.stacks && merge.processes)
		r = map_value_types(&merge, &value_types);
	if (!r && !(r = map_strings(&merge)) && !(r = map_frames(&merge)) &&
	    !(r = map_stacks(&merge)))
		r = merge_tables(&merge, value_types);
	if (!r)
		join_meta(&merge);
	merge_deinit(&merge);
	return r;
}

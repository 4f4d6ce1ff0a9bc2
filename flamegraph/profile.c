/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/profile.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "flamegraph/profile_internal.h"

/* The three indexes map a hash to an id. In the two hashmaps two things with one hash lie
 * at consecutive keys. What is found is always compared: an entry that is stale (left
 * behind when something was undone) is merely passed over. */

struct profile *profile_create(void)
{
	struct profile *profile = calloc(1, sizeof(*profile));

	if (!profile)
		return NULL;
	if (profile_string_n(profile, "", 0) != 0 || vec_push(&profile->stack_ends, 0)) {
		profile_destroy(profile);
		return NULL;
	}
	return profile;
}

void profile_destroy(struct profile *profile)
{
	if (!profile)
		return;
	strtab_deinit(&profile->strings);
	vec_free(&profile->frames);
	vec_free(&profile->stack_frames);
	vec_free(&profile->stack_ends);
	vec_free(&profile->processes);
	vec_free(&profile->samples);
	vec_free(&profile->values);
	vec_free(&profile->counts);
	vec_free(&profile->marks);
	series_list_deinit(&profile->series);
	heap_data_deinit(&profile->heap);
	hashmap_deinit(&profile->frame_index);
	id_index_deinit(&profile->stack_index);
	hashmap_deinit(&profile->sample_index);
	free(profile);
}

uint32_t profile_string_n(struct profile *profile, const char *bytes, size_t n)
{
	return strtab_add(&profile->strings, bytes, n);
}

uint32_t profile_string(struct profile *profile, const char *text)
{
	return profile_string_n(profile, text, strlen(text));
}

static bool has_string(const struct profile *profile, uint32_t string)
{
	return string < strtab_count(&profile->strings);
}

uint32_t profile_find_value_type(const struct profile *profile, const char *name, const char *unit)
{
	for (uint32_t i = 0; i < profile->value_type_count; i++) {
		const struct profile_value_type *type = &profile->value_types[i];

		if (!strcmp(profile_text(profile, type->name), name) &&
		    (!unit || !strcmp(profile_text(profile, type->unit), unit)))
			return i;
	}
	return PROFILE_NONE;
}

uint32_t profile_add_value_type(struct profile *profile, const char *name, const char *unit)
{
	uint32_t index = profile_find_value_type(profile, name, unit);
	struct profile_value_type type;

	if (index != PROFILE_NONE)
		return index;
	if (profile->samples.count || profile->value_type_count == PROFILE_VALUES_MAX)
		return PROFILE_NONE;
	type.name = profile_string(profile, name);
	type.unit = profile_string(profile, unit);
	if (type.name == PROFILE_NONE || type.unit == PROFILE_NONE)
		return PROFILE_NONE;
	profile->value_types[profile->value_type_count] = type;
	return profile->value_type_count++;
}

/* Field by field: the struct has padding. */
static uint64_t frame_hash(const struct profile_frame *frame)
{
	uint64_t words[4] = {
		(uint64_t)frame->name << 32 | frame->module,
		(uint64_t)frame->file << 32 | frame->line,
		frame->address,
		frame->kind,
	};

	return XXH3_64bits(words, sizeof(words));
}

static bool frame_equal(const struct profile_frame *a, const struct profile_frame *b)
{
	return a->name == b->name && a->module == b->module && a->file == b->file &&
	       a->line == b->line && a->address == b->address && a->kind == b->kind;
}

uint32_t profile_frame(struct profile *profile, const struct profile_frame *frame)
{
	uint64_t key = frame_hash(frame);
	uint64_t *found;

	if (!has_string(profile, frame->name) || !has_string(profile, frame->module) ||
	    !has_string(profile, frame->file) || frame->kind >= FRAME_KIND_COUNT)
		return PROFILE_NONE;
	for (; (found = hashmap_get(&profile->frame_index, key)); key++) {
		if (*found < profile->frames.count &&
		    frame_equal(&profile->frames.items[*found], frame))
			return (uint32_t)*found;
	}
	if (profile->frames.count >= PROFILE_NONE - 1 ||
	    vec_reserve(&profile->frames, profile->frames.count + 1) ||
	    hashmap_put(&profile->frame_index, key, profile->frames.count))
		return PROFILE_NONE;
	profile->frames.items[profile->frames.count] = *frame;
	return (uint32_t)profile->frames.count++;
}

static bool stack_equal(const struct profile *profile, uint32_t stack, const uint32_t *frames,
			size_t count)
{
	const uint32_t *have;
	size_t have_count;

	if (stack >= profile->stack_ends.count)
		return false;
	have = profile_stack_frames(profile, stack, &have_count);
	return have_count == count && !memcmp(have, frames, count * sizeof(*frames));
}

uint32_t profile_stack_hash(const struct profile *profile, const uint32_t *frames, size_t count)
{
	uint32_t hash = (uint32_t)XXH3_64bits(frames, count * sizeof(*frames));
	const struct id_index *index = &profile->stack_index;

	if (index->slots)
		__builtin_prefetch(&index->slots[id_index_begin(index, hash)]);
	return hash;
}

uint32_t profile_stack(struct profile *profile, const uint32_t *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (frames[i] >= profile->frames.count)
			return PROFILE_NONE;
	}
	return profile_stack_hashed(profile, profile_stack_hash(profile, frames, count), frames,
				    count);
}

uint32_t profile_stack_hashed(struct profile *profile, uint32_t hash, const uint32_t *frames,
			      size_t count)
{
	size_t begin = profile->stack_frames.count, at;
	uint32_t found;

	if (!count)
		return 0;
	at = id_index_begin(&profile->stack_index, hash);
	while ((found = id_index_next(&profile->stack_index, hash, &at)) != ID_INDEX_NONE) {
		if (stack_equal(profile, found, frames, count))
			return found;
	}
	if (profile->stack_ends.count >= PROFILE_NONE - 1 || count > SIZE_MAX / 8 - begin ||
	    vec_reserve_huge(&profile->stack_frames, begin + count) ||
	    vec_reserve_huge(&profile->stack_ends, profile->stack_ends.count + 1) ||
	    id_index_put(&profile->stack_index, hash, (uint32_t)profile->stack_ends.count))
		return PROFILE_NONE;
	memcpy(profile->stack_frames.items + begin, frames, count * sizeof(*frames));
	profile->stack_frames.count = begin + count;
	profile->stack_ends.items[profile->stack_ends.count] = begin + count;
	return (uint32_t)profile->stack_ends.count++;
}

const uint32_t *profile_stack_frames(const struct profile *profile, uint32_t stack,
				     size_t *ret_count)
{
	size_t begin;

	if (!stack || stack >= profile->stack_ends.count) {
		*ret_count = 0;
		return NULL;
	}
	begin = profile->stack_ends.items[stack - 1];
	*ret_count = profile->stack_ends.items[stack] - begin;
	return profile->stack_frames.items + begin;
}

uint32_t profile_add_process(struct profile *profile, const struct profile_process *process)
{
	if (!has_string(profile, process->comm) || !has_string(profile, process->cgroup) ||
	    profile->processes.count >= PROFILE_NONE - 1 || vec_push(&profile->processes, *process))
		return PROFILE_NONE;
	return (uint32_t)(profile->processes.count - 1);
}

static bool sample_equal(const struct profile_sample *a, const struct profile_sample *b)
{
	return a->stack == b->stack && a->process == b->process && a->comm == b->comm &&
	       a->bucket == b->bucket;
}

static bool sample_valid(const struct profile *profile, const struct profile_sample *sample)
{
	return sample->stack < profile->stack_ends.count && has_string(profile, sample->comm) &&
	       (sample->process == PROFILE_NONE || sample->process < profile->processes.count);
}

int profile_append_sample(struct profile *profile, const struct profile_sample *sample,
			  const uint64_t *values)
{
	size_t width = profile->value_type_count, at = profile->samples.count;

	if (!width || !sample_valid(profile, sample))
		return -EINVAL;
	if (at >= PROFILE_NONE - 1)
		return -E2BIG;
	if (vec_reserve_huge(&profile->samples, at + 1) ||
	    vec_reserve_huge(&profile->values, (at + 1) * width))
		return -ENOMEM;
	profile->samples.items[profile->samples.count++] = *sample;
	for (size_t i = 0; i < width; i++)
		profile->values.items[profile->values.count++] = values[i];
	return 0;
}

static uint64_t sample_hash(const struct profile_sample *sample)
{
	_Static_assert(sizeof(*sample) == 16, "hashed as bytes: no padding");
	return XXH3_64bits(sample, sizeof(*sample));
}

/* Puts into the index what was appended without it. */
static int index_samples(struct profile *profile)
{
	for (; profile->samples_indexed < profile->samples.count; profile->samples_indexed++) {
		size_t at = profile->samples_indexed;
		uint64_t key = sample_hash(&profile->samples.items[at]), *found;

		while ((found = hashmap_get(&profile->sample_index, key)) && *found < at)
			key++;
		if (hashmap_put(&profile->sample_index, key, at))
			return -ENOMEM;
	}
	return 0;
}

int profile_add_sample(struct profile *profile, const struct profile_sample *sample,
		       const uint64_t *values)
{
	size_t width = profile->value_type_count, at = profile->samples.count;
	uint64_t key = sample_hash(sample);
	uint64_t *found, *sums;
	int r;

	if (!width || !sample_valid(profile, sample))
		return -EINVAL;
	if (index_samples(profile))
		return -ENOMEM;
	for (; (found = hashmap_get(&profile->sample_index, key)); key++) {
		if (*found >= at || !sample_equal(&profile->samples.items[*found], sample))
			continue;
		sums = profile->values.items + *found * width;
		for (size_t i = 0; i < width; i++)
			sums[i] = profile_sum(sums[i], values[i]);
		return 0;
	}
	if (hashmap_put(&profile->sample_index, key, at))
		return -ENOMEM;
	r = profile_append_sample(profile, sample, values);
	if (!r)
		profile->samples_indexed = at + 1;
	return r;
}

int profile_join_count(struct profile *profile, const struct profile_count *count)
{
	for (size_t i = 0; i < profile->counts.count; i++) {
		struct profile_count *have = &profile->counts.items[i];

		if (have->key != count->key)
			continue;
		have->count = profile_sum(have->count, count->count);
		have->is_loss |= count->is_loss;
		if (!have->text)
			have->text = count->text;
		return 0;
	}
	return vec_push(&profile->counts, *count);
}

int profile_add_count(struct profile *profile, const char *key, const char *text, uint64_t count,
		      int is_loss)
{
	struct profile_count added = {
		.key = profile_string(profile, key),
		.text = profile_string(profile, text),
		.count = count,
		.is_loss = is_loss ? 1 : 0,
	};

	if (added.key == PROFILE_NONE || added.text == PROFILE_NONE)
		return -ENOMEM;
	return profile_join_count(profile, &added);
}

uint64_t profile_count_of(const struct profile *profile, const char *key)
{
	for (size_t i = 0; i < profile->counts.count; i++) {
		if (!strcmp(profile_text(profile, profile->counts.items[i].key), key))
			return profile->counts.items[i].count;
	}
	return 0;
}

int profile_join_mark(struct profile *profile, const struct profile_mark *mark)
{
	if (profile->marks.count >= PROFILE_MARKS_MAX)
		return profile_add_count(profile, PROFILE_MARKS_KEY, PROFILE_MARKS_TEXT, 1, 0);
	return vec_push(&profile->marks, *mark);
}

int profile_add_mark(struct profile *profile, uint64_t at_ns, const char *key, const char *text,
		     uint64_t value)
{
	struct profile_mark mark = {
		.at_ns = at_ns,
		.key = profile_string(profile, key),
		.text = profile_string(profile, text),
		.value = value,
	};

	if (mark.key == PROFILE_NONE || mark.text == PROFILE_NONE)
		return -ENOMEM;
	return profile_join_mark(profile, &mark);
}

bool profile_mark_alarms(const struct profile *profile, const struct profile_mark *mark)
{
	const char *key = profile_text(profile, mark->key);

	return !strncmp(key, "lost_", strlen("lost_")) || !strncmp(key, "oom", strlen("oom"));
}

uint32_t profile_add_series(struct profile *profile, const struct series *like)
{
	struct series *series;

	if (!has_string(profile, like->name) || !has_string(profile, like->unit) ||
	    !has_string(profile, like->group) || like->kind >= SERIES_KIND_COUNT ||
	    !like->step_ns || profile->series.count >= PROFILE_NONE - 1 ||
	    (like->process != PROFILE_NONE && like->process >= profile->processes.count) ||
	    series_list_find(&profile->series, like, &series))
		return PROFILE_NONE;
	return (uint32_t)(series - profile->series.items);
}

uint64_t profile_total(const struct profile *profile, uint32_t value_type)
{
	uint64_t total = 0;

	if (value_type >= profile->value_type_count)
		return 0;
	for (size_t i = value_type; i < profile->values.count; i += profile->value_type_count)
		total = profile_sum(total, profile->values.items[i]);
	return total;
}

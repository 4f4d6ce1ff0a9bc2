/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/profile_wire.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/reader.h"
#include "flamegraph/heap_wire.h"
#include "flamegraph/profile_internal.h"

static const char magic[4] = {'P', 'F', 'D', 'P'};

static void encode_code(const struct profile *profile, struct strbuf *out)
{
	uint32_t strings = strtab_count(&profile->strings);

	strbuf_u32(out, strings);
	for (uint32_t i = 0; i < strings; i++)
		strbuf_bytes(out, strtab_get(&profile->strings, i),
			     (uint32_t)strtab_length(&profile->strings, i));
	strbuf_u32(out, (uint32_t)profile->frames.count);
	for (size_t i = 0; i < profile->frames.count; i++) {
		const struct profile_frame *frame = &profile->frames.items[i];

		strbuf_u32(out, frame->name);
		strbuf_u32(out, frame->module);
		strbuf_u32(out, frame->file);
		strbuf_u32(out, frame->line);
		strbuf_u32(out, frame->kind);
		strbuf_u64(out, frame->address);
	}
	strbuf_u32(out, (uint32_t)profile->stack_ends.count - 1);
	for (uint32_t i = 1; i < profile->stack_ends.count; i++) {
		size_t count;
		const uint32_t *frames = profile_stack_frames(profile, i, &count);

		strbuf_u32(out, (uint32_t)count);
		for (size_t k = 0; k < count; k++)
			strbuf_u32(out, frames[k]);
	}
}

static void encode_samples(const struct profile *profile, struct strbuf *out)
{
	strbuf_u32(out, (uint32_t)profile->processes.count);
	for (size_t i = 0; i < profile->processes.count; i++) {
		const struct profile_process *process = &profile->processes.items[i];

		strbuf_u32(out, process->pid);
		strbuf_u32(out, process->ppid);
		strbuf_u32(out, process->comm);
		strbuf_u32(out, process->cgroup);
		strbuf_u64(out, process->start_ns);
		strbuf_u64(out, process->end_ns);
		strbuf_u64(out, process->birth_ns);
	}
	strbuf_u32(out, profile->value_type_count);
	strbuf_u32(out, profile->default_value);
	for (uint32_t i = 0; i < profile->value_type_count; i++) {
		strbuf_u32(out, profile->value_types[i].name);
		strbuf_u32(out, profile->value_types[i].unit);
	}
	strbuf_u32(out, (uint32_t)profile->samples.count);
	for (size_t i = 0; i < profile->samples.count; i++) {
		const struct profile_sample *sample = &profile->samples.items[i];

		strbuf_u32(out, sample->stack);
		strbuf_u32(out, sample->process);
		strbuf_u32(out, sample->comm);
		strbuf_u32(out, sample->bucket);
		for (uint32_t v = 0; v < profile->value_type_count; v++)
			strbuf_u64(out, profile->values.items[i * profile->value_type_count + v]);
	}
}

static void encode_series(const struct series *series, struct strbuf *out)
{
	bool band = series_has_band(series);

	strbuf_u32(out, series->name);
	strbuf_u32(out, series->unit);
	strbuf_u32(out, series->group);
	strbuf_u32(out, series->process);
	strbuf_u32(out, series->kind);
	strbuf_u32(out, band);
	strbuf_u64(out, series->step_ns);
	strbuf_u32(out, (uint32_t)series->points.count);
	for (size_t i = 0; i < series->points.count; i++) {
		const struct series_point *point = &series->points.items[i];

		strbuf_u64(out, point->value);
		if (band) {
			strbuf_u64(out, point->low);
			strbuf_u64(out, point->high);
		}
	}
}

static void encode_times(const struct profile *profile, struct strbuf *out)
{
	strbuf_u32(out, (uint32_t)profile->marks.count);
	for (size_t i = 0; i < profile->marks.count; i++) {
		const struct profile_mark *mark = &profile->marks.items[i];

		strbuf_u64(out, mark->at_ns);
		strbuf_u32(out, mark->key);
		strbuf_u32(out, mark->text);
		strbuf_u64(out, mark->value);
	}
	strbuf_u32(out, (uint32_t)profile->series.count);
	for (size_t i = 0; i < profile->series.count; i++)
		encode_series(&profile->series.items[i], out);
}

static void encode_meta(const struct profile *profile, struct strbuf *out)
{
	strbuf_u32(out, (uint32_t)profile->counts.count);
	for (size_t i = 0; i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];

		strbuf_u32(out, count->key);
		strbuf_u32(out, count->text);
		strbuf_u32(out, count->is_loss);
		strbuf_u64(out, count->count);
	}
	encode_times(profile, out);
	strbuf_u64(out, profile->start_ns);
	strbuf_u64(out, profile->duration_ns);
	strbuf_u64(out, profile->bucket_ns);
	strbuf_u32(out, profile->frequency_hz);
	strbuf_u32(out, profile->title);
	strbuf_u32(out, profile->host);
	strbuf_u32(out, profile->event);
}

int profile_encode(const struct profile *profile, struct strbuf *out)
{
	if (profile->processes.count > UINT32_MAX || profile->counts.count > UINT32_MAX ||
	    profile->stack_frames.count > UINT32_MAX)
		return -E2BIG;
	strbuf_append(out, magic, sizeof(magic));
	strbuf_u32(out, PROFILE_WIRE_VERSION);
	encode_code(profile, out);
	encode_samples(profile, out);
	encode_meta(profile, out);
	heap_encode(&profile->heap, out);
	return strbuf_error(out);
}

/* Ids in the bytes are mapped to the ids that interning gives: whoever wrote
 * them may have written a thing twice. */
struct decoder {
	struct reader in;
	struct profile *profile;
	VEC(uint32_t) strings;
	VEC(uint32_t) frames;
	VEC(uint32_t) stacks;
	VEC(uint32_t) one_stack;
	bool no_memory;
};

static bool out_of_memory(struct decoder *decoder)
{
	decoder->no_memory = true;
	return reader_fail(&decoder->in, "out of memory");
}

/* Number of records that follow, each at least `record` bytes. */
static uint32_t get_count(struct decoder *decoder, size_t record)
{
	uint32_t count = reader_u32(&decoder->in);

	if (count > reader_left(&decoder->in) / record) {
		reader_fail(&decoder->in, "more records announced than there are bytes");
		return 0;
	}
	return count;
}

/* An id of one of `count`, mapped by `map`. */
static uint32_t get_id(struct decoder *decoder, const uint32_t *map, size_t count, const char *bad)
{
	uint32_t id = reader_u32(&decoder->in);

	if (!reader_ok(&decoder->in))
		return 0;
	if (id >= count) {
		reader_fail(&decoder->in, bad);
		return 0;
	}
	return map[id];
}

static uint32_t get_string(struct decoder *decoder)
{
	return get_id(decoder, decoder->strings.items, decoder->strings.count,
		      "string id out of range");
}

static bool decode_strings(struct decoder *decoder)
{
	uint32_t count = get_count(decoder, 4);

	if (vec_reserve(&decoder->strings, count))
		return out_of_memory(decoder);
	for (uint32_t i = 0; i < count; i++) {
		size_t n = 0;
		const char *bytes = reader_bytes(&decoder->in, UINT32_MAX, &n);
		uint32_t id;

		if (!bytes)
			return false;
		if (!i && n)
			return reader_fail(&decoder->in, "the first string is not empty");
		id = profile_string_n(decoder->profile, bytes, n);
		if (id == PROFILE_NONE)
			return out_of_memory(decoder);
		decoder->strings.items[decoder->strings.count++] = id;
	}
	return reader_ok(&decoder->in);
}

static bool decode_frames(struct decoder *decoder)
{
	uint32_t count = get_count(decoder, 28);

	if (vec_reserve(&decoder->frames, count))
		return out_of_memory(decoder);
	for (uint32_t i = 0; i < count; i++) {
		struct profile_frame frame = {0};
		uint32_t id;

		frame.name = get_string(decoder);
		frame.module = get_string(decoder);
		frame.file = get_string(decoder);
		frame.line = reader_u32(&decoder->in);
		frame.kind = reader_u32(&decoder->in);
		if (frame.kind >= FRAME_KIND_COUNT)
			reader_fail(&decoder->in, "unknown kind of frame");
		frame.address = reader_u64(&decoder->in);
		if (!reader_ok(&decoder->in))
			return false;
		id = profile_frame(decoder->profile, &frame);
		if (id == PROFILE_NONE)
			return out_of_memory(decoder);
		decoder->frames.items[decoder->frames.count++] = id;
	}
	return reader_ok(&decoder->in);
}

static bool decode_stack(struct decoder *decoder, uint32_t *ret)
{
	uint32_t count = get_count(decoder, 4);

	vec_clear(&decoder->one_stack);
	if (vec_reserve(&decoder->one_stack, count))
		return out_of_memory(decoder);
	for (uint32_t i = 0; i < count; i++)
		decoder->one_stack.items[decoder->one_stack.count++] =
			get_id(decoder, decoder->frames.items, decoder->frames.count,
			       "frame id out of range");
	if (!reader_ok(&decoder->in))
		return false;
	*ret = profile_stack(decoder->profile, decoder->one_stack.items, count);
	return *ret != PROFILE_NONE || out_of_memory(decoder);
}

static bool decode_stacks(struct decoder *decoder)
{
	uint32_t count = get_count(decoder, 4);

	if (vec_reserve(&decoder->stacks, (size_t)count + 1))
		return out_of_memory(decoder);
	decoder->stacks.items[decoder->stacks.count++] = 0;
	for (uint32_t i = 0; i < count; i++) {
		if (!decode_stack(decoder, &decoder->stacks.items[decoder->stacks.count]))
			return false;
		decoder->stacks.count++;
	}
	return reader_ok(&decoder->in);
}

static bool decode_processes(struct decoder *decoder)
{
	uint32_t count = get_count(decoder, 40);

	for (uint32_t i = 0; i < count; i++) {
		struct profile_process process = {0};

		process.pid = reader_u32(&decoder->in);
		process.ppid = reader_u32(&decoder->in);
		process.comm = get_string(decoder);
		process.cgroup = get_string(decoder);
		process.start_ns = reader_u64(&decoder->in);
		process.end_ns = reader_u64(&decoder->in);
		process.birth_ns = reader_u64(&decoder->in);
		if (!reader_ok(&decoder->in))
			return false;
		if (profile_add_process(decoder->profile, &process) == PROFILE_NONE)
			return out_of_memory(decoder);
	}
	return reader_ok(&decoder->in);
}

static bool decode_value_types(struct decoder *decoder)
{
	struct profile *profile = decoder->profile;
	uint32_t count = reader_u32(&decoder->in);
	uint32_t drawn = reader_u32(&decoder->in);

	if (count > PROFILE_VALUES_MAX)
		return reader_fail(&decoder->in, "too many value types");
	if (drawn >= count && (drawn || count))
		return reader_fail(&decoder->in, "default value type out of range");
	for (uint32_t i = 0; i < count; i++) {
		struct profile_value_type type = {0};

		type.name = get_string(decoder);
		type.unit = get_string(decoder);
		if (!reader_ok(&decoder->in))
			return false;
		for (uint32_t k = 0; k < i; k++) {
			if (profile->value_types[k].name == type.name &&
			    profile->value_types[k].unit == type.unit)
				return reader_fail(&decoder->in, "a value type twice");
		}
		profile->value_types[i] = type;
	}
	profile->value_type_count = count;
	profile->default_value = drawn;
	return reader_ok(&decoder->in);
}

static bool decode_samples(struct decoder *decoder)
{
	struct profile *profile = decoder->profile;
	uint32_t count = get_count(decoder, 16 + 8 * (size_t)profile->value_type_count);

	if (count && !profile->value_type_count)
		return reader_fail(&decoder->in, "samples without a value type");
	for (uint32_t i = 0; i < count; i++) {
		struct profile_sample sample = {0};
		uint64_t values[PROFILE_VALUES_MAX];

		sample.stack = get_id(decoder, decoder->stacks.items, decoder->stacks.count,
				      "stack id out of range");
		sample.process = reader_u32(&decoder->in);
		if (sample.process != PROFILE_NONE && sample.process >= profile->processes.count)
			reader_fail(&decoder->in, "process index out of range");
		sample.comm = get_string(decoder);
		sample.bucket = reader_u32(&decoder->in);
		for (uint32_t v = 0; v < profile->value_type_count; v++)
			values[v] = reader_u64(&decoder->in);
		if (!reader_ok(&decoder->in))
			return false;
		if (profile_add_sample(profile, &sample, values))
			return out_of_memory(decoder);
	}
	return reader_ok(&decoder->in);
}

static bool decode_counts(struct decoder *decoder)
{
	uint32_t count = get_count(decoder, 20);

	for (uint32_t i = 0; i < count; i++) {
		struct profile_count row = {0};

		row.key = get_string(decoder);
		row.text = get_string(decoder);
		row.is_loss = reader_u32(&decoder->in);
		if (row.is_loss > 1)
			reader_fail(&decoder->in, "a flag that is neither 0 nor 1");
		row.count = reader_u64(&decoder->in);
		if (!reader_ok(&decoder->in))
			return false;
		if (vec_push(&decoder->profile->counts, row))
			return out_of_memory(decoder);
	}
	return reader_ok(&decoder->in);
}

static bool decode_marks(struct decoder *decoder)
{
	uint32_t count = get_count(decoder, 24);

	for (uint32_t i = 0; i < count; i++) {
		struct profile_mark mark = {0};

		mark.at_ns = reader_u64(&decoder->in);
		mark.key = get_string(decoder);
		mark.text = get_string(decoder);
		mark.value = reader_u64(&decoder->in);
		if (!reader_ok(&decoder->in))
			return false;
		if (profile_join_mark(decoder->profile, &mark))
			return out_of_memory(decoder);
	}
	return reader_ok(&decoder->in);
}

static bool decode_points(struct decoder *decoder, struct series *series, bool band)
{
	uint32_t count = get_count(decoder, band ? 24 : 8);

	if (count > SERIES_STEPS_MAX)
		return reader_fail(&decoder->in, "more steps than a series may have");
	if (vec_reserve(&series->points, count))
		return out_of_memory(decoder);
	for (uint32_t i = 0; i < count; i++) {
		struct series_point point = {.value = reader_u64(&decoder->in)};

		point.low = band ? reader_u64(&decoder->in) : point.value;
		point.high = band ? reader_u64(&decoder->in) : point.value;
		if (point.low > point.value || point.high < point.value)
			return reader_fail(&decoder->in, "a value that is not within its band");
		series->points.items[series->points.count++] = point;
	}
	return reader_ok(&decoder->in);
}

static bool decode_series(struct decoder *decoder)
{
	struct profile *profile = decoder->profile;
	uint32_t count = get_count(decoder, 36);

	for (uint32_t i = 0; i < count; i++) {
		struct series series = {0};
		uint32_t band, index;

		series.name = get_string(decoder);
		series.unit = get_string(decoder);
		series.group = get_string(decoder);
		series.process = reader_u32(&decoder->in);
		series.kind = reader_u32(&decoder->in);
		band = reader_u32(&decoder->in);
		series.step_ns = reader_u64(&decoder->in);
		if (!reader_ok(&decoder->in))
			return false;
		if (band > 1 || !series.step_ns || series.kind >= SERIES_KIND_COUNT ||
		    (series.process != PROFILE_NONE && series.process >= profile->processes.count))
			return reader_fail(&decoder->in, "a series that cannot be");
		index = profile_add_series(profile, &series);
		if (index == PROFILE_NONE)
			return out_of_memory(decoder);
		if (profile->series.items[index].points.count)
			return reader_fail(&decoder->in, "a series twice");
		if (!decode_points(decoder, &profile->series.items[index], band))
			return false;
	}
	return reader_ok(&decoder->in);
}

static bool decode_meta(struct decoder *decoder)
{
	struct profile *profile = decoder->profile;

	profile->start_ns = reader_u64(&decoder->in);
	profile->duration_ns = reader_u64(&decoder->in);
	profile->bucket_ns = reader_u64(&decoder->in);
	profile->frequency_hz = reader_u32(&decoder->in);
	profile->title = get_string(decoder);
	profile->host = get_string(decoder);
	profile->event = get_string(decoder);
	return reader_ok(&decoder->in);
}

static bool decode_end(struct decoder *decoder, uint32_t version)
{
	struct profile *profile = decoder->profile;

	if (version > 2 &&
	    !heap_decode(&decoder->in, version, decoder->stacks.items, decoder->stacks.count,
			 profile->processes.count, &profile->heap, &decoder->no_memory))
		return false;
	if (reader_ok(&decoder->in) && reader_left(&decoder->in))
		return reader_fail(&decoder->in, "bytes after the end");
	return reader_ok(&decoder->in);
}

static int decode_failed(const struct decoder *decoder, struct error *error)
{
	return error_set(error, decoder->no_memory ? -ENOMEM : -EBADMSG,
			 "malformed profile: %s at byte %zu of %zu", decoder->in.bad,
			 decoder->in.bad_at, decoder->in.size);
}

static void decoder_deinit(struct decoder *decoder)
{
	vec_free(&decoder->strings);
	vec_free(&decoder->frames);
	vec_free(&decoder->stacks);
	vec_free(&decoder->one_stack);
	profile_destroy(decoder->profile);
}

int profile_decode(const void *data, size_t size, struct error *error, struct profile **ret)
{
	_cleanup_(decoder_deinit) struct decoder decoder = {.profile = profile_create()};
	const void *head;
	uint32_t version;

	if (!decoder.profile)
		return error_set(error, -ENOMEM, "out of memory");
	reader_init(&decoder.in, data, size);
	head = reader_take(&decoder.in, sizeof(magic));
	if (head && memcmp(head, magic, sizeof(magic)))
		return error_set(error, -EBADMSG, "not a profile: it begins with other bytes");
	version = reader_u32(&decoder.in);
	if (reader_ok(&decoder.in) &&
	    (version < PROFILE_WIRE_OLDEST || version > PROFILE_WIRE_VERSION))
		return error_set(error, -EPROTONOSUPPORT,
				 "the profile is of version %u, this program reads version %u",
				 version, PROFILE_WIRE_VERSION);
	if (!decode_strings(&decoder) || !decode_frames(&decoder) || !decode_stacks(&decoder) ||
	    !decode_processes(&decoder) || !decode_value_types(&decoder) ||
	    !decode_samples(&decoder) || !decode_counts(&decoder) || !decode_marks(&decoder) ||
	    !decode_series(&decoder) || !decode_meta(&decoder) || !decode_end(&decoder, version))
		return decode_failed(&decoder, error);
	*ret = TAKE_PTR(decoder.profile);
	return 0;
}

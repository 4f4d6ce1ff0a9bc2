/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "pprof", read. The message is looked at twice where it lies: strings, mappings,
 * functions and locations first, which may stand behind the samples that name them,
 * then the samples. A location becomes its frames when a sample first has it.
 *
 * Kept: all sample types (up to PROFILE_VALUES_MAX), the default one, inlined lines,
 * modules, the kernel by its mapping's name, time, duration, threads' names and pids
 * from labels. Not kept: other labels. A sample that is malformed, or negative (of a
 * difference between profiles), is skipped and counted by its number.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/hashmap.h"
#include "flamegraph/import.h"
#include "flamegraph/input.h"
#include "flamegraph/pprof.h"
#include "flamegraph/protobuf.h"

#define COLUMNS_MAX 64 /* sample types of a file; those above PROFILE_VALUES_MAX are dropped */
#define UNRESOLVED UINT32_MAX

struct text {
	const char *bytes;
	size_t n;
};

struct mapping {
	uint64_t id, start, offset, filename;
};

struct function {
	uint64_t id, name, filename;
};

struct location {
	struct reader message;
	uint32_t begin, count; /* of its frames, leaf first; begin UNRESOLVED: not yet made */
};

struct pprof {
	struct profile *profile;
	VEC(struct text) strings;
	VEC(struct mapping) mappings;
	VEC(struct function) functions;
	VEC(struct location) locations;
	struct hashmap mapping_index, function_index, location_index; /* id -> index */
	VEC(uint32_t) location_frames;
	VEC(uint32_t) frames; /* of the sample at hand, leaf first */
	struct hashmap processes; /* pid -> index */
	uint64_t type_names[COLUMNS_MAX], type_units[COLUMNS_MAX];
	uint32_t column_value[COLUMNS_MAX]; /* PROFILE_NONE: dropped */
	unsigned columns;
	uint64_t default_type;
	uint64_t period, period_unit;
	struct malformed malformed;
	const char *bad; /* why the sample at hand is */
};

static struct text text_at(const struct pprof *pprof, uint64_t index)
{
	return index < pprof->strings.count ? pprof->strings.items[index] : (struct text){"", 0};
}

static uint32_t string_at(struct pprof *pprof, uint64_t index)
{
	struct text text = text_at(pprof, index);

	return profile_string_n(pprof->profile, text.bytes, text.n);
}

static bool text_is(struct text text, const char *what)
{
	return text.n == strlen(what) && !memcmp(text.bytes, what, text.n);
}

static int on_type(struct pprof *pprof, struct reader *message)
{
	struct protobuf_field field;

	if (pprof->columns == COLUMNS_MAX)
		return -E2BIG;
	while (protobuf_next(message, &field)) {
		if (field.number == PPROF_VALUE_TYPE_TYPE)
			pprof->type_names[pprof->columns] = field.value;
		else if (field.number == PPROF_VALUE_TYPE_UNIT)
			pprof->type_units[pprof->columns] = field.value;
	}
	pprof->columns++;
	return 0;
}

static int on_mapping(struct pprof *pprof, struct reader *message)
{
	struct mapping mapping = {0};
	struct protobuf_field field;

	while (protobuf_next(message, &field)) {
		if (field.number == PPROF_MAPPING_ID)
			mapping.id = field.value;
		else if (field.number == PPROF_MAPPING_START)
			mapping.start = field.value;
		else if (field.number == PPROF_MAPPING_OFFSET)
			mapping.offset = field.value;
		else if (field.number == PPROF_MAPPING_FILENAME)
			mapping.filename = field.value;
	}
	if (vec_push(&pprof->mappings, mapping))
		return -ENOMEM;
	return hashmap_put(&pprof->mapping_index, mapping.id, pprof->mappings.count - 1);
}

static int on_function(struct pprof *pprof, struct reader *message)
{
	struct function function = {0};
	struct protobuf_field field;

	while (protobuf_next(message, &field)) {
		if (field.number == PPROF_FUNCTION_ID)
			function.id = field.value;
		else if (field.number == PPROF_FUNCTION_NAME ||
			 (field.number == PPROF_FUNCTION_SYSTEM_NAME && !function.name))
			function.name = field.value;
		else if (field.number == PPROF_FUNCTION_FILENAME)
			function.filename = field.value;
	}
	if (vec_push(&pprof->functions, function))
		return -ENOMEM;
	return hashmap_put(&pprof->function_index, function.id, pprof->functions.count - 1);
}

static int on_location(struct pprof *pprof, const struct reader *message)
{
	struct location location = {.message = *message, .begin = UNRESOLVED};
	struct reader walk = *message;
	struct protobuf_field field;
	uint64_t id = 0;

	while (protobuf_next(&walk, &field)) {
		if (field.number == PPROF_LOCATION_ID)
			id = field.value;
	}
	if (vec_push(&pprof->locations, location))
		return -ENOMEM;
	return hashmap_put(&pprof->location_index, id, pprof->locations.count - 1);
}

static int on_string(struct pprof *pprof, const struct reader *bytes)
{
	struct text text = {(const char *)bytes->data, bytes->size};

	return vec_push(&pprof->strings, text);
}

/* Everything but the samples. */
static int on_field(struct pprof *pprof, struct protobuf_field *field)
{
	if (field->wire == PROTOBUF_BYTES) {
		switch (field->number) {
		case PPROF_SAMPLE_TYPE:
			return on_type(pprof, &field->bytes);
		case PPROF_MAPPING:
			return on_mapping(pprof, &field->bytes);
		case PPROF_LOCATION:
			return on_location(pprof, &field->bytes);
		case PPROF_FUNCTION:
			return on_function(pprof, &field->bytes);
		case PPROF_STRING_TABLE:
			return on_string(pprof, &field->bytes);
		case PPROF_PERIOD_TYPE:
			for (struct protobuf_field part; protobuf_next(&field->bytes, &part);) {
				if (part.number == PPROF_VALUE_TYPE_UNIT)
					pprof->period_unit = part.value;
			}
			return 0;
		default:
			return 0;
		}
	}
	if (field->number == PPROF_TIME_NANOS && field->value <= INT64_MAX)
		pprof->profile->start_ns = field->value;
	else if (field->number == PPROF_DURATION_NANOS && field->value <= INT64_MAX)
		pprof->profile->duration_ns = field->value;
	else if (field->number == PPROF_PERIOD)
		pprof->period = field->value;
	else if (field->number == PPROF_DEFAULT_SAMPLE_TYPE)
		pprof->default_type = field->value;
	return 0;
}

/* The default is the one named so, else the last one. */
static int add_value_types(struct pprof *pprof)
{
	struct profile *profile = pprof->profile;
	char name[256], unit[256];

	for (unsigned i = 0; i < pprof->columns; i++) {
		struct text type = text_at(pprof, pprof->type_names[i]);
		struct text of = text_at(pprof, pprof->type_units[i]);
		uint32_t had = profile->value_type_count, index;

		snprintf(name, sizeof(name), "%.*s", (int)(type.n < 255 ? type.n : 255),
			 type.bytes);
		snprintf(unit, sizeof(unit), "%.*s", (int)(of.n < 255 ? of.n : 255), of.bytes);
		index = profile_add_value_type(profile, name, unit);
		pprof->column_value[i] = index == had ? index : PROFILE_NONE;
		if (index == had)
			profile->default_value = index;
	}
	for (unsigned i = 0; pprof->default_type && i < pprof->columns; i++) {
		struct text type = text_at(pprof, pprof->type_names[i]);
		struct text wanted = text_at(pprof, pprof->default_type);

		if (pprof->column_value[i] != PROFILE_NONE && type.n == wanted.n &&
		    !memcmp(type.bytes, wanted.bytes, type.n))
			profile->default_value = pprof->column_value[i];
	}
	if (pprof->period && pprof->period < 1000000000 &&
	    text_is(text_at(pprof, pprof->period_unit), "nanoseconds"))
		profile->frequency_hz = (uint32_t)(1000000000 / pprof->period);
	return 0;
}

static uint32_t place_frame(struct pprof *pprof, uint64_t address, uint32_t module, bool kernel)
{
	struct profile_frame frame = {.module = module, .address = address};
	char name[32];

	snprintf(name, sizeof(name), "0x%lx", (unsigned long)address);
	frame.kind = kernel ? FRAME_KERNEL : FRAME_USER;
	frame.name = address ? profile_string(pprof->profile, name) : 0;
	return profile_frame(pprof->profile, &frame);
}

static uint32_t line_frame(struct pprof *pprof, struct reader *line, struct profile_frame *frame)
{
	struct protobuf_field field;
	const struct function *function;
	uint64_t id = 0, number = 0, *found;
	struct text name;
	size_t name_n;
	enum frame_kind kind;

	while (protobuf_next(line, &field)) {
		if (field.number == PPROF_LINE_FUNCTION)
			id = field.value;
		else if (field.number == PPROF_LINE_LINE)
			number = field.value;
	}
	found = hashmap_get(&pprof->function_index, id);
	function = found ? &pprof->functions.items[*found] : NULL;
	name = text_at(pprof, function ? function->name : 0);
	name_n = name.n;
	kind = import_kind(name.bytes, &name_n);
	if (frame->kind == FRAME_USER)
		frame->kind = kind;
	frame->name = profile_string_n(pprof->profile, name.bytes, name_n);
	frame->file = string_at(pprof, function ? function->filename : 0);
	frame->line = number < UINT32_MAX ? (uint32_t)number : 0;
	return profile_frame(pprof->profile, frame);
}

/* Where a location is: a place in its module's file, if it has one. */
struct place {
	uint64_t address;
	uint32_t module;
	bool kernel;
	uint32_t lines;
};

static struct place find_place(struct pprof *pprof, struct reader message)
{
	struct protobuf_field field;
	struct place place = {0};
	uint64_t id = 0, *found;

	while (protobuf_next(&message, &field)) {
		if (field.number == PPROF_LOCATION_ADDRESS)
			place.address = field.value;
		else if (field.number == PPROF_LOCATION_MAPPING)
			id = field.value;
		place.lines += field.number == PPROF_LOCATION_LINE && field.wire == PROTOBUF_BYTES;
	}
	found = hashmap_get(&pprof->mapping_index, id);
	if (found) {
		const struct mapping *mapping = &pprof->mappings.items[*found];
		struct text file = text_at(pprof, mapping->filename);

		place.module = string_at(pprof, mapping->filename);
		place.kernel = import_is_kernel(file.bytes, file.n);
		if (place.address >= mapping->start)
			place.address += mapping->offset - mapping->start;
	}
	return place;
}

/* The frames of a location, the innermost first: all but the last are inlined. */
static int resolve(struct pprof *pprof, struct location *location)
{
	struct place place = find_place(pprof, location->message);
	struct reader walk = location->message;
	struct protobuf_field field;
	uint32_t frame;

	location->begin = (uint32_t)pprof->location_frames.count;
	for (uint32_t i = 0; i < place.lines && protobuf_next(&walk, &field);) {
		struct profile_frame at = {.module = place.module, .address = place.address};

		if (field.number != PPROF_LOCATION_LINE || field.wire != PROTOBUF_BYTES)
			continue;
		at.kind = ++i < place.lines ? FRAME_INLINE
			  : place.kernel    ? FRAME_KERNEL
					    : FRAME_USER;
		frame = line_frame(pprof, &field.bytes, &at);
		if (frame == PROFILE_NONE || vec_push(&pprof->location_frames, frame))
			return -ENOMEM;
	}
	if (!place.lines) {
		frame = place_frame(pprof, place.address, place.module, place.kernel);
		if (frame == PROFILE_NONE || vec_push(&pprof->location_frames, frame))
			return -ENOMEM;
	}
	location->count = (uint32_t)pprof->location_frames.count - location->begin;
	return 0;
}

static int push_location(struct pprof *pprof, uint64_t id)
{
	uint64_t *found = hashmap_get(&pprof->location_index, id);
	struct location *location = found ? &pprof->locations.items[*found] : NULL;
	int r;

	if (!location) {
		pprof->bad = "it has a location that is not there";
		return 0;
	}
	if (location->begin == UNRESOLVED) {
		r = resolve(pprof, location);
		if (r)
			return r;
	}
	if (pprof->frames.count + location->count > IMPORT_DEPTH_MAX) {
		pprof->bad = "its stack is too deep";
		return 0;
	}
	for (uint32_t i = 0; i < location->count; i++) {
		if (vec_push(&pprof->frames, pprof->location_frames.items[location->begin + i]))
			return -ENOMEM;
	}
	return 0;
}

static int find_process(struct pprof *pprof, uint64_t pid, uint32_t *ret)
{
	struct profile_process process = {.pid = (uint32_t)pid};
	uint64_t *found = hashmap_get(&pprof->processes, pid);

	if (pid > INT32_MAX)
		return 0;
	*ret = found ? (uint32_t)*found : profile_add_process(pprof->profile, &process);
	if (*ret == PROFILE_NONE)
		return -ENOMEM;
	return found ? 0 : hashmap_put(&pprof->processes, pid, *ret);
}

static int on_label(struct pprof *pprof, struct reader *label, struct profile_sample *sample)
{
	struct protobuf_field field;
	uint64_t key = 0, text = 0, number = 0;
	bool has_number = false;

	while (protobuf_next(label, &field)) {
		if (field.number == PPROF_LABEL_KEY)
			key = field.value;
		else if (field.number == PPROF_LABEL_STR)
			text = field.value;
		else if (field.number == PPROF_LABEL_NUM)
			number = field.value;
		has_number |= field.number == PPROF_LABEL_NUM;
	}
	if (text && (text_is(text_at(pprof, key), PPROF_LABEL_THREAD) ||
		     text_is(text_at(pprof, key), PPROF_LABEL_COMM))) {
		sample->comm = string_at(pprof, text);
		return sample->comm == PROFILE_NONE ? -ENOMEM : 0;
	}
	if (has_number && text_is(text_at(pprof, key), PPROF_LABEL_PID))
		return find_process(pprof, number, &sample->process);
	return 0;
}

static void on_value(struct pprof *pprof, unsigned *column, uint64_t value, uint64_t *values)
{
	if (*column >= pprof->columns) {
		pprof->bad = "it has more values than there are types";
		return;
	}
	if (value > INT64_MAX)
		pprof->bad = "it has a negative value";
	if (pprof->column_value[*column] != PROFILE_NONE)
		values[pprof->column_value[*column]] = value;
	++*column;
}

/* One number, or many packed: both are allowed where either is. */
static int on_numbers(struct pprof *pprof, struct protobuf_field *field, unsigned *column,
		      uint64_t *values)
{
	bool packed = field->wire == PROTOBUF_BYTES;
	int r = 0;

	while (!r && (!packed || reader_left(&field->bytes))) {
		uint64_t value = packed ? protobuf_varint(&field->bytes) : field->value;

		if (packed && !reader_ok(&field->bytes))
			break;
		if (field->number == PPROF_SAMPLE_LOCATION)
			r = push_location(pprof, value);
		else
			on_value(pprof, column, value, values);
		if (!packed)
			break;
	}
	if (packed && !reader_ok(&field->bytes))
		pprof->bad = field->bytes.bad;
	return r;
}

static int on_sample(struct pprof *pprof, struct reader *message, uint64_t number)
{
	struct profile_sample sample = {.process = PROFILE_NONE};
	uint64_t values[PROFILE_VALUES_MAX] = {0};
	struct protobuf_field field;
	unsigned column = 0;
	size_t count;
	int r = 0;

	pprof->frames.count = 0;
	pprof->bad = NULL;
	while (!r && !pprof->bad && protobuf_next(message, &field)) {
		if (field.number == PPROF_SAMPLE_LOCATION || field.number == PPROF_SAMPLE_VALUE)
			r = on_numbers(pprof, &field, &column, values);
		else if (field.number == PPROF_SAMPLE_LABEL && field.wire == PROTOBUF_BYTES)
			r = on_label(pprof, &field.bytes, &sample);
	}
	if (r)
		return r;
	if (!pprof->bad)
		pprof->bad = message->bad;
	if (pprof->bad) {
		malformed_add(&pprof->malformed, number, pprof->bad);
		return 0;
	}
	count = pprof->frames.count;
	for (size_t i = 0; i < count / 2; i++) {
		uint32_t swapped = pprof->frames.items[i];

		pprof->frames.items[i] = pprof->frames.items[count - 1 - i];
		pprof->frames.items[count - 1 - i] = swapped;
	}
	return import_add_sample(pprof->profile, pprof->frames.items, count, &sample, values);
}

static int damaged(struct input *input, const struct reader *reader)
{
	return error_set(&input->error, -EBADMSG, "damaged at byte %zu of the message: %s",
			 reader->bad_at, reader->bad);
}

static int read_message(struct pprof *pprof, struct input *input, const char *bytes, size_t n)
{
	struct protobuf_field field;
	struct reader reader;
	uint64_t number = 0;
	int r = 0;

	reader_init(&reader, bytes, n);
	while (!r && protobuf_next(&reader, &field))
		r = on_field(pprof, &field);
	if (!r && !reader_ok(&reader))
		return damaged(input, &reader);
	if (!r && !pprof->columns)
		return error_set(&input->error, -EBADMSG, "no sample types in it");
	if (!r)
		r = add_value_types(pprof);
	reader_init(&reader, bytes, n);
	while (!r && protobuf_next(&reader, &field)) {
		if (field.number == PPROF_SAMPLE && field.wire == PROTOBUF_BYTES)
			r = on_sample(pprof, &field.bytes, ++number);
	}
	return r ? r : malformed_report(&pprof->malformed, "sample", pprof->profile);
}

/* A walk over the first fields: each must be one that a profile has. */
bool format_pprof_recognises(const char *head, size_t n)
{
	struct protobuf_field field;
	struct reader reader;
	unsigned fields = 0;

	reader_init(&reader, head, n);
	for (; protobuf_next(&reader, &field); fields++) {
		bool message = field.number < PPROF_TIME_NANOS || field.number == PPROF_PERIOD_TYPE;

		if (field.number > PPROF_DOC_URL ||
		    (message ? field.wire != PROTOBUF_BYTES && field.number < 7
			     : field.wire != PROTOBUF_VARINT && field.number != PPROF_COMMENT))
			return false;
	}
	/* The head may end within a field, but not with its first bytes. */
	return fields > 1 && (reader_ok(&reader) || !strcmp(reader.bad, "end of data"));
}

int format_pprof_read(struct input *input, const struct format_read_options *options,
		      struct profile *profile)
{
	struct pprof pprof = {.profile = profile};
	size_t n;
	const char *bytes = input_all(input, &n);
	int r = bytes ? read_message(&pprof, input, bytes, n) : input->error.code;

	(void)options;
	vec_free(&pprof.strings);
	vec_free(&pprof.mappings);
	vec_free(&pprof.functions);
	vec_free(&pprof.locations);
	vec_free(&pprof.location_frames);
	vec_free(&pprof.frames);
	hashmap_deinit(&pprof.mapping_index);
	hashmap_deinit(&pprof.function_index);
	hashmap_deinit(&pprof.location_index);
	hashmap_deinit(&pprof.processes);
	return r;
}

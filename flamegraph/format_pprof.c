/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "pprof": Google's profile.proto with gzip around it, for `go tool pprof`, pprof's web
 * page, Grafana, Speedscope and whatever else reads it.
 *
 * All values are in it, the one that is drawn last and as the default: readers that do
 * not know the default take the last. Frames without a source have a function all the
 * same, since readers drop those without. Inlined frames share the location of the
 * function they are in. Threads' names and pids are labels. What was lost stands in the
 * comments. There is no time axis in the format: buckets are summed.
 */
#include "flamegraph/format.h"

#include <string.h>
#include <zlib.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/pprof.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/protobuf.h"
#include "flamegraph/sample_order.h"
#include "flamegraph/summary.h"
#include "flamegraph/text.h"
#include "flamegraph/token_cache.h"

#define GZIP_LEVEL 6
#define GZIP_WINDOW (15 + 16)
#define PATH_MODULE "[kernel.kallsyms]" /* what others call the kernel */

struct writer {
	const struct format_job *job;
	struct strbuf out; /* the message */
	struct strbuf message, line, text; /* scratch */
	uint32_t *strings; /* of the profile -> theirs + 1; 0: not yet there */
	uint32_t string_count;
	struct token_cache texts; /* strings that are not the profile's -> theirs */
	struct token_cache functions; /* (name, file) -> id */
	struct token_cache locations; /* frames -> id */
	uint32_t *mappings; /* string of the profile -> id; 0: not yet there */
	uint32_t function_count, location_count, mapping_count;
	bool failed;
};

static uint32_t put_text(struct writer *writer, const char *text, size_t n)
{
	uint32_t hash;
	uint32_t id;

	strbuf_clear(&writer->text);
	text_put(&writer->text, text, n);
	text = strbuf_text(&writer->text);
	n = writer->text.length;
	hash = token_hash(text, n);
	id = token_cache_get(&writer->texts, hash, text, n);
	if (id != TOKEN_NONE)
		return id;
	protobuf_put_bytes(&writer->out, PPROF_STRING_TABLE, text, n);
	id = writer->string_count++;
	if (token_cache_put(&writer->texts, hash, text, n, id))
		writer->failed = true;
	return id;
}

static uint32_t put_string(struct writer *writer, uint32_t string)
{
	const struct strtab *strings = &writer->job->profile->strings;

	if (!writer->strings[string])
		writer->strings[string] = 1 + put_text(writer, strtab_get(strings, string),
						       strtab_length(strings, string));
	return writer->strings[string] - 1;
}

/* Ids are given in the order of first use. True: it is a new one. */
static bool find_id(struct writer *writer, struct token_cache *cache, const void *key, size_t n,
		    uint32_t *count, uint32_t *ret)
{
	uint32_t hash = token_hash(key, n);

	*ret = token_cache_get(cache, hash, key, n);
	if (*ret != TOKEN_NONE)
		return false;
	*ret = ++*count;
	if (token_cache_put(cache, hash, key, n, *ret))
		writer->failed = true;
	return true;
}

static uint32_t put_mapping(struct writer *writer, const struct profile_frame *frame)
{
	static const char kernel[] = PATH_MODULE;
	uint32_t module = frame->module, name;
	struct strbuf *message = &writer->message;

	if (!module && frame->kind != FRAME_KERNEL)
		return 0;
	if (writer->mappings[module])
		return writer->mappings[module];
	name = frame->kind == FRAME_KERNEL && !module ? put_text(writer, kernel, sizeof(kernel) - 1)
						      : put_string(writer, module);
	writer->mappings[module] = ++writer->mapping_count;
	strbuf_clear(message);
	protobuf_put_u64(message, PPROF_MAPPING_ID, writer->mapping_count);
	protobuf_put_u64(message, PPROF_MAPPING_LIMIT, UINT64_MAX);
	protobuf_put_u64(message, PPROF_MAPPING_FILENAME, name);
	protobuf_put_u64(message, PPROF_MAPPING_HAS_FUNCTIONS, 1);
	protobuf_put_u64(message, PPROF_MAPPING_HAS_INLINE, 1);
	protobuf_put_bytes(&writer->out, PPROF_MAPPING, message->data, message->length);
	return writer->mapping_count;
}

static uint32_t put_function(struct writer *writer, const struct profile_frame *frame)
{
	static const char unknown[] = "[unknown]";
	uint32_t key[2] = {frame->name, frame->file}, id, name, file;
	struct strbuf *message = &writer->message;

	if (!find_id(writer, &writer->functions, (const char *)key, sizeof(key),
		     &writer->function_count, &id))
		return id;
	name = frame->name ? put_string(writer, frame->name)
			   : put_text(writer, unknown, sizeof(unknown) - 1);
	file = put_string(writer, frame->file);
	strbuf_clear(message);
	protobuf_put_u64(message, PPROF_FUNCTION_ID, id);
	protobuf_put_u64(message, PPROF_FUNCTION_NAME, name);
	protobuf_put_u64(message, PPROF_FUNCTION_SYSTEM_NAME, name);
	protobuf_put_u64(message, PPROF_FUNCTION_FILENAME, file);
	protobuf_put_bytes(&writer->out, PPROF_FUNCTION, message->data, message->length);
	return id;
}

/* `frames`: a function and what is inlined in it, in this order. */
static uint32_t put_location(struct writer *writer, const uint32_t *frames, size_t count)
{
	const struct profile_frame *all = writer->job->profile->frames.items;
	const struct profile_frame *outer = &all[frames[0]];
	_cleanup_(strbuf_deinit) struct strbuf location = {0};
	uint32_t id, mapping;

	if (!find_id(writer, &writer->locations, (const char *)frames, count * sizeof(*frames),
		     &writer->location_count, &id))
		return id;
	mapping = put_mapping(writer, outer);
	protobuf_put_u64(&location, PPROF_LOCATION_ID, id);
	protobuf_put_u64(&location, PPROF_LOCATION_MAPPING, mapping);
	protobuf_put_u64(&location, PPROF_LOCATION_ADDRESS, outer->address);
	for (size_t i = count; i-- > 0;) {
		uint32_t function = put_function(writer, &all[frames[i]]);

		strbuf_clear(&writer->line);
		protobuf_put_u64(&writer->line, PPROF_LINE_FUNCTION, function);
		protobuf_put_u64(&writer->line, PPROF_LINE_LINE, all[frames[i]].line);
		protobuf_put_bytes(&location, PPROF_LOCATION_LINE, writer->line.data,
				   writer->line.length);
	}
	protobuf_put_bytes(&writer->out, PPROF_LOCATION, location.data, location.length);
	writer->failed |= strbuf_error(&location) < 0;
	return id;
}

/* Packed ids of the stack's locations, the leaf's first. */
static void put_stack(struct writer *writer, uint32_t stack, struct strbuf *ids)
{
	const struct profile *profile = writer->job->profile;
	size_t end, begin;
	const uint32_t *frames = profile_stack_frames(profile, stack, &end);

	for (; end; end = begin) {
		begin = end - 1;
		while (begin && profile->frames.items[frames[begin]].kind == FRAME_INLINE)
			begin--;
		protobuf_put_varint(ids, put_location(writer, frames + begin, end - begin));
	}
}

static void put_label(struct writer *writer, struct strbuf *message, const char *key, uint32_t text,
		      uint64_t number)
{
	uint32_t name = put_text(writer, key, strlen(key));

	strbuf_clear(&writer->line);
	protobuf_put_u64(&writer->line, PPROF_LABEL_KEY, name);
	protobuf_put_u64(&writer->line, PPROF_LABEL_STR, text);
	protobuf_put_u64(&writer->line, PPROF_LABEL_NUM, number);
	protobuf_put_bytes(message, PPROF_SAMPLE_LABEL, writer->line.data, writer->line.length);
}

/* The i-th value type that is written: the one drawn is the last. */
static uint32_t type_at(const struct format_job *job, uint32_t i)
{
	if (i + 1 == job->profile->value_type_count)
		return job->value_type;
	return i < job->value_type ? i : i + 1;
}

static void put_sample(struct writer *writer, const struct profile_sample *sample,
		       const uint64_t *values)
{
	const struct profile *profile = writer->job->profile;
	_cleanup_(strbuf_deinit) struct strbuf message = {0}, packed = {0};
	uint32_t comm;

	put_stack(writer, sample->stack, &packed);
	if (packed.length)
		protobuf_put_bytes(&message, PPROF_SAMPLE_LOCATION, packed.data, packed.length);
	strbuf_clear(&packed);
	for (uint32_t i = 0; i < profile->value_type_count; i++) {
		uint64_t value = values[type_at(writer->job, i)];

		protobuf_put_varint(&packed, value > INT64_MAX ? INT64_MAX : value);
	}
	protobuf_put_bytes(&message, PPROF_SAMPLE_VALUE, packed.data, packed.length);
	if (sample->comm) {
		comm = put_string(writer, sample->comm);
		put_label(writer, &message, PPROF_LABEL_THREAD, comm, 0);
	}
	if (sample->process != PROFILE_NONE)
		put_label(writer, &message, PPROF_LABEL_PID, 0,
			  profile->processes.items[sample->process].pid);
	protobuf_put_bytes(&writer->out, PPROF_SAMPLE, message.data, message.length);
	writer->failed |= strbuf_error(&message) || strbuf_error(&packed);
}

static void put_samples(struct writer *writer, const uint32_t *order)
{
	const struct profile *profile = writer->job->profile;
	size_t width = profile->value_type_count, next;

	for (size_t i = 0; i < profile->samples.count; i = next) {
		const struct profile_sample *sample = &profile->samples.items[order[i]];
		uint64_t values[PROFILE_VALUES_MAX] = {0}, any = 0;

		for (next = i; next < profile->samples.count; next++) {
			const struct profile_sample *like = &profile->samples.items[order[next]];
			const uint64_t *add = profile->values.items + order[next] * width;

			if (like->stack != sample->stack || like->comm != sample->comm ||
			    like->process != sample->process)
				break;
			for (size_t v = 0; v < width; v++) {
				values[v] = profile_sum(values[v], add[v]);
				any |= add[v];
			}
		}
		if (any)
			put_sample(writer, sample, values);
	}
}

/* Sample types are names for expressions: no '-'. */
static uint32_t put_type_name(struct writer *writer, uint32_t string)
{
	char name[128];

	snprintf(name, sizeof(name), "%s", profile_text(writer->job->profile, string));
	for (char *at = name; *at; at++) {
		if (*at == '-')
			*at = '_';
	}
	return put_text(writer, name, strlen(name));
}

static void put_type(struct writer *writer, uint32_t number, uint32_t value_type)
{
	const struct profile_value_type *type = &writer->job->profile->value_types[value_type];
	uint32_t name = put_type_name(writer, type->name), unit = put_string(writer, type->unit);

	strbuf_clear(&writer->message);
	protobuf_put_u64(&writer->message, PPROF_VALUE_TYPE_TYPE, name);
	protobuf_put_u64(&writer->message, PPROF_VALUE_TYPE_UNIT, unit);
	protobuf_put_bytes(&writer->out, number, writer->message.data, writer->message.length);
}

/* put_text() writes into `out`: strings first, then what refers to them. */
static void put_comments(struct writer *writer)
{
	const struct format_job *job = writer->job;
	_cleanup_(strbuf_deinit) struct strbuf text = {0};
	VEC(uint32_t) ids = {0};

	strbuf_puts(&text, job->title);
	writer->failed |= vec_push(&ids, put_text(writer, strbuf_text(&text), text.length)) < 0;
	for (size_t i = 0; i < job->profile->counts.count; i++) {
		strbuf_clear(&text);
		summary_put_count(&text, job->profile, &job->profile->counts.items[i]);
		writer->failed |=
			vec_push(&ids, put_text(writer, strbuf_text(&text), text.length)) < 0;
	}
	for (size_t i = 0; i < ids.count; i++) {
		protobuf_put_varint(&writer->out, PPROF_COMMENT << 3 | PROTOBUF_VARINT);
		protobuf_put_varint(&writer->out, ids.items[i]);
	}
	vec_free(&ids);
	writer->failed |= strbuf_error(&text) < 0;
}

static void put_all(struct writer *writer, const uint32_t *order)
{
	const struct format_job *job = writer->job;
	const struct profile *profile = job->profile;
	uint32_t name;

	put_text(writer, "", 0); /* the first string is the empty one */
	for (uint32_t i = 0; i < profile->value_type_count; i++)
		put_type(writer, PPROF_SAMPLE_TYPE, type_at(job, i));
	put_samples(writer, order);
	protobuf_put_u64(&writer->out, PPROF_TIME_NANOS, profile->start_ns);
	protobuf_put_u64(&writer->out, PPROF_DURATION_NANOS, profile->duration_ns);
	if (profile->frequency_hz && !strcmp(job->value_unit, "nanoseconds")) {
		put_type(writer, PPROF_PERIOD_TYPE, job->value_type);
		protobuf_put_u64(&writer->out, PPROF_PERIOD, 1000000000 / profile->frequency_hz);
	}
	name = put_type_name(writer, profile->value_types[job->value_type].name);
	protobuf_put_u64(&writer->out, PPROF_DEFAULT_SAMPLE_TYPE, name);
	put_comments(writer);
	writer->failed |= strbuf_error(&writer->out) || strbuf_error(&writer->message) ||
			  strbuf_error(&writer->line) || strbuf_error(&writer->text);
}

static int deflate_to(const struct strbuf *bytes, FILE *out)
{
	z_stream zlib = {.next_in = (Bytef *)bytes->data};
	size_t left = bytes->length;
	uint8_t block[65536];
	int r;

	if (deflateInit2(&zlib, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	do {
		if (!zlib.avail_in) {
			zlib.avail_in = left > UINT32_MAX ? UINT32_MAX : (uInt)left;
			left -= zlib.avail_in;
		}
		zlib.next_out = block;
		zlib.avail_out = sizeof(block);
		r = deflate(&zlib, left ? Z_NO_FLUSH : Z_FINISH);
		fwrite(block, 1, sizeof(block) - zlib.avail_out, out);
	} while (r == Z_OK);
	deflateEnd(&zlib);
	return r == Z_STREAM_END ? 0 : -EIO;
}

int format_pprof_write(const struct format_job *job, FILE *out)
{
	size_t strings = strtab_count(&job->profile->strings);
	_cleanup_free_ uint32_t *order = sample_order(job->profile, false);
	struct writer writer = {
		.job = job,
		.strings = calloc(strings, sizeof(*writer.strings)),
		.mappings = calloc(strings, sizeof(*writer.mappings)),
	};
	int r = -ENOMEM;

	if (order && writer.strings && writer.mappings) {
		put_all(&writer, order);
		r = writer.failed ? -ENOMEM : deflate_to(&writer.out, out);
	}
	strbuf_deinit(&writer.out);
	strbuf_deinit(&writer.message);
	strbuf_deinit(&writer.line);
	strbuf_deinit(&writer.text);
	free(writer.strings);
	free(writer.mappings);
	token_cache_deinit(&writer.texts);
	token_cache_deinit(&writer.functions);
	token_cache_deinit(&writer.locations);
	return r;
}

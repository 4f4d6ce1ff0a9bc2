/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define MAPPING_EXECUTABLE 1u
#define MAPPING_DELETED 2u

static const struct wire_kind_info kinds[] = {
	[WIRE_HELLO] = {"hello", 8, 1024, false},
	[WIRE_IMAGE_OPEN] = {"open a file", 4, 512, true},
	[WIRE_IMAGE_DROP] = {"forget a file", 4, 0, false},
	[WIRE_IMAGE_DEBUG] = {"add a debug file", 4, 64, true},
	[WIRE_IMAGE_WANTED] = {"tell which files it lacks", 8 + 8 * WIRE_ADDRESSES_MAX, 512u << 10,
			       false},
	[WIRE_IMAGE_PART] = {"add a file with more debug information", 8, 64, true},
	[WIRE_IMAGE_NAMES] = {"names of a file", 8 + 8 * WIRE_ADDRESSES_MAX, 64u << 20, false},
	[WIRE_KERNEL_LOAD] = {"read the kernel's symbols", 0, 64, true},
	[WIRE_KERNEL_NAMES] = {"names of the kernel", 8 * WIRE_ADDRESSES_MAX, 64u << 20, false},
	[WIRE_MAPS] = {"read a process's mappings", 0, 128u << 20, true},
	[WIRE_UNWIND] = {"make an unwind table", 4, 256u << 20, true},
	[WIRE_JIT_NAMES] = {"names of a perf map", 4 + 8 * WIRE_ADDRESSES_MAX, 64u << 20, true},
	[WIRE_JVM] = {"read a Java machine's layout", 16, 1024, true},
	[WIRE_LIBC] = {"find a C library's functions", 16, 4096, true},
	[WIRE_PROBES] = {"find places for probes", 4, 4096, true},
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == WIRE_KIND_COUNT, "a row for each kind");

const struct wire_kind_info *wire_kind_info(uint32_t kind)
{
	return kind < WIRE_KIND_COUNT ? &kinds[kind] : NULL;
}

void wire_put_header(uint8_t bytes[WIRE_HEADER_SIZE], const struct wire_header *header)
{
	uint32_t id = htole32(header->id), size = htole32(header->size);
	uint16_t kind = htole16(header->kind), flags = htole16(header->flags);
	uint32_t error = htole32((uint32_t)header->error);

	memcpy(bytes, &id, 4);
	memcpy(bytes + 4, &kind, 2);
	memcpy(bytes + 6, &flags, 2);
	memcpy(bytes + 8, &error, 4);
	memcpy(bytes + 12, &size, 4);
}

bool wire_get_header(const void *packet, size_t size, struct wire_header *ret)
{
	struct wire_header header;
	struct reader reader;

	reader_init(&reader, packet, size);
	header.id = reader_u32(&reader);
	header.kind = reader_u16(&reader);
	header.flags = reader_u16(&reader);
	header.error = (int32_t)reader_u32(&reader);
	header.size = reader_u32(&reader);
	if (!reader_ok(&reader) || header.size != reader_left(&reader))
		return false;
	*ret = header;
	return true;
}

void wire_out_deinit(struct wire_out *out)
{
	strtab_deinit(&out->strings);
	vec_free(&out->numbers);
	strbuf_deinit(&out->texts);
	strbuf_deinit(&out->records);
	*out = (struct wire_out){0};
}

void wire_out_clear(struct wire_out *out)
{
	struct strbuf texts = out->texts, records = out->records;

	if (texts.capacity + records.capacity > WIRE_KEPT_MAX || texts.failed || records.failed) {
		wire_out_deinit(out);
		return;
	}
	out->texts = out->records = (struct strbuf){0};
	wire_out_deinit(out);
	strbuf_clear(&texts);
	strbuf_clear(&records);
	out->texts = texts;
	out->records = records;
}

static uint8_t *put_u32(uint8_t *to, uint32_t value)
{
	value = htole32(value);
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

/* Their count, which is known in the end, and the first one, which is always "". */
static void begin_texts(struct wire_out *out)
{
	strbuf_u32(&out->texts, 0);
	strbuf_bytes(&out->texts, "", 0);
	strbuf_u8(&out->texts, 0);
}

uint32_t wire_out_text(struct wire_out *out, const char *text, size_t length)
{
	uint8_t *to;

	if (!length)
		return 0;
	if (!out->texts.length)
		begin_texts(out);
	to = strbuf_room(&out->texts, sizeof(uint32_t) + length + 1);
	if (!to) /* seen when the answer is finished */
		return 0;
	memcpy(put_u32(to, (uint32_t)length), text, length);
	to[sizeof(uint32_t) + length] = 0;
	out->texts.length += sizeof(uint32_t) + length + 1;
	return ++out->text_count;
}

static int put_string(struct wire_out *out, const char *text, size_t max)
{
	size_t length = text ? strnlen(text, max) : 0;
	uint32_t id = strtab_add(&out->strings, length ? text : "", length);

	if (id == UINT32_MAX)
		return -ENOMEM;
	if (!out->numbers.count && vec_push(&out->numbers, 0) < 0)
		return -ENOMEM;
	if (id == out->numbers.count &&
	    vec_push(&out->numbers, wire_out_text(out, text, length)) < 0)
		return -ENOMEM;
	strbuf_u32(&out->records, out->numbers.items[id]);
	return 0;
}

uint8_t *wire_out_frames(struct wire_out *out, uint32_t count, uint64_t start, uint32_t size)
{
	size_t bytes = WIRE_NAME_HEAD + (size_t)count * WIRE_FRAME_SIZE;
	uint8_t *to = strbuf_room(&out->records, bytes);

	if (!to)
		return NULL;
	out->count++;
	out->records.length += bytes;
	*to = (uint8_t)count;
	start = htole64(start);
	memcpy(to + 1, &start, sizeof(start));
	return put_u32(to + 1 + sizeof(start), size);
}

int wire_out_name(struct wire_out *out, const struct symbolizer_frame *frames, uint32_t count)
{
	int r = 0;

	if (!count)
		return wire_out_nameless(out, 0, 0);
	if (count > WIRE_FRAMES_MAX)
		count = WIRE_FRAMES_MAX;
	strbuf_u8(&out->records, (uint8_t)count);
	strbuf_u64(&out->records, 0);
	strbuf_u32(&out->records, 0);
	for (uint32_t i = 0; i < count && !r; i++) {
		r = put_string(out, frames[i].name, WIRE_NAME_MAX);
		if (!r)
			r = put_string(out, frames[i].module, WIRE_NAME_MAX);
		if (!r)
			r = put_string(out, frames[i].file, WIRE_NAME_MAX);
		strbuf_u32(&out->records, frames[i].line);
		strbuf_u8(&out->records, frames[i].inlined);
	}
	out->count++;
	return r ? r : strbuf_error(&out->records);
}

int wire_out_nameless(struct wire_out *out, uint64_t start, uint32_t size)
{
	return wire_out_frames(out, 0, start, size) ? 0 : -ENOMEM;
}

int wire_out_mapping(struct wire_out *out, const struct symbolizer_mapping *mapping)
{
	uint8_t flags = (mapping->executable ? MAPPING_EXECUTABLE : 0) |
			(mapping->deleted ? MAPPING_DELETED : 0);
	int r;

	strbuf_u64(&out->records, mapping->start);
	strbuf_u64(&out->records, mapping->length);
	strbuf_u64(&out->records, mapping->offset);
	strbuf_u64(&out->records, mapping->inode);
	strbuf_u32(&out->records, mapping->dev_major);
	strbuf_u32(&out->records, mapping->dev_minor);
	r = put_string(out, mapping->path, WIRE_PATH_MAX);
	strbuf_u8(&out->records, flags);
	out->count++;
	return r ? r : strbuf_error(&out->records);
}

int wire_out_finish(struct wire_out *out, struct strbuf *ret)
{
	uint32_t count = htole32(out->text_count + 1);

	if (!out->texts.length)
		begin_texts(out);
	if (strbuf_error(&out->texts) || strbuf_error(&out->records))
		return -ENOMEM;
	memcpy(out->texts.data, &count, sizeof(count));
	if (!ret->length && !strbuf_error(ret)) {
		struct strbuf empty = *ret;

		*ret = out->texts;
		out->texts = empty;
	} else {
		strbuf_append(ret, out->texts.data, out->texts.length);
	}
	strbuf_u32(ret, out->count);
	strbuf_append(ret, out->records.data, out->records.length);
	return strbuf_error(ret);
}

void wire_names_deinit(struct wire_names *names)
{
	vec_free(&names->strings);
	vec_free(&names->frames);
	vec_free(&names->names);
}

void wire_mappings_deinit(struct wire_mappings *mappings)
{
	vec_free(&mappings->strings);
	vec_free(&mappings->mappings);
}

static int fail(const struct reader *reader, struct error *error)
{
	return error_set(error, -EBADMSG, "the worker's answer is damaged at byte %zu: %s",
			 reader->bad_at, reader->bad);
}

typedef VEC(const char *) strings_vec;

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Without a way out of the loop, so that it is done many bytes at a time. */
static bool has_control(const char *bytes, size_t length)
{
	bool any = false;

	for (size_t i = 0; i < length; i++)
		any |= is_control(bytes[i]);
	return any;
}

/* NULL (and a failure) for a string that is too long or not terminated. */
static const char *get_string(struct reader *reader, char *payload, size_t max, bool clean)
{
	size_t at, length = 0;
	const void *bytes = reader_bytes(reader, max, &length);
	const uint8_t *end = reader_take(reader, 1);

	if (!bytes || !end)
		return NULL;
	if (*end || memchr(bytes, 0, length)) {
		reader_fail(reader, "a string with a NUL inside or none behind");
		return NULL;
	}
	at = (size_t)((const char *)bytes - payload);
	if (clean && has_control(payload + at, length)) {
		for (size_t i = 0; i < length; i++) {
			if (is_control(payload[at + i]))
				payload[at + i] = '?';
		}
	}
	return payload + at;
}

static int get_strings(struct reader *reader, char *payload, size_t max, bool clean,
		       strings_vec *ret)
{
	uint32_t count = reader_u32(reader);

	/* Each takes five bytes at least: no count can ask for more memory. */
	if (count > reader_left(reader) / 5)
		reader_fail(reader, "more strings than bytes");
	for (uint32_t i = 0; i < count && reader_ok(reader); i++) {
		const char *text = get_string(reader, payload, max, clean);

		if (text && vec_push(ret, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

static const char *string_at(struct reader *reader, const strings_vec *strings)
{
	uint32_t id = reader_u32(reader);

	if (id < strings->count)
		return strings->items[id];
	if (reader_ok(reader))
		reader_fail(reader, "a string that is not there");
	return "";
}

static uint32_t take_u32(const uint8_t **bytes)
{
	uint32_t value;

	memcpy(&value, *bytes, sizeof(value));
	*bytes += sizeof(value);
	return le32toh(value);
}

/* "" (and a failure) for one that is not there. */
static const char *string_of(struct reader *reader, const strings_vec *strings, uint32_t id)
{
	if (id < strings->count)
		return strings->items[id];
	reader_fail(reader, "a string that is not there");
	return "";
}

static void get_frame(struct reader *reader, const strings_vec *strings, const uint8_t *bytes,
		      struct symbolizer_frame *ret)
{
	ret->name = string_of(reader, strings, take_u32(&bytes));
	ret->module = string_of(reader, strings, take_u32(&bytes));
	ret->file = string_of(reader, strings, take_u32(&bytes));
	ret->line = take_u32(&bytes);
	ret->inlined = *bytes != 0;
	if (reader_ok(reader) && !ret->name[0])
		reader_fail(reader, "an empty name");
}

static int get_frames(struct reader *reader, const strings_vec *strings, struct wire_names *names)
{
	struct symbolizer_name name = {.frame_count = reader_u8(reader)};
	uint32_t count = name.frame_count;
	const uint8_t *bytes;

	name.start = reader_u64(reader);
	name.size = reader_u32(reader);
	if (count > WIRE_FRAMES_MAX)
		reader_fail(reader, "too many frames for one address");
	bytes = reader_ok(reader) && count ? reader_take(reader, (size_t)count * WIRE_FRAME_SIZE)
					   : NULL;
	if (bytes && vec_reserve(&names->frames, names->frames.count + count) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; bytes && i < count && reader_ok(reader); i++, bytes += WIRE_FRAME_SIZE)
		get_frame(reader, strings, bytes, &names->frames.items[names->frames.count++]);
	return vec_push(&names->names, name);
}

static int read_names(struct reader *reader, char *payload, size_t expected,
		      struct wire_names *names)
{
	strings_vec strings = {0};
	size_t at = 0;
	int r = get_strings(reader, payload, WIRE_NAME_MAX, true, &strings);

	if (!r && reader_u32(reader) != expected)
		reader_fail(reader, "not as many names as addresses");
	for (size_t i = 0; i < expected && !r && reader_ok(reader); i++)
		r = get_frames(reader, &strings, names);
	if (!r && reader_ok(reader) && reader_left(reader))
		reader_fail(reader, "bytes behind the end");
	for (size_t i = 0; i < names->names.count && reader_ok(reader) && !r; i++) {
		if (!names->names.items[i].frame_count)
			continue; /* there may be no frame at all to point to */
		names->names.items[i].frames = names->frames.items + at;
		at += names->names.items[i].frame_count;
	}
	names->strings.items = strings.items;
	names->strings.count = strings.count;
	names->strings.capacity = strings.capacity;
	return r;
}

int wire_get_names(void *payload, size_t size, size_t expected, struct error *error,
		   struct wire_names *ret)
{
	struct wire_names names = {0};
	struct reader reader;
	int r;

	reader_init(&reader, payload, size);
	r = read_names(&reader, payload, expected, &names);
	if (r < 0)
		error_set(error, r, "out of memory for %zu names", expected);
	else if (!reader_ok(&reader))
		r = fail(&reader, error);
	if (r < 0) {
		wire_names_deinit(&names);
		return r;
	}
	*ret = names;
	return 0;
}

static int get_mapping(struct reader *reader, const strings_vec *strings,
		       struct wire_mappings *mappings)
{
	struct symbolizer_mapping mapping = {0};
	uint8_t flags;

	mapping.start = reader_u64(reader);
	mapping.length = reader_u64(reader);
	mapping.offset = reader_u64(reader);
	mapping.inode = reader_u64(reader);
	mapping.dev_major = reader_u32(reader);
	mapping.dev_minor = reader_u32(reader);
	mapping.path = string_at(reader, strings);
	flags = reader_u8(reader);
	mapping.executable = flags & MAPPING_EXECUTABLE;
	mapping.deleted = flags & MAPPING_DELETED;
	if (reader_ok(reader) && mapping.start + mapping.length < mapping.start)
		reader_fail(reader, "a mapping beyond the address space");
	return reader_ok(reader) ? vec_push(&mappings->mappings, mapping) : 0;
}

static int read_mappings(struct reader *reader, char *payload, struct wire_mappings *mappings)
{
	strings_vec strings = {0};
	int r = get_strings(reader, payload, WIRE_PATH_MAX, false, &strings);
	uint32_t count = r ? 0 : reader_u32(reader);

	if (count > WIRE_MAPPINGS_MAX)
		reader_fail(reader, "too many mappings");
	for (uint32_t i = 0; i < count && !r && reader_ok(reader); i++)
		r = get_mapping(reader, &strings, mappings);
	if (!r && reader_ok(reader) && reader_left(reader))
		reader_fail(reader, "bytes behind the end");
	mappings->strings.items = strings.items;
	mappings->strings.count = strings.count;
	mappings->strings.capacity = strings.capacity;
	return r;
}

int wire_get_mappings(void *payload, size_t size, struct error *error, struct wire_mappings *ret)
{
	struct wire_mappings mappings = {0};
	struct reader reader;
	int r;

	reader_init(&reader, payload, size);
	r = read_mappings(&reader, payload, &mappings);
	if (r < 0)
		error_set(error, r, "out of memory for mappings");
	else if (!reader_ok(&reader))
		r = fail(&reader, error);
	if (r < 0) {
		wire_mappings_deinit(&mappings);
		return r;
	}
	*ret = mappings;
	return 0;
}

int wire_get_image(const void *payload, size_t size, struct error *error,
		   struct symbolizer_image *ret)
{
	struct symbolizer_image image = {0};
	const void *build_id, *name;
	struct reader reader;
	size_t length = 0;

	reader_init(&reader, payload, size);
	build_id = reader_take(&reader, sizeof(image.build_id));
	if (build_id)
		memcpy(image.build_id, build_id, sizeof(image.build_id));
	image.build_id_size = reader_u8(&reader);
	image.symbols = reader_u32(&reader);
	name = reader_bytes(&reader, sizeof(image.debug_name) - 1, &length);
	/* It goes to a system call that opens it: a last part of a path, and nothing else. */
	if (name && (memchr(name, '/', length) || memchr(name, 0, length)))
		reader_fail(&reader, "a debug file's name that is none");
	if (name)
		memcpy(image.debug_name, name, length);
	image.has_parts = reader_u8(&reader) != 0;
	image.debug_info = reader_u8(&reader) != 0;
	if (image.build_id_size > sizeof(image.build_id))
		reader_fail(&reader, "a build id that is too long");
	if (reader_ok(&reader) && reader_left(&reader))
		reader_fail(&reader, "bytes behind the end");
	if (!reader_ok(&reader))
		return fail(&reader, error);
	*ret = image;
	return 0;
}

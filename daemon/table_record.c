/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/table_record.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "daemon/base/reader.h"

static const char magic[8] = {'p', 'f', 'd', 't', 'a', 'b', 'l', 'e'};
#define VERSION 1u
#define BUILD_ID_BYTES 24u
#define CHECKED_FROM 16u /* behind the checksum */
#define ERROR_MAX 4095u /* of the kernel's numbers */

_Static_assert(sizeof(struct file_identity) == 48 && sizeof(struct table_key) == 56, "no padding");
_Static_assert(ABI_BUILD_ID_MAX <= BUILD_ID_BYTES, "room for a build id");
_Static_assert(TABLE_RECORD_HEADER ==
		       8 + 8 + 4 + 4 + 8 + sizeof(struct table_key) + 8 + BUILD_ID_BYTES,
	       "the header's fields");

int table_record_header(const struct table_record *record, const struct table_key *key,
			const void *bytes, size_t size, struct strbuf *out)
{
	static const uint8_t zeros[BUILD_ID_BYTES];
	XXH3_state_t *state = XXH3_createState();
	uint64_t checksum;

	strbuf_append(out, magic, sizeof(magic));
	strbuf_u64(out, 0);
	strbuf_u32(out, VERSION);
	strbuf_u32(out, (uint32_t)-record->error);
	strbuf_u64(out, size);
	strbuf_append(out, key, sizeof(*key));
	strbuf_u64(out, record->build_id_size);
	strbuf_append(out, record->build_id, record->build_id_size);
	strbuf_append(out, zeros, BUILD_ID_BYTES - record->build_id_size);
	if (strbuf_error(out) || !state) {
		XXH3_freeState(state);
		return -ENOMEM;
	}
	XXH3_64bits_reset(state);
	XXH3_64bits_update(state, out->data + CHECKED_FROM, out->length - CHECKED_FROM);
	XXH3_64bits_update(state, bytes, size);
	checksum = XXH3_64bits_digest(state);
	XXH3_freeState(state);
	memcpy(out->data + sizeof(magic), &checksum, sizeof(checksum));
	return 0;
}

/* Anything but the header of a whole record of this key is a failure. */
static void read_header(struct reader *reader, const struct table_key *key,
			struct table_record *record)
{
	const void *found = reader_take(reader, sizeof(magic)), *id;
	uint64_t checksum = reader_u64(reader), size, id_size;
	uint32_t error;

	if (found && memcmp(found, magic, sizeof(magic)) != 0)
		reader_fail(reader, "no record");
	if (reader_ok(reader) &&
	    checksum != XXH3_64bits(reader->data + CHECKED_FROM, reader->size - CHECKED_FROM))
		reader_fail(reader, "the checksum does not agree");
	if (reader_u32(reader) != VERSION)
		reader_fail(reader, "another version");
	error = reader_u32(reader);
	size = reader_u64(reader);
	found = reader_take(reader, sizeof(*key));
	if (error > ERROR_MAX || (found && memcmp(found, key, sizeof(*key)) != 0))
		reader_fail(reader, "another file's");
	id_size = reader_u64(reader);
	id = reader_take(reader, BUILD_ID_BYTES);
	if (id_size > sizeof(record->build_id) || size != reader_left(reader))
		reader_fail(reader, "the sizes do not agree");
	if (!reader_ok(reader))
		return;
	record->error = -(int)error;
	memcpy(record->build_id, id, id_size);
	record->build_id_size = (uint8_t)id_size;
}

int table_record_parse(const void *bytes, size_t size, const struct table_key *key,
		       struct table_record *ret)
{
	struct table_record record = {0};
	struct reader reader;
	const void *rest;
	size_t left;
	int r;

	reader_init(&reader, bytes, size);
	read_header(&reader, key, &record);
	left = reader_left(&reader);
	if (record.error && left >= sizeof(record.text))
		reader_fail(&reader, "a text too long");
	rest = reader_take(&reader, left);
	if (!reader_ok(&reader))
		return -EBADMSG;
	if (record.error) {
		memcpy(record.text, rest, left);
	} else {
		r = unwind_table_decode(rest, left, NULL, &record.table);
		if (r < 0)
			return r;
	}
	*ret = record;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a record of an unwind table: refused, or taken as what they say,
 * and then encoded to the same header again. The record's key is asked for, and
 * the checksums are made right first, or nothing would get past them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "daemon/table_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECKSUM_AT 8
#define CHECKED_FROM 16
#define KEY_AT 32

static void make_checksum_right(uint8_t *bytes, size_t size)
{
	uint64_t checksum;

	if (size < CHECKED_FROM)
		return;
	checksum = XXH3_64bits(bytes + CHECKED_FROM, size - CHECKED_FROM);
	memcpy(bytes + CHECKSUM_AT, &checksum, sizeof(checksum));
}

static void check(const struct table_record *record, const struct table_key *key,
		  const uint8_t *bytes, size_t size)
{
	struct strbuf again = {0};

	if (record->build_id_size > sizeof(record->build_id) || record->error > 0 ||
	    !memchr(record->text, '\0', sizeof(record->text)) ||
	    (record->error && record->table.rows))
		abort();
	if (table_record_header(record, key, bytes + TABLE_RECORD_HEADER,
				size - TABLE_RECORD_HEADER, &again) ||
	    again.length != TABLE_RECORD_HEADER)
		abort();
	/* What fills the build id up is not looked at. */
	if (memcmp(again.data + CHECKED_FROM, bytes + CHECKED_FROM,
		   TABLE_RECORD_HEADER - CHECKED_FROM - 24) != 0)
		abort();
	strbuf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct table_record record;
	struct table_key key = {0};
	uint8_t *bytes = malloc(size ? size : 1);
	int r;

	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	if (size >= KEY_AT + sizeof(key))
		memcpy(&key, bytes + KEY_AT, sizeof(key));
	if (size > TABLE_RECORD_HEADER)
		make_checksum_right(bytes + TABLE_RECORD_HEADER, size - TABLE_RECORD_HEADER);
	make_checksum_right(bytes, size);
	r = table_record_parse(bytes, size, &key, &record);
	if (!r) {
		check(&record, &key, bytes, size);
		unwind_table_deinit(&record.table);
	} else if (r != -EBADMSG && r != -ENOMEM) {
		abort();
	}
	free(bytes);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a journal of the history: what can be read of it, and all else counted. The hashes
 * are made right first, or nothing would get past them; in every second input, so that the search
 * for the next window behind a damage is seen, too.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "daemon/history_journal.h"

#define SIZE_AT 4
#define HASH_AT 8
#define HEAD 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_hashes_right(uint8_t *bytes, size_t size)
{
	size_t at = 0;

	while (size - at >= HEAD) {
		uint32_t length;
		uint64_t hash;

		memcpy(&length, bytes + at + SIZE_AT, sizeof(length));
		if (length > size - at - HEAD)
			return;
		hash = XXH3_64bits(bytes + at + HEAD, length);
		memcpy(bytes + at + HASH_AT, &hash, sizeof(hash));
		at += HEAD + length;
	}
}

struct seen {
	uint64_t profiles, damages;
};

static void take(void *context, struct profile *profile, bool behind_damage)
{
	struct seen *seen = context;

	seen->profiles++;
	seen->damages += behind_damage;
	profile_destroy(profile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history_journal_lost lost = {0};
	struct seen seen = {0};
	uint8_t *bytes = malloc(size ? size : 1);

	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	if (size && !(bytes[size - 1] & 1))
		make_hashes_right(bytes, size);
	history_journal_parse(bytes, size, take, &seen, &lost);
	/* Of what is there, each byte is of a window or lost; only the last place has none behind
	 * it. */
	if (lost.bytes + seen.profiles * HEAD > size || (!seen.profiles && lost.bytes != size) ||
	    lost.places < seen.damages || lost.places > seen.damages + 1 ||
	    (lost.places && !lost.first.text[0]))
		abort();
	free(bytes);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a frame: refused with a text, or taken with all the fields its
 * message must have, none it may not have, and no value past the frame's end.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct message *message, const uint8_t *payload, size_t size)
{
	const uint8_t *end = payload + size;

	if ((message->info->must & ~message->present) ||
	    (message->present & ~(message->info->must | message->info->may)))
		abort();
	for (unsigned int field = 1; field < FIELD_END_OF_TAGS; field++) {
		const struct message_value *value = &message->values[field];
		const uint8_t *bytes = (const uint8_t *)value->bytes;

		if (!message_has(message, field)) {
			if (value->number || value->bytes || *message_text(message, field))
				abort();
		} else if (bytes && (bytes < payload || bytes > end ||
				     value->size > (size_t)(end - bytes))) {
			abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct protocol_header header;
	struct message message;
	struct error error = {0};

	if (size < PROTOCOL_HEADER_SIZE)
		return 0;
	protocol_header_decode(data, &header);
	if (protocol_header_check(&header, PROTOCOL_REPLY_MAX, &error)) {
		if (!error.text[0])
			abort();
		header.version = PROTOCOL_VERSION; /* its fields are of interest all the same */
	}
	data += PROTOCOL_HEADER_SIZE;
	size -= PROTOCOL_HEADER_SIZE;
	header.length = (uint32_t)size;
	if (!message_decode(&header, data, &message, &error))
		check(&message, data, size);
	else if (!error.text[0])
		abort();
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_packed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "daemon/base/cleanup.h"

#define LEVEL 3
#define PLAIN_MAX 1024u
#define INFLATED_MAX (256u << 20) /* an hour of a busy machine has some megabytes */

enum packing { PACKING_PLAIN, PACKING_ZSTD };

static int compress(const struct strbuf *plain, struct strbuf *out)
{
	size_t room = ZSTD_compressBound(plain->length), size;
	_cleanup_free_ void *packed = malloc(room);

	if (!packed)
		return -ENOMEM;
	size = ZSTD_compress(packed, room, plain->data, plain->length, LEVEL);
	if (ZSTD_isError(size))
		return -ENOMEM;
	strbuf_u8(out, PACKING_ZSTD);
	strbuf_append(out, packed, size);
	return strbuf_error(out);
}

int history_pack(const struct strbuf *plain, struct strbuf *out)
{
	if (plain->length > PLAIN_MAX)
		return compress(plain, out);
	strbuf_u8(out, PACKING_PLAIN);
	strbuf_append(out, strbuf_text(plain), plain->length);
	return strbuf_error(out);
}

static int inflate(const char *bytes, size_t size, char **ret, size_t *ret_size)
{
	unsigned long long plain = ZSTD_getFrameContentSize(bytes, size);
	_cleanup_free_ char *buffer = NULL;
	size_t n;

	if (plain == ZSTD_CONTENTSIZE_ERROR || plain == ZSTD_CONTENTSIZE_UNKNOWN)
		return -EBADMSG;
	if (plain > INFLATED_MAX)
		return -EFBIG;
	buffer = malloc(plain + 1);
	if (!buffer)
		return -ENOMEM;
	n = ZSTD_decompress(buffer, plain, bytes, size);
	if (ZSTD_isError(n) || n != plain)
		return -EBADMSG;
	*ret = TAKE_PTR(buffer);
	*ret_size = n;
	return 0;
}

int history_unpack(const void *bytes, size_t size, char **ret, size_t *ret_size)
{
	const char *at = bytes;
	char *copy;

	if (!size || (*at != PACKING_PLAIN && *at != PACKING_ZSTD))
		return -EBADMSG;
	if (*at == PACKING_ZSTD)
		return inflate(at + 1, size - 1, ret, ret_size);
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, at + 1, size - 1);
	*ret = copy;
	*ret_size = size - 1;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_packed.h"

#include <errno.h>
#include <stdlib.h>

#include <zstd.h>

#include "daemon/base/cleanup.h"

#define LEVEL 3
#define INFLATED_MAX (256u << 20) /* an hour of a busy machine has some megabytes */

int history_pack(const struct strbuf *plain, struct strbuf *out)
{
	size_t room = ZSTD_compressBound(plain->length), size;
	_cleanup_free_ void *packed = malloc(room);

	if (!packed)
		return -ENOMEM;
	size = ZSTD_compress(packed, room, plain->data, plain->length, LEVEL);
	if (ZSTD_isError(size))
		return -ENOMEM;
	strbuf_append(out, packed, size);
	return strbuf_error(out);
}

int history_unpack(const void *bytes, size_t size, char **ret, size_t *ret_size)
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

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes of the history as they lie in the database: a zstd frame that knows its size.
 */
#pragma once

#include <stddef.h>

#include "daemon/base/strbuf.h"

/* Appends the packed bytes to *out. -ENOMEM. */
int history_pack(const struct strbuf *plain, struct strbuf *out);
/* -EBADMSG: no frame, or damaged; -EFBIG: more than 256 MiB; -ENOMEM. */
int history_unpack(const void *bytes, size_t size, char **ret, size_t *ret_size);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes of the history as they lie in the database: one byte that says how, 0 as they are,
 * 1 a zstd frame that knows its size. Few bytes stay as they are: a second's windows are
 * some hundred bytes a service, and setting up a compressor costs more than they do.
 */
#pragma once

#include <stddef.h>

#include "daemon/base/strbuf.h"

/* Appends the packed bytes to *out. -ENOMEM. */
int history_pack(const struct strbuf *plain, struct strbuf *out);
/* -EBADMSG: damaged; -EFBIG: more than 256 MiB; -ENOMEM. */
int history_unpack(const void *bytes, size_t size, char **ret, size_t *ret_size);

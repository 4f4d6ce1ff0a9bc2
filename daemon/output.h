/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a result goes: whole, or not at all.
 *
 *	"-"		standard output
 *	regular file	written beside its final place, without a name where the
 *			file system can do that (O_TMPFILE), and renamed over it
 *			when complete: an old file stays whole until then, keeps
 *			its permissions, and a symbolic link to it stays a link
 *	anything else	(/dev/full, /dev/stdout, a FIFO) written in place: such
 *			names must never be replaced by a file
 *
 * There is no fsync: a profile can be made again, and waiting for the disk
 * would double the time until it is on the screen.
 */
#pragma once

#include <stddef.h>

#include "daemon/base/error.h"

/* Whether output_write() could begin now: to be asked before work is done. */
int output_check(const char *path, struct error *error);
/* -EPIPE: the reader of a pipe is gone, which is no fault of ours. Other errors
 * name the path and the bytes that had to be written. */
int output_write(const char *path, const void *bytes, size_t n, struct error *error);

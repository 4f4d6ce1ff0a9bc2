/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Debug files from debuginfod for a command that waits for them: of the servers in the
 * environment's DEBUGINFOD_URLS, else of symbols.debuginfod_urls; kept where the daemon
 * keeps its own for root, else in the user's own cache folder.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/config.h"

struct debug_wait;

/* -EINVAL: no server is named; others as debuginfod_create(). */
int debug_wait_create(const struct config *config, struct error *error, struct debug_wait **ret);
void debug_wait_destroy(struct debug_wait *wait);
/* *ret_fd: for reading, the caller's. -ENOENT and others, with a sentence. */
int debug_wait_for(struct debug_wait *wait, const uint8_t *build_id, size_t size,
		   struct error *error, int *ret_fd);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Debug files of images that are not installed here, from debuginfod (debuginfod.h), for
 * the resolver: asks, hands what came to the symbolizer, and has the image's frames asked
 * for again. The names of an image wait for its file for DEBUG_FETCH_PATIENCE_NS at
 * most; what comes later is for those who look later.
 *
 * Off unless symbols.debuginfod_urls is set.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/clock.h"
#include "daemon/config.h"
#include "daemon/image_table.h"
#include "daemon/stack_table.h"
#include "symbolizer/client.h"
#include "symbolizer/debuginfod.h"

#define DEBUG_FETCH_PATIENCE_NS (3 * NSEC_PER_SEC)

struct debug_fetch_ask;

struct debug_fetch {
	struct debuginfod *servers; /* NULL: off */
	struct symbolizer *symbolizer;
	struct image_table *images;
	struct stack_table *stacks;
	struct debug_fetch_ask *asks; /* under way */
};

/* The tables and the symbolizer are to be set before anything is asked. Without
 * servers, or if they cannot be used (a warning says why), it stays off. `config` and
 * `program` are kept. */
void debug_fetch_init(struct debug_fetch *fetch, const struct config *config, const char *program);
void debug_fetch_deinit(struct debug_fetch *fetch);
/* Readable when debug_fetch_dispatch() has something to do; -1: off. */
int debug_fetch_fd(const struct debug_fetch *fetch);
void debug_fetch_dispatch(struct debug_fetch *fetch);
/* Asks for an image's debug file, by its build id. */
void debug_fetch_image(struct debug_fetch *fetch, struct image *image);
/* Names of this image are to wait a moment. */
bool debug_fetch_awaited(const struct image *image);
/* Asks for a further file of an image (symbolizer_part); false: it is not to be had. */
bool debug_fetch_part(struct debug_fetch *fetch, uint32_t image,
		      const struct symbolizer_part *part);
/* The worker has refused the image's debug file. */
void debug_fetch_refused(struct debug_fetch *fetch, const struct image *image);
/* Sets used[image - 1] of those that something is being fetched for. */
void debug_fetch_mark(const struct debug_fetch *fetch, bool *used, size_t count);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shared by the resolver's files: resolver.c (names, tables), resolver_maps.c (mappings) and
 * resolver_files.c (the files themselves, by way of the openers).
 */
#pragma once

#include "daemon/resolver.h"

/* A request and the frames or the process that its answer is for. */
struct resolver_request {
	struct resolver *resolver;
	struct resolver_request *next, **link;
	struct process *process; /* maps: a reference */
	resolver_table_fn *on_table; /* tables */
	symbolizer_probes_fn *on_probes; /* places for probes */
	void *answer_context; /* of either */
	uint32_t generation; /* names: of the stack table */
	/* Maps: the resolver's, and the process's, when they were asked for. */
	uint32_t view, finds, turn;
	uint32_t image;
	uint64_t asked; /* names: boot time, ns */
	uint64_t look; /* lists of compilers: jit_code_found()'s */
	struct symbolizer_part part; /* of its debug information, without texts */
	bool has_debug_info; /* itself */
	size_t count;
	uint32_t frames[];
};

/* NULL without memory. */
struct resolver_request *resolver_request_create(struct resolver *resolver, size_t count);
void resolver_request_destroy(struct resolver_request *request);
/* The symbolizer has the image, or gets it now. -EAGAIN: it has not looked at it yet; -ENOENT: it
 * cannot be had. */
int resolver_hand_over(struct resolver *resolver, struct image *image);
/* What it answered: that it had to close the file to stay within its limit (-ESTALE), or that this
 * was dropped for it meanwhile (-ENOENT)? True: it is to be asked again, and the file is opened
 * once more then, if it can still be reached. */
bool resolver_take_back(struct resolver *resolver, struct image *image, int error);
/* The symbolizer's callbacks; context: a request, or for a part the resolver. */
void resolver_on_image(void *context, int error, const char *text,
		       const struct symbolizer_image *opened);
/* jit_code.h's look(). */
bool resolver_look_for_list(void *context, struct image *image);
void resolver_find_part(void *context, uint32_t id, const struct symbolizer_part *part);
/* Reads the mappings of those that wait for it. */
void resolver_flush_maps(struct resolver *resolver);

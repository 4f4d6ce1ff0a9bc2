/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk of bpf/walk.h as host code: walks a stack that was kept raw, once its
 * process's mappings and their tables are known, and is what the unit tests and
 * the sanitizers see of the walk. The stack's bytes are foreign: every address is
 * checked against what was copied.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "bpf/jvm.h"
#include "bpf/unwind.h"
#include "daemon/mapping_set.h"

/* A Java machine's code, which a copied stack does not have: read where it lies. */
struct host_machine {
	const struct jvm_layout *layout;
	int memory; /* reads its process's memory at process addresses */
};

/* Where the tables are: as the kernel side has them. Pointers live at least until
 * the walk is over; NULL where there is nothing. */
struct host_tables {
	const struct unwind_file *(*file)(void *context, uint32_t image);
	/* The words of a chunk, UNWIND_CHUNK_WORDS of them. */
	const uint32_t *(*chunk)(void *context, uint32_t number);
	const struct unwind_rule *(*rule)(void *context, uint32_t number);
	void *context;
	const struct host_machine *machine; /* NULL: the process is none */
};

/* A stack in the ABI's form, with room for its frames. */
struct host_stack {
	struct abi_stack stack;
	uint64_t frames[ABI_FRAMES_MAX];
};

/* Walks `raw`. `last`: take what there is, by the frame pointer where a table is
 * missing. Else true means that the walk is over for good, and false that it
 * lacked the table of the image in *ret_lacks. `maps` may be NULL. */
bool host_walk(const struct abi_raw *raw, const struct mapping_set *maps,
	       const struct host_tables *tables, bool last, struct host_stack *ret,
	       uint32_t *ret_lacks);

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stacks that came too early to be walked in the kernel (bpf/raw.h): each waits,
 * with its process and the mappings it had then, until the mappings are known and
 * the tables loaded that its walk needs, or until its time is over; then it is
 * walked with what there is.
 *
 * Bounded by bytes: what comes above is walked at once.
 */
#pragma once

#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/base/vec.h"
#include "daemon/host_walk.h"
#include "daemon/process_table.h"
#include "daemon/source.h"
#include "daemon/unwinder.h"

struct raw_stack {
	struct abi_raw *raw; /* owned */
	struct process *process; /* a reference */
	struct mapping_set *maps; /* a reference; NULL: not known yet */
	uint32_t lacks; /* image whose table it waits for; 0: none */
	uint64_t until; /* boot time, ns */
};

struct raw_stacks {
	VEC(struct raw_stack) items;
	uint64_t bytes; /* of all that wait */
	uint64_t kept; /* so far */
	uint64_t results[ABI_REASON_COUNT]; /* so far, how their walks ended */
};

/* Gets each stack when it has been walked; valid until it returns. */
typedef void raw_stack_fn(void *context, struct process *process, const struct abi_stack *stack);

struct raw_stacks_walk {
	struct source *source;
	struct unwinder *unwinder;
	uint64_t now; /* boot time, ns */
	bool last; /* all of them, whatever is missing */
	raw_stack_fn *done;
	void *context;
};

void raw_stacks_deinit(struct raw_stacks *stacks);
/* Takes a copy. -ENOSPC above the limit, -EINVAL for a record that is not whole,
 * -ENOMEM: it is not kept. */
int raw_stacks_put(struct raw_stacks *stacks, const struct abi_raw *raw, struct process *process,
		   uint64_t now);
/* Walks what can be walked now. */
void raw_stacks_walk(struct raw_stacks *stacks, const struct raw_stacks_walk *how);

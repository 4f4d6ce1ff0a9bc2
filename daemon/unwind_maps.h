/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's hold on the BPF maps of unwinding: tables of files, the rules
 * they share, mapping sets, and which process has which set.
 */
#pragma once

#include <stdint.h>

#include "bpf/unwind.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "daemon/host_walk.h"
#include "daemon/mapping_set.h"
#include "daemon/table_memory.h"
#include "symbolizer/unwind_table.h"

/* Borrowed descriptors of the maps in bpf/maps.h. */
struct unwind_map_fds {
	int chunks, rules, files, processes, nodes, leaves, inodes, jvms, generation, views;
};

/* A table in the kernel's memory. */
struct loaded_table {
	uint32_t start; /* first word */
	uint32_t count; /* words; 0: none loaded */
};

struct unwind_maps {
	struct unwind_map_fds fds;
	struct table_memory memory;
	struct unwind_rule *rules; /* mapped; number 0 is "none" */
	uint32_t rule_count;
	struct hashmap rule_index; /* hash of a rule -> number */
	VEC(struct unwind_file) files; /* by image id: as the kernel side has them */
	uint32_t nodes, leaves; /* numbers given so far */
	uint32_t generation; /* tables unloaded so far */
	uint32_t epoch; /* as unwind_view has it */
	uint64_t rules_refused; /* rules above their limit, taken as "none" */
};

int unwind_maps_init(struct unwind_maps *maps, const struct unwind_map_fds *fds,
		     uint64_t memory_limit);
void unwind_maps_deinit(struct unwind_maps *maps);
/* -ENOSPC: the memory is full, something has to be evicted first. */
int unwind_maps_load(struct unwind_maps *maps, uint32_t image, const struct unwind_table *table,
		     struct loaded_table *ret);
void unwind_maps_unload(struct unwind_maps *maps, uint32_t image, struct loaded_table *loaded);
/* Kernel memory in use: tables, and the rules that they share. */
uint64_t unwind_maps_bytes(const struct unwind_maps *maps);
/* The file has no table and will not have one: its code is walked by the frame
 * pointer, and no stack waits for it. */
void unwind_maps_none(struct unwind_maps *maps, uint32_t image);
/* host_walk() with these tables. */
bool unwind_maps_walk(struct unwind_maps *maps, const struct abi_raw *raw,
		      const struct mapping_set *set, bool last, struct host_stack *ret,
		      uint32_t *ret_lacks);
/* To be called some times a second: lets go of memory that no walk needed since. */
void unwind_maps_rest(struct unwind_maps *maps);
/* Publishes a set and gives it its number: what the kernel side has of it already is
 * not written again. -E2BIG: the end of it was left out. */
int unwind_maps_publish(struct unwind_maps *maps, struct mapping_set *set);
void unwind_maps_withdraw(struct unwind_maps *maps, struct mapping_set *set);
int unwind_maps_assign(struct unwind_maps *maps, uint32_t pid, uint32_t number, uint32_t exec_id);
int unwind_maps_know_file(struct unwind_maps *maps, const struct unwind_inode *file,
			  uint32_t image);
void unwind_maps_forget_file(struct unwind_maps *maps, const struct unwind_inode *file,
			     uint32_t image);
/* The image stands for no file any more; no table of it is loaded. */
void unwind_maps_forget(struct unwind_maps *maps, uint32_t image);
/* From now on the walks look at the kernel's own mappings, and believe none that was published or
 * will be; or again those that are published from now on. */
int unwind_maps_blind(struct unwind_maps *maps, bool blind);
/* The walks' looks have been seen to find mappings. */
bool unwind_maps_looked(const struct unwind_maps *maps);
/* How a Java machine's code is laid out; NULL: forget it. */
int unwind_maps_set_jvm(struct unwind_maps *maps, uint32_t pid, const struct jvm_layout *layout);

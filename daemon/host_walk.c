/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/host_walk.h"

#include <string.h>
#include <unistd.h>

#include "bpf/walk.h"

/* What the helpers look at: they have no argument for it, as the kernel's have not.
 * Set for the length of one walk. */
struct ground {
	const struct abi_raw *raw;
	const struct mapping_set *maps;
	const struct host_tables *tables;
	struct unwind_node root; /* of the mappings, as the kernel side wants them */
	struct unwind_node branch; /* the one asked for last */
	struct unwind_leaf leaf; /* likewise */
	struct unwind_file file; /* likewise */
	uint32_t chunk; /* likewise */
	uint32_t generation;
	struct rule_cache cache; /* of this walk alone */
	struct scratch scratch;
	struct hotspot_frame hotspot;
};

static _Thread_local struct ground *ground;

#define SET_NUMBER 1u /* there is only one here */
#define FIRST_BRANCH 2u

static struct unwind_mapping as_unwind_mapping(const struct mapping *from)
{
	return (struct unwind_mapping){from->start, from->end, from->offset,
				       from->memory ? 0 : from->image, 0};
}

/* A node over leaves [from, to); their numbers here are their places and one. */
static void describe_leaves(const struct ground *g, size_t from, size_t to,
			    struct unwind_node *node)
{
	*node = (struct unwind_node){0};
	for (; from < to && node->count < UNWIND_NODE_CHILDREN; from++) {
		node->first[node->count] = g->maps->leaves.items[from]->items[0].start;
		node->child[node->count++] = (uint32_t)from + 1;
	}
}

static void describe_root(struct ground *g)
{
	size_t count = g->maps ? g->maps->leaves.count : 0;

	if (count <= UNWIND_NODE_CHILDREN) {
		describe_leaves(g, 0, count, &g->root);
		return;
	}
	g->root = (struct unwind_node){.branches = 1};
	for (size_t from = 0; from < count && g->root.count < UNWIND_NODE_CHILDREN;
	     from += UNWIND_NODE_CHILDREN) {
		g->root.first[g->root.count] = g->maps->leaves.items[from]->items[0].start;
		g->root.child[g->root.count] = FIRST_BRANCH + g->root.count;
		g->root.count++;
	}
}

static void *find_node(struct ground *g, uint32_t number)
{
	size_t from = (size_t)(number - FIRST_BRANCH) * UNWIND_NODE_CHILDREN;

	if (number == SET_NUMBER)
		return &g->root;
	if (!g->maps || number < FIRST_BRANCH || from >= g->maps->leaves.count)
		return NULL;
	describe_leaves(g, from, g->maps->leaves.count, &g->branch);
	return &g->branch;
}

static void *find_leaf(struct ground *g, uint32_t number)
{
	const struct mapping_leaf *leaf;

	if (!g->maps || !number || number > g->maps->leaves.count)
		return NULL;
	leaf = g->maps->leaves.items[number - 1];
	g->leaf.count = leaf->count;
	for (uint32_t i = 0; i < leaf->count; i++)
		g->leaf.mappings[i] = as_unwind_mapping(&leaf->items[i]);
	return &g->leaf;
}

static void *find_file(struct ground *g, uint32_t image)
{
	const struct unwind_file *file = g->tables->file(g->tables->context, image);

	if (!file)
		return NULL;
	g->file = *file;
	return &g->file;
}

/* The walk only reads what it is shown; the helper's type has no const. */
static void *host_lookup(const void *map, const void *key)
{
	struct ground *g = ground;
	uint32_t number;

	memcpy(&number, key, sizeof(number));
	if (map == &scratches)
		return &g->scratch;
	if (map == &hotspot_frames)
		return &g->hotspot;
	if (map == &jvm_layouts)
		return g->tables->machine ? (void *)g->tables->machine->layout : NULL;
	if (map == &rule_caches)
		return &g->cache;
	if (map == &unwind_generation)
		return &g->generation;
	if (map == &unwind_nodes)
		return find_node(g, number);
	if (map == &unwind_leaves)
		return find_leaf(g, number);
	if (map == &unwind_files)
		return find_file(g, number);
	if (map == &unwind_rules)
		return (void *)g->tables->rule(g->tables->context, number);
	if (map == &unwind_chunks) {
		g->chunk = number;
		return &g->chunk; /* stands for the map in the map */
	}
	if (map == &g->chunk)
		return (void *)g->tables->chunk(g->tables->context, g->chunk);
	return NULL;
}

/* Code of a Java machine, or the maps of its heaps. */
static bool is_machine(const struct jvm_layout *layout, uint64_t at)
{
	if (at >= layout->low && at < layout->high)
		return true;
	for (uint32_t i = 0; i < layout->heap_count && i < JVM_HEAPS_MAX; i++) {
		const struct jvm_heap *heap = &layout->heaps[i];

		if (at >= heap->segmap &&
		    at - heap->segmap < (heap->high - heap->low) >> layout->segment_shift)
			return true;
	}
	return false;
}

static long read_machine(const struct host_machine *machine, void *to, __u32 size, uint64_t at)
{
	if (!machine || !is_machine(machine->layout, at))
		return -1;
	return pread(machine->memory, to, size, (off_t)at) == (ssize_t)size ? 0 : -1;
}

static long host_read(void *to, __u32 size, const void *address)
{
	const struct abi_raw *raw = ground->raw;
	uint64_t at = (uint64_t)(uintptr_t)address;

	if (at < raw->address || raw->bytes < size || at - raw->address > raw->bytes - size)
		return read_machine(ground->tables->machine, to, size, at);
	memcpy(to, raw->stack + (at - raw->address), size);
	return 0;
}

static void start_walk(struct walk *walk, const struct abi_raw *raw,
		       const struct host_machine *machine, bool last)
{
	walk->scratch = SCRATCH_SAMPLE;
	walk->ip = raw->ip;
	walk->sp = raw->registers[UNWIND_RSP];
	walk->bp = raw->registers[UNWIND_RBP];
	walk->pid = raw->pid;
	walk->set = SET_NUMBER;
	walk->asked = 1;
	walk->early = !last;
	walk->exec_id = machine ? machine->layout->exec_id : 0;
}

bool host_walk(const struct abi_raw *raw, const struct mapping_set *maps,
	       const struct host_tables *tables, bool last, struct host_stack *ret,
	       uint32_t *ret_lacks)
{
	struct ground here = {.raw = raw, .maps = maps, .tables = tables};
	struct walk *walk = &here.scratch.walk;
	uint32_t count;

	memcpy(here.scratch.registers, raw->registers, sizeof(here.scratch.registers));
	describe_root(&here);
	start_walk(walk, raw, tables->machine, last);
	ground = &here;
	walk_user(walk);
	ground = NULL;
	count = walk->count;
	if (!last && walk->reason == ABI_REASON_EVICTED) {
		*ret_lacks = walk->image;
		return false;
	}
	memcpy(ret->frames, here.scratch.frames, count * sizeof(ret->frames[0]));
	ret->stack = (struct abi_stack){.hdr = raw->hdr,
					.id = raw->id,
					.pid = raw->pid,
					.count = (uint16_t)count,
					.space = ABI_SPACE_USER,
					.form = ABI_FRAME_FILE};
	ret->stack.hdr.type = ABI_STACK;
	ret->stack.hdr.reason = (uint8_t)walk->reason;
	ret->stack.hdr.size = (uint16_t)(sizeof(ret->stack) + count * sizeof(ret->frames[0]));
	return true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/unwind_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <bpf/bpf.h>

#include "daemon/base/cleanup.h"

#define RULES_BYTES (UNWIND_RULES_MAX * sizeof(struct unwind_rule))

int unwind_maps_init(struct unwind_maps *maps, const struct unwind_map_fds *fds,
		     uint64_t memory_limit)
{
	void *rules = mmap(NULL, RULES_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds->rules, 0);

	if (rules == MAP_FAILED)
		return -errno;
	*maps = (struct unwind_maps){.fds = *fds, .rules = rules, .rule_count = 1};
	table_memory_init(&maps->memory, fds->chunks, memory_limit);
	return 0;
}

void unwind_maps_deinit(struct unwind_maps *maps)
{
	if (maps->rules)
		munmap(maps->rules, RULES_BYTES);
	table_memory_deinit(&maps->memory);
	hashmap_deinit(&maps->rule_index);
	vec_free(&maps->files);
}

/* The shared number of a rule. Another rule with the same hash would be taken for
 * it: 64 bits make that unlikely, a comparison makes it harmless. */
static uint32_t rule_number(struct unwind_maps *maps, const struct unwind_rule *rule)
{
	uint64_t hash = XXH3_64bits(rule, sizeof(*rule));
	const uint64_t *known = hashmap_get(&maps->rule_index, hash);

	if (known && !memcmp(&maps->rules[*known], rule, sizeof(*rule)))
		return (uint32_t)*known;
	if (known || maps->rule_count >= UNWIND_RULES_MAX ||
	    hashmap_put(&maps->rule_index, hash, maps->rule_count)) {
		maps->rules_refused++;
		return 0;
	}
	maps->rules[maps->rule_count] = *rule;
	return maps->rule_count++;
}

/* The rows with the shared numbers of their rules. */
static uint32_t *renumber(struct unwind_maps *maps, const struct unwind_table *table)
{
	_cleanup_free_ uint32_t *numbers =
		malloc((table->rule_count ? table->rule_count : 1) * sizeof(*numbers));
	uint32_t *rows = malloc((table->row_count ? table->row_count : 1) * sizeof(*rows));

	if (!numbers || !rows) {
		free(rows);
		return NULL;
	}
	for (uint32_t i = 0; i < table->rule_count; i++)
		numbers[i] = rule_number(maps, &table->rules[i]);
	for (uint32_t i = 0; i < table->row_count; i++)
		rows[i] = (table->rows[i] & ~0xffffu) | numbers[UNWIND_ROW_RULE(table->rows[i])];
	return rows;
}

/* For both sides; a failure leaves them as they were. */
static int write_file(struct unwind_maps *maps, uint32_t image, const struct unwind_file *file)
{
	while (maps->files.count <= image)
		if (vec_push(&maps->files, (struct unwind_file){0}))
			return -ENOMEM;
	if (bpf_map_update_elem(maps->fds.files, &image, file, BPF_ANY))
		return -errno;
	maps->files.items[image] = *file;
	return 0;
}

int unwind_maps_load(struct unwind_maps *maps, uint32_t image, const struct unwind_table *table,
		     struct loaded_table *ret)
{
	uint64_t words = (uint64_t)table->block_count + 1 + table->row_count;
	struct loaded_table loaded = {.count = (uint32_t)words};
	_cleanup_free_ uint32_t *rows = NULL;
	struct unwind_file file;
	int r;

	if (words > UINT32_MAX)
		return -ENOSPC;
	r = table_memory_alloc(&maps->memory, loaded.count, &loaded.start);
	if (r)
		return r;
	rows = renumber(maps, table);
	if (!rows) {
		table_memory_free(&maps->memory, loaded.start, loaded.count);
		return -ENOMEM;
	}
	file = (struct unwind_file){.first_block = table->first_block,
				    .block_count = table->block_count,
				    .blocks = loaded.start,
				    .rows = loaded.start + table->block_count + 1};
	r = table_memory_write(&maps->memory, file.blocks, table->blocks, table->block_count + 1);
	if (!r)
		r = table_memory_write(&maps->memory, file.rows, rows, table->row_count);
	/* Only now can the walk see it. */
	if (!r)
		r = write_file(maps, image, &file);
	if (r) {
		table_memory_free(&maps->memory, loaded.start, loaded.count);
		return r;
	}
	*ret = loaded;
	return 0;
}

void unwind_maps_unload(struct unwind_maps *maps, uint32_t image, struct loaded_table *loaded)
{
	const struct unwind_file none = {0};

	if (!loaded->count)
		return;
	/* A walk under way may still read the words: they stay words, and a step by
	 * a wrong rule ends in a check, at worst in one wrong stack. */
	write_file(maps, image, &none);
	maps->generation++;
	bpf_map_update_elem(maps->fds.generation, &(uint32_t){0}, &maps->generation, BPF_ANY);
	table_memory_free(&maps->memory, loaded->start, loaded->count);
	*loaded = (struct loaded_table){0};
}

uint64_t unwind_maps_bytes(const struct unwind_maps *maps)
{
	return maps->memory.used * sizeof(uint32_t) +
	       (uint64_t)maps->rule_count * sizeof(struct unwind_rule);
}

void unwind_maps_none(struct unwind_maps *maps, uint32_t image)
{
	const struct unwind_file none = {.none = 1};

	write_file(maps, image, &none);
}

static const struct unwind_file *file_of(void *context, uint32_t image)
{
	const struct unwind_maps *maps = context;

	return image < maps->files.count ? &maps->files.items[image] : NULL;
}

static const uint32_t *chunk_of(void *context, uint32_t number)
{
	struct unwind_maps *maps = context;

	return table_memory_view(&maps->memory, number);
}

static const struct unwind_rule *rule_of(void *context, uint32_t number)
{
	const struct unwind_maps *maps = context;

	return number < maps->rule_count ? &maps->rules[number] : NULL;
}

bool unwind_maps_walk(struct unwind_maps *maps, const struct abi_raw *raw,
		      const struct mapping_set *set, bool last, struct host_stack *ret,
		      uint32_t *ret_lacks)
{
	struct host_tables tables = {file_of, chunk_of, rule_of, maps, NULL};
	struct host_machine machine;
	struct jvm_layout layout;
	char path[64];
	bool done;

	if (bpf_map_lookup_elem(maps->fds.jvms, &raw->pid, &layout))
		return host_walk(raw, set, &tables, last, ret, ret_lacks);
	snprintf(path, sizeof(path), "/proc/%u/mem", raw->pid);
	machine = (struct host_machine){&layout, open(path, O_RDONLY | O_CLOEXEC)};
	tables.machine = machine.memory < 0 ? NULL : &machine;
	done = host_walk(raw, set, &tables, last, ret, ret_lacks);
	if (machine.memory >= 0)
		close(machine.memory);
	return done;
}

void unwind_maps_forget(struct unwind_maps *maps, uint32_t image)
{
	const struct unwind_file none = {0};

	if (image < maps->files.count && maps->files.items[image].none)
		write_file(maps, image, &none);
}

int unwind_maps_know_file(struct unwind_maps *maps, const struct unwind_inode *file, uint32_t image)
{
	return bpf_map_update_elem(maps->fds.inodes, file, &image, BPF_ANY) ? -errno : 0;
}

void unwind_maps_forget_file(struct unwind_maps *maps, const struct unwind_inode *file,
			     uint32_t image)
{
	uint32_t known;

	/* Another image may have it by now. */
	if (!bpf_map_lookup_elem(maps->fds.inodes, file, &known) && known == image)
		bpf_map_delete_elem(maps->fds.inodes, file);
}

int unwind_maps_blind(struct unwind_maps *maps, bool blind)
{
	struct unwind_view view = {.epoch = maps->epoch + !blind, .blind = blind, .looked = 1};

	if (bpf_map_update_elem(maps->fds.views, &(uint32_t){0}, &view, BPF_ANY))
		return -errno;
	maps->epoch = view.epoch;
	return 0;
}

bool unwind_maps_looked(const struct unwind_maps *maps)
{
	struct unwind_view view;

	return !bpf_map_lookup_elem(maps->fds.views, &(uint32_t){0}, &view) && view.looked;
}

int unwind_maps_set_jvm(struct unwind_maps *maps, uint32_t pid, const struct jvm_layout *layout)
{
	int r = layout ? bpf_map_update_elem(maps->fds.jvms, &pid, layout, BPF_ANY)
		       : bpf_map_delete_elem(maps->fds.jvms, &pid);

	return r ? -errno : 0;
}

void unwind_maps_rest(struct unwind_maps *maps)
{
	table_memory_rest(&maps->memory);
}

/* ---- mapping sets ---- */

static int write_leaf(struct unwind_maps *maps, struct mapping_leaf *leaf)
{
	struct unwind_leaf written = {.count = leaf->count};
	uint32_t number = maps->leaves + 1;

	for (uint32_t i = 0; i < leaf->count; i++) {
		const struct mapping *from = &leaf->items[i];

		/* Memory has no table: its frames stay addresses. */
		written.mappings[i] = (struct unwind_mapping){from->start, from->end, from->offset,
							      from->memory ? 0 : from->image, 0};
	}
	if (bpf_map_update_elem(maps->fds.leaves, &number, &written, BPF_ANY))
		return -errno;
	leaf->number = maps->leaves = number;
	return 0;
}

/* The set has it from now on. */
static int write_node(struct unwind_maps *maps, struct mapping_set *set,
		      const struct unwind_node *node, uint32_t *ret_number)
{
	uint32_t number = maps->nodes + 1;

	if (vec_reserve(&set->nodes, set->nodes.count + 1))
		return -ENOMEM;
	if (bpf_map_update_elem(maps->fds.nodes, &number, node, BPF_ANY))
		return -errno;
	set->nodes.items[set->nodes.count++] = maps->nodes = number;
	*ret_number = number;
	return 0;
}

/* The node over some leaves; those that are new are written. */
static int publish_leaves(struct unwind_maps *maps, struct mapping_set *set, size_t from,
			  size_t count, uint32_t *ret_number)
{
	struct unwind_node node = {.count = (uint32_t)count};

	for (uint32_t i = 0; i < count; i++) {
		struct mapping_leaf *leaf = set->leaves.items[from + i];
		int r = leaf->number ? 0 : write_leaf(maps, leaf);

		if (r)
			return r;
		node.first[i] = leaf->items[0].start;
		node.child[i] = leaf->number;
	}
	return write_node(maps, set, &node, ret_number);
}

/* The root over nodes over leaves. */
static int publish_branches(struct unwind_maps *maps, struct mapping_set *set, size_t leaves,
			    uint32_t *ret_number)
{
	struct unwind_node root = {.branches = 1};
	int r = 0;

	for (size_t from = 0; from < leaves && !r; from += UNWIND_NODE_CHILDREN) {
		size_t left = leaves - from;

		root.first[root.count] = set->leaves.items[from]->items[0].start;
		r = publish_leaves(maps, set, from,
				   left < UNWIND_NODE_CHILDREN ? left : UNWIND_NODE_CHILDREN,
				   &root.child[root.count]);
		root.count++;
	}
	return r ? r : write_node(maps, set, &root, ret_number);
}

int unwind_maps_publish(struct unwind_maps *maps, struct mapping_set *set)
{
	const size_t most = UNWIND_NODE_CHILDREN * UNWIND_NODE_CHILDREN;
	size_t leaves = set->leaves.count < most ? set->leaves.count : most;
	uint32_t number = 0;
	int r;

	for (size_t i = 0; i < set->leaves.count; i++)
		set->leaves.items[i]->uses++;
	r = leaves <= UNWIND_NODE_CHILDREN ? publish_leaves(maps, set, 0, leaves, &number)
					   : publish_branches(maps, set, leaves, &number);
	if (r) {
		unwind_maps_withdraw(maps, set);
		return r;
	}
	set->number = number;
	return leaves < set->leaves.count ? -E2BIG : 0;
}

void unwind_maps_withdraw(struct unwind_maps *maps, struct mapping_set *set)
{
	for (size_t i = set->nodes.count; i-- > 0;)
		bpf_map_delete_elem(maps->fds.nodes, &set->nodes.items[i]);
	vec_clear(&set->nodes);
	for (size_t i = 0; i < set->leaves.count; i++) {
		struct mapping_leaf *leaf = set->leaves.items[i];

		if (--leaf->uses || !leaf->number)
			continue;
		bpf_map_delete_elem(maps->fds.leaves, &leaf->number);
		leaf->number = 0;
	}
	set->number = 0;
}

int unwind_maps_assign(struct unwind_maps *maps, uint32_t pid, uint32_t number, uint32_t exec_id)
{
	struct unwind_process process = {.set = number, .exec_id = exec_id, .epoch = maps->epoch};

	return bpf_map_update_elem(maps->fds.processes, &pid, &process, BPF_ANY) ? -errno : 0;
}

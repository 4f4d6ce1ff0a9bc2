/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which file does a process address lie in? Two or three small searches: among the
 * children of a node or two of the process's mapping set, then within one leaf.
 *
 * A process that has just begun has no set yet: the daemon learns of its
 * mappings a moment too late for one that lives some milliseconds. While nobody tells of
 * mappings (unwind_view.blind), no set is believed at all. Then the
 * kernel's own mappings are looked at (bpf/vma.h), or asked for where they cannot be
 * (bpf_find_vma(), kernel 5.17), and remembered. In an interrupt asking works once, for the
 * lock is given back only after it.
 */
#pragma once

#include <linux/errno.h>

#include "bpf/maps.h"

enum vma_found {
	VMA_UNKNOWN, /* it could not be looked at, or the file has no number yet */
	VMA_NONE, /* no code there */
	VMA_FOUND,
};

#ifdef __bpf__
#include "bpf/vma.h"
#else
/* Whoever walks later has the mappings, or will not get them from here. */
static inline int vma_look_up(__u32 context, __u64 address)
{
	(void)context, (void)address;
	return VMA_UNKNOWN;
}

static inline int vma_tell(__u32 context, __u32 how)
{
	(void)context, (void)how;
	return 0;
}

static inline __u32 vma_changes(bool blind)
{
	(void)blind;
	return 0;
}

static inline bool vma_is_changing(__u32 changes)
{
	(void)changes;
	return false;
}
#endif

/* The child that would hold the address: the last one that begins at or before
 * it. 7 halvings for 128 children; unrolled, for the verifiers since 6.8 follow
 * every turn of a loop with a variable bound. */
static __always_inline __u32 find_child(const struct unwind_node *node, __u64 address)
{
	__u32 low = 0, high = node->count;

	UNROLL
	for (int i = 0; i < 7; i++) {
		__u32 middle = (low + high) / 2;

		if (low + 1 >= high)
			break;
		if (node->first[middle & (UNWIND_NODE_CHILDREN - 1)] <= address)
			low = middle;
		else
			high = middle;
	}
	return node->child[low & (UNWIND_NODE_CHILDREN - 1)];
}

static __always_inline const struct unwind_mapping *find_in_leaf(const struct unwind_leaf *leaf,
								 __u64 address)
{
	__u32 low = 0, high = leaf->count;
	const struct unwind_mapping *mapping;

	UNROLL
	for (int i = 0; i < 5; i++) {
		__u32 middle = (low + high) / 2;

		if (low + 1 >= high)
			break;
		if (leaf->mappings[middle & (UNWIND_LEAF_MAPPINGS - 1)].start <= address)
			low = middle;
		else
			high = middle;
	}
	mapping = &leaf->mappings[low & (UNWIND_LEAF_MAPPINGS - 1)];
	return address >= mapping->start && address < mapping->end ? mapping : NULL;
}

/* NULL: not in the published set. */
static __always_inline const struct unwind_mapping *find_published(__u32 set_number, __u64 address)
{
	const struct unwind_node *node = bpf_map_lookup_elem(&unwind_nodes, &set_number);
	const struct unwind_leaf *leaf;
	__u32 child;

	if (!node)
		return NULL;
	child = find_child(node, address);
	if (node->branches) {
		node = bpf_map_lookup_elem(&unwind_nodes, &child);
		if (!node)
			return NULL;
		child = find_child(node, address);
	}
	leaf = bpf_map_lookup_elem(&unwind_leaves, &child);
	return leaf ? find_in_leaf(leaf, address) : NULL;
}

/* ---- asking the kernel ---- */

#ifdef __bpf__
/* Answers into the look of a scratch record: all calls together have 512 bytes of stack. */
struct vma_search {
	__u32 context; /* enum scratch_context */
	__u32 found; /* enum vma_found */
};

static long on_vma(struct task_struct *task __attribute__((unused)), struct vm_area_struct *vma,
		   void *data)
{
	struct vma_search *search = data;
	__u32 context = search->context;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct file *file = vma->vm_file;
	struct vma_look *look;
	__u32 *image;

	search->found = VMA_NONE;
	if (!scratch || !(vma->vm_flags & VM_EXEC))
		return 0;
	look = &scratch->look;
	look->file = (__u64)file;
	look->mm = (__u64)vma->vm_mm;
	__builtin_memset(&look->key, 0, sizeof(look->key));
	if (file)
		key_of(file, &look->key);
	look->mapping.start = vma->vm_start;
	look->mapping.end = vma->vm_end;
	look->mapping.offset = file ? (__u64)vma->vm_pgoff << PAGE_BITS : 0;
	look->mapping.image = 0;
	search->found = VMA_FOUND;
	/* Memory without a file is code that the process wrote, or the vDSO. */
	if (!file && !is_vdso(look))
		return 0;
	image = bpf_map_lookup_elem(&unwind_inodes, &look->key);
	if (image)
		look->mapping.image = *image;
	else
		search->found = VMA_UNKNOWN; /* a file that the daemon has not seen yet */
	return 0;
}
#endif

/* In read-only memory: on the stack it would take half of the 512 bytes that all
 * calls together have (6.12: "combined stack size"). */
const struct unwind_found nothing_found = {};

static __always_inline void remember(__u32 pid, __u32 exec_id, const struct unwind_mapping *mapping)
{
	struct unwind_found *found = bpf_map_lookup_elem(&unwind_founds, &pid);
	__u32 at;

	if (!found || found->exec_id != exec_id) {
		bpf_map_update_elem(&unwind_founds, &pid, &nothing_found, BPF_ANY);
		found = bpf_map_lookup_elem(&unwind_founds, &pid);
		if (!found)
			return;
		found->exec_id = exec_id;
	}
	at = found->count & (UNWIND_FOUND_MAX - 1);
	found->mappings[at] = *mapping;
	found->count++;
}

/* Asks the current task's mappings; the answer is in the look of the scratch record. */
static __always_inline enum vma_found ask_kernel(__u64 address, __u32 context)
{
#ifdef __bpf__
	struct vma_search search = {.context = context};

	if (bpf_find_vma(bpf_get_current_task_btf(), address, on_vma, &search, 0) == -ENOENT)
		return VMA_NONE;
	return search.found;
#else
	(void)address, (void)context;
	return VMA_UNKNOWN;
#endif
}

/* What was found before, as long as the process's mappings are the same since. */
static __always_inline const struct unwind_mapping *find_remembered(__u32 pid, __u32 exec_id,
								    __u64 address, __u32 changes)
{
	struct unwind_found *found = bpf_map_lookup_elem(&unwind_founds, &pid);

	if (!found || found->exec_id != exec_id)
		return NULL;
	UNROLL
	for (__u32 i = 0; i < UNWIND_FOUND_MAX; i++)
		if (address >= found->mappings[i].start && address < found->mappings[i].end &&
		    found->mappings[i].changes == changes)
			return &found->mappings[i];
	return NULL;
}

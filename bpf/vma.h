/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel's own mappings of the current process, looked at without a lock: which file does
 * an address lie in, at this very moment?
 *
 * Since 6.1 they are a maple tree (lib/maple_tree.c, Documentation/core-api/maple_tree.rst),
 * whose nodes are freed by RCU, under which these programs run. All is read by probes: what is
 * changed in that moment may be read half old, half new, so a mapping counts only if it is the
 * process's, holds the address, and is the same when it is looked at again, and if the count below
 * has not moved meanwhile. Where the layout is not the one known here, nothing is found;
 * bpf_find_vma() is asked then (bpf/mapping.h).
 *
 * How often the mappings may have changed, the kernel counts since 6.4 (mm_lock_seq grows whenever
 * they were locked for writing; since 6.13 it is odd while they are). What was found holds as long
 * as the count is the same.
 */
#pragma once

#include "bpf/emit.h"
#include "bpf/maps.h"

#define PAGE_BITS 12

/* enum maple_type, and what is in a pointer to a node (include/linux/maple_tree.h). */
enum { MAPLE_LEAF = 1, MAPLE_RANGE = 2, MAPLE_ARANGE = 3 };
#define MAPLE_KIND_SHIFT 3
#define MAPLE_KIND_MASK 15
#define MAPLE_NODE_MASK 255ULL
#define MAPLE_LEVELS 8
#define MAPLE_RANGE_PIVOTS 15u
#define MAPLE_RANGE_SLOTS 16u /* in a node, the word at which they begin */
#define MAPLE_ARANGE_PIVOTS 9u
#define MAPLE_ARANGE_SLOTS 10u

/* Is the tree the one that is known here? */
static __always_inline bool maple_is_known(void)
{
	return bpf_core_field_exists(struct mm_struct, mm_mt) &&
	       bpf_core_field_exists(struct maple_tree, ma_root) &&
	       bpf_core_field_offset(struct maple_range_64, pivot) == 8 &&
	       bpf_core_field_size(struct maple_range_64, pivot) == 8 * MAPLE_RANGE_PIVOTS &&
	       bpf_core_field_offset(struct maple_range_64, slot) == 8 * MAPLE_RANGE_SLOTS &&
	       bpf_core_field_offset(struct maple_arange_64, pivot) == 8 &&
	       bpf_core_field_size(struct maple_arange_64, pivot) == 8 * MAPLE_ARANGE_PIVOTS &&
	       bpf_core_field_offset(struct maple_arange_64, slot) == 8 * MAPLE_ARANGE_SLOTS;
}

/* Only the root is marked as a node (xa_is_node(), include/linux/xarray.h). What is below it is
 * known by the kind of the node that it is in. */
static __always_inline bool is_root(__u64 entry)
{
	return (entry & 3) == 2 && entry > 4096;
}

/* One level down. Negative: it is not to be understood; 0: arrived. */
__noinline int vma_down(__u32 context)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct vma_look *look;
	__u64 node, pivot;
	__u32 kind, pivots, at = 0;

	if (!scratch)
		return -1;
	look = &scratch->look;
	kind = look->entry >> MAPLE_KIND_SHIFT & MAPLE_KIND_MASK;
	node = look->entry & ~MAPLE_NODE_MASK;
	if (kind < MAPLE_LEAF || kind > MAPLE_ARANGE || !node ||
	    bpf_probe_read_kernel(look->node, sizeof(look->node), (void *)node) ||
	    look->node[0] == node) /* its own parent: it is none any more */
		return -1;
	pivots = kind == MAPLE_ARANGE ? MAPLE_ARANGE_PIVOTS : MAPLE_RANGE_PIVOTS;
	/* The first range that ends at the address or behind it; a pivot of 0 is none. */
	UNROLL
	for (__u32 i = 0; i < MAPLE_RANGE_PIVOTS; i++) {
		pivot = look->node[1 + i];
		if (i >= pivots || pivot >= look->address || (i && !pivot))
			break;
		at++;
	}
	pivot = look->node[(1 + at) & (VMA_NODE_WORDS - 1)];
	if (at < pivots && pivot)
		look->most = pivot;
	at += kind == MAPLE_ARANGE ? MAPLE_ARANGE_SLOTS : MAPLE_RANGE_SLOTS;
	look->entry = look->node[at & (VMA_NODE_WORDS - 1)];
	look->levels++;
	return kind != MAPLE_LEAF;
}

/* In the nanoseconds since 6.13, whether somebody has asked for it (inode_get_ctime_nsec()). */
#define CTIME_QUERIED 0x80000000u

/* When the inode was changed last, as stat(2) says it: st_ctime. */
static __always_inline __u64 changed_at(struct inode *inode)
{
	struct inode___wrapped *wrapped = (void *)inode;
	struct inode___plain *plain = (void *)inode;

	if (bpf_core_field_exists(inode->i_ctime_sec))
		return (__u64)BPF_CORE_READ(inode, i_ctime_sec) * 1000000000ULL +
		       (BPF_CORE_READ(inode, i_ctime_nsec) & ~CTIME_QUERIED);
	if (bpf_core_field_exists(wrapped->__i_ctime))
		return (__u64)BPF_CORE_READ(wrapped, __i_ctime.tv_sec) * 1000000000ULL +
		       (__u64)BPF_CORE_READ(wrapped, __i_ctime.tv_nsec);
	return (__u64)BPF_CORE_READ(plain, i_ctime.tv_sec) * 1000000000ULL +
	       (__u64)BPF_CORE_READ(plain, i_ctime.tv_nsec);
}

static __always_inline void key_of(struct file *file, struct unwind_inode *key)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	key->inode = BPF_CORE_READ(inode, i_ino);
	key->device = BPF_CORE_READ(inode, i_sb, s_dev);
	key->changed = changed_at(inode);
	key->pad = 0;
}

static __always_inline bool is_vdso(const struct vma_look *look)
{
	struct mm_struct *mm = (struct mm_struct *)look->mm;

	return !look->file && look->mapping.start == (__u64)BPF_CORE_READ(mm, context.vdso);
}

/* The mapping that was arrived at, as look.mapping, look.key and look.file. VMA_UNKNOWN with
 * a mapping whose end is not 0: its file has no number yet. */
__noinline int vma_take(__u32 context)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct vm_area_struct *area;
	struct vma_look *look;
	__u64 flags, start, end;
	__u32 *image;

	if (!scratch)
		return VMA_UNKNOWN;
	look = &scratch->look;
	area = (struct vm_area_struct *)look->entry;
	start = BPF_CORE_READ(area, vm_start);
	end = BPF_CORE_READ(area, vm_end);
	flags = BPF_CORE_READ(area, vm_flags);
	look->file = (__u64)BPF_CORE_READ(area, vm_file);
	look->mapping.offset = look->file ? (__u64)BPF_CORE_READ(area, vm_pgoff) << PAGE_BITS : 0;
	__builtin_memset(&look->key, 0, sizeof(look->key));
	if (look->file)
		key_of((struct file *)look->file, &look->key);
	if (look->address < start || look->address >= end ||
	    (__u64)BPF_CORE_READ(area, vm_mm) != look->mm ||
	    BPF_CORE_READ(area, vm_start) != start || BPF_CORE_READ(area, vm_end) != end ||
	    (__u64)BPF_CORE_READ(area, vm_file) != look->file)
		return VMA_UNKNOWN;
	look->most = end - 1;
	if (!(flags & VM_EXEC))
		return VMA_NONE;
	look->mapping.start = start;
	look->mapping.end = end;
	look->mapping.image = 0;
	/* Memory without a file is code that the process wrote, or the vDSO. */
	if (!look->file && !is_vdso(look))
		return VMA_FOUND;
	image = bpf_map_lookup_elem(&unwind_inodes, &look->key);
	if (!image)
		return VMA_UNKNOWN;
	look->mapping.image = *image;
	return VMA_FOUND;
}

/* How often the process's mappings may have changed. Where the kernel does not say: in a blind
 * time another number each time. */
static __always_inline __u32 vma_changes(bool blind)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct___sequence *sequence = (void *)BPF_CORE_READ(task, mm);
	struct mm_struct___number *number = (void *)sequence;

	if (bpf_core_field_exists(sequence->mm_lock_seq))
		return BPF_CORE_READ(sequence, mm_lock_seq.sequence);
	if (bpf_core_field_exists(number->mm_lock_seq))
		return (__u32)BPF_CORE_READ(number, mm_lock_seq);
	return blind ? (__u32)bpf_ktime_get_boot_ns() : 0;
}

/* Somebody was changing them when the number was read: what is found may be gone before it
 * grows. */
static __always_inline bool vma_is_changing(__u32 changes)
{
	struct mm_struct___sequence *sequence = NULL;

	return bpf_core_field_exists(sequence->mm_lock_seq) && changes & 1;
}

/* enum vma_found of an address; most of the look: up to where it is so. */
__noinline int vma_look_up(__u32 context, __u64 address)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 changes = vma_changes(false);
	struct mm_struct *mm;
	int down = 1, found;

	if (!scratch || !maple_is_known())
		return VMA_UNKNOWN;
	mm = BPF_CORE_READ(task, mm);
	scratch->look.mapping.end = 0;
	scratch->look.mapping.image = 0;
	scratch->look.mm = (__u64)mm;
	scratch->look.address = address;
	scratch->look.most = ~0ULL;
	scratch->look.levels = 0;
	scratch->look.entry = (__u64)BPF_CORE_READ(mm, mm_mt.ma_root);
	if (!is_root(scratch->look.entry))
		return VMA_UNKNOWN;
	for (int i = 0; i < MAPLE_LEVELS && down > 0; i++)
		down = vma_down(context);
	if (down || scratch->look.entry & 3) /* an entry of the tree's own */
		return VMA_UNKNOWN;
	found = scratch->look.entry ? vma_take(context) : VMA_NONE;
	if (changes != vma_changes(false) || (found == VMA_NONE && vma_is_changing(changes))) {
		scratch->look.mapping.end = 0;
		return VMA_UNKNOWN;
	}
	return found;
}

/* ---- telling ---- */

/* How vma_tell() is meant. */
enum { VMA_TOUR = 1, VMA_TOUR_FIRST };

#define PATH_PARTS_MAX 40
#define TOLD_AGAIN_NS 1000000000ULL

/* One part of the path further up; 0: there is no more; negative: it has no end. */
__noinline int path_up(__u32 context)
{
	struct found_space *space = bpf_map_lookup_elem(&found_spaces, &context);
	struct dentry *dentry, *parent;
	struct vfsmount *mount;
	struct mount *outer, *inner;
	__u32 used;
	long size;

	if (!space)
		return -1;
	dentry = (struct dentry *)space->dentry;
	mount = (struct vfsmount *)space->mount;
	if (space->dentry == space->root_dentry && space->mount == space->root_mount)
		return 0;
	if (dentry == BPF_CORE_READ(mount, mnt_root)) {
		inner = (void *)mount - bpf_core_field_offset(struct mount, mnt);
		outer = BPF_CORE_READ(inner, mnt_parent);
		if (outer == inner)
			return 0;
		space->dentry = (__u64)BPF_CORE_READ(inner, mnt_mountpoint);
		space->mount = (__u64)outer + bpf_core_field_offset(struct mount, mnt);
		return 1;
	}
	used = space->used;
	parent = BPF_CORE_READ(dentry, d_parent);
	if (used >= ABI_FOUND_PATH_MAX)
		return -1;
	size = bpf_probe_read_kernel_str(&space->path[used & (ABI_FOUND_PATH_MAX - 1)],
					 FOUND_PART_MAX, BPF_CORE_READ(dentry, d_name.name));
	if (size <= 0)
		return -1;
	space->used = used + (__u32)size;
	space->dentry = (__u64)parent;
	return parent != dentry; /* a file that lies nowhere: memfd_create(2) */
}

/* The path, if the file is not known and it was not told a moment ago. */
static __always_inline void name_file(struct found_space *space, const struct vma_look *look,
				      __u32 context)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct file *file = (struct file *)look->file;
	__u64 now = space->found.hdr.time;
	__u64 *told = bpf_map_lookup_elem(&told_files, &look->key);
	struct dentry *dentry;
	int up = 1;

	if (told && now - *told < TOLD_AGAIN_NS)
		return;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	space->dentry = (__u64)dentry;
	space->mount = (__u64)BPF_CORE_READ(file, f_path.mnt);
	space->root_dentry = (__u64)BPF_CORE_READ(task, fs, root.dentry);
	space->root_mount = (__u64)BPF_CORE_READ(task, fs, root.mnt);
	if (!BPF_CORE_READ(dentry, d_hash.pprev))
		space->found.flags |= ABI_FOUND_DELETED;
	for (int i = 0; i < PATH_PARTS_MAX && up > 0; i++)
		up = path_up(context);
	if (up)
		space->used = 0;
	else
		bpf_map_update_elem(&told_files, &look->key, &now, BPF_ANY);
}

/* Sends what is in the space, with so many bytes of a path. Nonzero: it was lost. */
static __always_inline long emit_found(struct found_space *space)
{
	__u64 size = (space->used + 7) & ~7ULL;

	if (size > ABI_FOUND_PATH_MAX + FOUND_PART_MAX)
		return -1;
	size += sizeof(space->found);
	space->found.hdr.type = ABI_FOUND;
	space->found.hdr.reason = 0;
	space->found.hdr.size = (__u16)size;
	space->found.path_size = space->used;
	/* As in emit_raw(). */
	__asm__ volatile("" : "+r"(size));
	return size <= sizeof(space->found) + sizeof(space->path) ? emit(space, size) : -1;
}

static __always_inline void describe_found(struct found_space *space, const struct scratch *scratch)
{
	const struct vma_look *look = &scratch->look;

	space->used = 0;
	space->found.hdr = scratch->stack.hdr;
	space->found.flags = look->file ? 0 : is_vdso(look) ? ABI_FOUND_VDSO : ABI_FOUND_MEMORY;
	space->found.pid = scratch->walk.pid;
	space->found.exec_id = scratch->walk.exec_id;
	space->found.start = look->mapping.start;
	space->found.length = look->mapping.end - look->mapping.start;
	space->found.offset = look->mapping.offset;
	space->found.inode = look->key.inode;
	space->found.changed = look->key.changed;
	space->found.device = look->key.device;
}

/* Tells the daemon of the mapping that was looked up: of one that it was told of, only in a
 * tour (VMA_TOUR), whose first one says so. 0; negative: it was lost. */
__noinline int vma_tell(__u32 context, __u32 how)
{
	struct found_space *space = bpf_map_lookup_elem(&found_spaces, &context);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct vma_look *look;
	__u64 *told, what;

	if (!space || !scratch || !scratch->look.mapping.end)
		return -1;
	look = &scratch->look;
	space->key.pid = scratch->walk.pid;
	space->key.exec_id = scratch->walk.exec_id;
	space->key.start = look->mapping.start;
	space->key.born = scratch->walk.born;
	what = look->mapping.end * 31 ^ look->mapping.offset * 17 ^ look->key.inode << 20 ^
	       look->key.changed ^ look->key.device ^ (__u64)scratch->walk.epoch << 48;
	told = bpf_map_lookup_elem(&told_mappings, &space->key);
	describe_found(space, scratch);
	if (look->file && !bpf_map_lookup_elem(&unwind_inodes, &look->key))
		name_file(space, look, context);
	if (!how && told && *told == what && !space->used)
		return 0;
	if (how == VMA_TOUR_FIRST)
		space->found.flags |= ABI_FOUND_FIRST;
	if (emit_found(space))
		return -1;
	bpf_map_update_elem(&told_mappings, &space->key, &what, BPF_ANY);
	return 0;
}

/* Says that the tour has not come to the end. */
__noinline int vma_tell_more(__u32 context)
{
	struct found_space *space = bpf_map_lookup_elem(&found_spaces, &context);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);

	if (!space || !scratch)
		return -1;
	describe_found(space, scratch);
	space->found.flags = ABI_FOUND_MORE;
	return emit_found(space) ? -1 : 0;
}

struct vma_tour {
	__u64 address;
	__u32 context;
	__u16 told; /* something was */
	__u16 ended; /* 1: at the end; 2: something was lost, or cannot be looked at */
};

static long tell_next(__u32 turn __attribute__((unused)), void *data)
{
	struct vma_tour *tour = data;
	__u32 context = tour->context;
	struct scratch *scratch;
	int found;

	found = vma_look_up(context, tour->address);
	scratch = bpf_map_lookup_elem(&scratches, &context);
	if (!scratch || (found == VMA_UNKNOWN && !scratch->look.mapping.end)) {
		tour->ended = 2;
		return 1;
	}
	if (found != VMA_NONE) {
		if (vma_tell(context, tour->told ? VMA_TOUR : VMA_TOUR_FIRST)) {
			tour->ended = 2;
			return 1;
		}
		tour->told = 1;
	}
	tour->address = scratch->look.most + 1;
	if (!tour->address || tour->address >> 47)
		tour->ended = 1;
	return tour->ended != 0;
}

#define TOUR_MAX 256

/* Tells of all code that the process has mapped, if that was not done since it last changed:
 * whoever walks its stack later needs it. */
static __always_inline void vma_tell_all(__u32 context)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct vma_tour tour = {.context = context};
	struct toured toured = {}, *known;
	__u32 pid;

	if (!scratch)
		return;
	pid = scratch->walk.pid;
	toured.born = scratch->walk.born;
	toured.exec_id = scratch->walk.exec_id;
	toured.epoch = scratch->walk.epoch;
	toured.changes = vma_changes(true);
	known = bpf_map_lookup_elem(&vma_toured, &pid);
	if (known && known->born == toured.born && known->exec_id == toured.exec_id &&
	    known->epoch == toured.epoch && known->changes == toured.changes)
		return;
	bpf_loop(TOUR_MAX, tell_next, &tour, 0);
	if (!tour.ended && vma_tell_more(context))
		return;
	if (tour.ended != 2 && !vma_is_changing(toured.changes))
		bpf_map_update_elem(&vma_toured, &pid, &toured, BPF_ANY);
}

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

struct vma_words {
	__u64 start, end, flags, page, file, mm;
};

/* Reads the mapping that was arrived at into the first half of the node, which is not needed any
 * more, or into the second one. */
__noinline int vma_read(__u32 context, __u32 second)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct vm_area_struct *area;
	struct vma_words *words;

	if (!scratch)
		return -1;
	area = (struct vm_area_struct *)scratch->look.entry;
	words = (struct vma_words *)&scratch->look.node[second ? VMA_NODE_WORDS / 2 : 0];
	bpf_core_read(&words->start, sizeof(words->start), &area->vm_start);
	bpf_core_read(&words->end, sizeof(words->end), &area->vm_end);
	bpf_core_read(&words->flags, sizeof(words->flags), &area->vm_flags);
	bpf_core_read(&words->page, sizeof(words->page), &area->vm_pgoff);
	bpf_core_read(&words->file, sizeof(words->file), &area->vm_file);
	bpf_core_read(&words->mm, sizeof(words->mm), &area->vm_mm);
	return 0;
}

/* The key of the file that was read first. */
__noinline int vma_key(__u32 context)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);

	if (!scratch)
		return -1;
	scratch->look.file = ((struct vma_words *)scratch->look.node)->file;
	__builtin_memset(&scratch->look.key, 0, sizeof(scratch->look.key));
	if (scratch->look.file)
		key_of((struct file *)scratch->look.file, &scratch->look.key);
	return 0;
}

/* The mapping that was arrived at, as look.mapping, look.key and look.file. VMA_UNKNOWN with
 * a mapping whose end is not 0: its file has no number yet. */
__noinline int vma_take(__u32 context)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct vma_words *first, *again;
	struct vma_look *look;
	__u32 *image;

	if (!scratch)
		return VMA_UNKNOWN;
	look = &scratch->look;
	first = (struct vma_words *)&look->node[0];
	again = (struct vma_words *)&look->node[VMA_NODE_WORDS / 2];
	look->mapping.offset = look->file ? first->page << PAGE_BITS : 0;
	if (look->address < first->start || look->address >= first->end || first->mm != look->mm ||
	    again->mm != look->mm || again->start != first->start || again->end != first->end ||
	    again->file != first->file)
		return VMA_UNKNOWN;
	look->most = first->end - 1;
	if (!(first->flags & VM_EXEC))
		return VMA_NONE;
	look->mapping.start = first->start;
	look->mapping.end = first->end;
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
	found = VMA_NONE;
	/* (One after another, not from within vma_take(): calls may be eight deep.) */
	if (scratch->look.entry && !vma_read(context, 0) && !vma_key(context) &&
	    !vma_read(context, 1))
		found = vma_take(context);
	else if (scratch->look.entry)
		return VMA_UNKNOWN;
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
	__u64 *told = bpf_map_lookup_elem(&told_files, &look->key);
	struct fs_struct *fs;
	struct dentry *dentry;
	int up = 1;

	if (told && space->found.hdr.time - *told < TOLD_AGAIN_NS)
		return;
	/* Not by way of the stack: see `struct walk`. */
	bpf_core_read(&space->value, sizeof(space->value), &task->fs);
	fs = (struct fs_struct *)space->value;
	bpf_core_read(&space->root_dentry, sizeof(space->root_dentry), &fs->root.dentry);
	bpf_core_read(&space->root_mount, sizeof(space->root_mount), &fs->root.mnt);
	bpf_core_read(&space->mount, sizeof(space->mount), &file->f_path.mnt);
	bpf_core_read(&space->dentry, sizeof(space->dentry), &file->f_path.dentry);
	dentry = (struct dentry *)space->dentry;
	bpf_core_read(&space->value, sizeof(space->value), &dentry->d_hash.pprev);
	if (!space->value)
		space->found.flags |= ABI_FOUND_DELETED;
	for (int i = 0; i < PATH_PARTS_MAX && up > 0; i++)
		up = path_up(context);
	if (up)
		space->used = 0;
	else
		bpf_map_update_elem(&told_files, &look->key, &space->found.hdr.time, BPF_ANY);
}

/* Sends what is in the space. Negative: it was lost. These are functions of their own, for the
 * stack that all calls together have. */
__noinline int vma_emit(__u32 context)
{
	struct found_space *space = bpf_map_lookup_elem(&found_spaces, &context);
	__u64 size;

	if (!space)
		return -1;
	size = (space->used + 7) & ~7ULL;
	if (size > ABI_FOUND_PATH_MAX + FOUND_PART_MAX)
		return -1;
	size += sizeof(space->found);
	space->found.hdr.type = ABI_FOUND;
	space->found.hdr.reason = 0;
	space->found.hdr.size = (__u16)size;
	space->found.path_size = space->used;
	/* As in emit_raw(). */
	__asm__ volatile("" : "+r"(size));
	if (size > sizeof(space->found) + sizeof(space->path) || emit(space, size))
		return -1;
	return 0;
}

/* Puts into the space what is known of the mapping that was looked up, but for the path. */
__noinline int vma_describe(__u32 context)
{
	struct found_space *space = bpf_map_lookup_elem(&found_spaces, &context);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	const struct vma_look *look;

	if (!space || !scratch)
		return -1;
	look = &scratch->look;
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
	space->key.pid = scratch->walk.pid;
	space->key.exec_id = scratch->walk.exec_id;
	space->key.start = look->mapping.start;
	space->key.born = scratch->walk.born;
	space->what = look->mapping.end * 31 ^ look->mapping.offset * 17 ^ look->key.inode << 20 ^
		      look->key.changed ^ look->key.device ^ (__u64)scratch->walk.epoch << 48;
	return 0;
}

/* Tells the daemon of the mapping that was looked up: of one that it was told of, only in a
 * tour (VMA_TOUR), whose first one says so. 0; negative: it was lost. */
__noinline int vma_tell(__u32 context, __u32 how)
{
	struct found_space *space = bpf_map_lookup_elem(&found_spaces, &context);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct vma_look *look;
	__u64 *told;

	if (!space || !scratch || !scratch->look.mapping.end || vma_describe(context))
		return -1;
	look = &scratch->look;
	if (look->file && !bpf_map_lookup_elem(&unwind_inodes, &look->key))
		name_file(space, look, context);
	told = bpf_map_lookup_elem(&told_mappings, &space->key);
	if (!how && told && *told == space->what && !space->used)
		return 0;
	if (how == VMA_TOUR_FIRST)
		space->found.flags |= ABI_FOUND_FIRST;
	if (vma_emit(context))
		return -1;
	bpf_map_update_elem(&told_mappings, &space->key, &space->what, BPF_ANY);
	return 0;
}

/* Says that the tour has not come to the end. */
__noinline int vma_tell_more(__u32 context)
{
	struct found_space *space = bpf_map_lookup_elem(&found_spaces, &context);

	if (!space || vma_describe(context))
		return -1;
	space->found.flags = ABI_FOUND_MORE;
	return vma_emit(context);
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

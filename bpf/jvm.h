/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a Java virtual machine of the HotSpot family keeps its code, and what its
 * descriptions of that code look like: all that the walk needs to get through
 * frames without frame pointers and without call frame information. HotSpot says it
 * of itself (the tables gHotSpotVMStructs and gHotSpotVMTypes, made for its own
 * serviceability agent); the symbolizer's worker reads it (symbolizer/hotspot.h).
 *
 * The code lies in one to three heaps, each reserved as a whole when the machine
 * starts, so none of this changes later. A heap is a row of segments. Each piece of
 * code ("blob") fills some of them: a block header, a CodeBlob, then the code. The
 * heap's segment map has a byte for each segment: 0 at the first one of a block, 255
 * where nothing is, and else how far to go back for a segment nearer to the first.
 */
#ifndef PERFD_BPF_JVM_H
#define PERFD_BPF_JVM_H

#include <linux/types.h>

#define JVM_HEAPS_MAX 4u
/* The fields below end within so many bytes from the block's beginning. */
#define JVM_BLOCK_BYTES 160u

struct jvm_heap {
	__u64 low; /* process addresses: the first, and the first behind */
	__u64 high;
	__u64 segmap;
};

struct jvm_layout {
	__u64 low; /* of all heaps together */
	__u64 high;
	__u64 interpreter; /* its code */
	__u64 interpreter_end;
	__u64 call_stub; /* the return address of each call from C into Java */
	struct jvm_heap heaps[JVM_HEAPS_MAX];
	__u32 heap_count;
	__u32 exec_id; /* of the process image it holds for */
	__u32 segment_shift;
	/* Offsets of fields from the block's beginning. */
	__u32 used; /* bool: the block is not free */
	__u32 name; /* pointer to text */
	__u32 size; /* s32, bytes from the CodeBlob's beginning */
	__u32 frame_size; /* s32, words; the return address and rbp are among them */
	__u32 frame_complete; /* s32 or s16, bytes from the code's beginning */
	__u32 frame_complete_bytes;
	__u32 code; /* pointer, or s32 from the CodeBlob's beginning */
	__u32 code_bytes;
	__u32 blob; /* of the CodeBlob itself */
};

#ifdef __cplusplus
static_assert(sizeof(struct jvm_layout) == 184, "jvm_layout");
#else
_Static_assert(sizeof(struct jvm_layout) == 184, "jvm_layout");
#endif

#endif

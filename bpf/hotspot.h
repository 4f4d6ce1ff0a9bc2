/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The step from a frame of HotSpot's own code (bpf/jvm.h) to its caller.
 *
 * Compiled methods and most stubs have a fixed frame once their prologue is over:
 * the return address ends it, the caller's rbp lies before that, rsp does not
 * move. So the caller of one that has called something else is found by the size
 * alone. Where the innermost frame's prologue or epilogue is under way, the
 * instructions around its address say how far. Interpreter, call stub and most
 * other stubs keep rbp as a frame pointer.
 *
 * What is found is checked before it is used: the caller of such code is such code
 * too (C calls it through the call stub only, which has a frame pointer), and a
 * return address lies behind a call. Where the check fails, for instance because a
 * stub's arguments were pushed, the next words of the stack are tried.
 *
 * A part of walk.h, which includes it.
 */
#pragma once

#include "bpf/maps.h"

#define HOTSPOT_HOPS_MAX 64u
#define HOTSPOT_FRAME_MAX (1u << 20) /* bytes */
#define HOTSPOT_TRIES_MAX 12u /* words of the stack */
/* Where the call stub has its caller's registers, from its rbp. */
#define CALL_STUB_RBX 0x38
#define CALL_STUB_R12 0x40 /* to r15: 8 bytes each, downwards */

/* How the names of blobs with stubs that have a frame pointer begin: "StubRout". */
#define STUB_ROUTINES 0x74756f5262757453ULL

/* Whether the caller's rbp lies where the frame says, or is in the register. */
enum hotspot_rbp { HOTSPOT_RBP_KEPT, HOTSPOT_RBP_SAVED };

static __always_inline bool in_code(const struct jvm_layout *layout, __u64 address)
{
	return address >= layout->low && address < layout->high;
}

static __always_inline bool in_interpreter(const struct jvm_layout *layout, __u64 address)
{
	return address >= layout->interpreter && address < layout->interpreter_end;
}

/* What such frames saved, nobody says. */
static __always_inline void hotspot_to(struct walk *walk, __u64 ip, __u64 sp, __u64 bp)
{
	walk_to(walk, ip, sp, bp);
	UNROLL
	for (__u32 i = 0; i < UNWIND_SAVED_COUNT; i++)
		walk->saved[i] = WALK_LOST;
}

/* Can code of the machine have been called from there? The interpreter pushes its
 * return addresses; all others are pushed by a call: e8 rel32, or ff /2 with a
 * register, or with one and a displacement. */
__noinline int hotspot_called_from(const struct jvm_layout *layout, __u64 address)
{
	__u8 before[6];

	if (!layout || !in_code(layout, address))
		return false;
	if (in_interpreter(layout, address))
		return true;
	if (bpf_probe_read_user(before, sizeof(before), (const void *)(address - 6)))
		return false;
	return before[1] == 0xe8 || (before[4] == 0xff && (before[5] & 0xf8) == 0xd0) ||
	       (before[3] == 0xff && (before[4] & 0xf8) == 0x50) ||
	       (before[0] == 0xff && (before[1] & 0xf8) == 0x90);
}

/* To the caller whose return address ends at `cfa`, if there is one. */
__noinline int hotspot_try(struct walk *walk, const struct jvm_layout *layout, __u64 cfa,
			   enum hotspot_rbp rbp)
{
	__u64 link[2];

	if (!walk || !layout)
		return false;
	if (bpf_probe_read_user(link, sizeof(link), (const void *)(cfa - 16)))
		return false;
	if (!hotspot_called_from(layout, link[1]))
		return false;
	hotspot_to(walk, link[1], cfa, rbp == HOTSPOT_RBP_SAVED ? link[0] : walk->bp);
	return true;
}

/* Finds the blob around the address and reads its head. */
__noinline int hotspot_find(const struct jvm_layout *layout, struct hotspot_frame *frame,
			    __u64 address)
{
	__u64 low = 0, segmap = 0, segment;
	__u8 hop = 0;

	if (!layout || !frame)
		return false;
	UNROLL
	for (__u32 i = 0; i < JVM_HEAPS_MAX; i++) {
		const struct jvm_heap *heap = &layout->heaps[i];

		if (address >= heap->low && address < heap->high) {
			low = heap->low;
			segmap = heap->segmap;
		}
	}
	if (!low)
		return false;
	segment = (address - low) >> (layout->segment_shift & 31);
	for (__u32 i = 0; i < HOTSPOT_HOPS_MAX; i++) {
		if (bpf_probe_read_user(&hop, 1, (const void *)(segmap + segment)))
			return false;
		if (!hop)
			break;
		if (hop == 0xff || hop > segment)
			return false;
		segment -= hop;
	}
	frame->block = low + (segment << (layout->segment_shift & 31));
	return !hop &&
	       !bpf_probe_read_user(frame->head, JVM_BLOCK_BYTES, (const void *)frame->block);
}

/* A mask, not a comparison: clang 14 compares one copy of the number and uses another,
 * which 6.1 does not take. */
static __always_inline __u32 head_u32(const struct hotspot_frame *frame, __u32 offset)
{
	__u32 value;

	__builtin_memcpy(&value, &frame->head[offset & (HOTSPOT_HEAD_BYTES - 1)], 4);
	return value;
}

static __always_inline __u64 head_u64(const struct hotspot_frame *frame, __u32 offset)
{
	return head_u32(frame, offset) | (__u64)head_u32(frame, offset + 4) << 32;
}

/* What the walk wants to know of the blob; false: it does not hold the address. */
__noinline int hotspot_read(const struct jvm_layout *layout, struct hotspot_frame *frame,
			    __u64 address)
{
	__u64 blob, complete;
	__u32 words;

	if (!layout || !frame)
		return false;
	blob = frame->block + layout->blob;
	if (!(head_u32(frame, layout->used) & 0xff) ||
	    address >= blob + head_u32(frame, layout->size))
		return false;
	words = head_u32(frame, layout->frame_size);
	frame->size = words < HOTSPOT_FRAME_MAX / 8 ? words * 8 : 0; /* -1: none of its own */
	frame->code = layout->code_bytes == 8 ? head_u64(frame, layout->code)
					      : blob + head_u32(frame, layout->code);
	complete = head_u32(frame, layout->frame_complete);
	if (layout->frame_complete_bytes == 2)
		complete = (__u64)(__s64)(__s16)complete;
	else
		complete = (__u64)(__s64)(__s32)complete;
	/* -1: the frame is complete nowhere, which says nothing. */
	frame->complete = (__s64)complete >= 0 ? frame->code + complete : 0;
	return true;
}

/* ---- the innermost frame ---- */

#define AT HOTSPOT_BEFORE /* the byte at the address itself */

/* Is the instruction at code[i] the given one on rsp (81 or 83: add, sub) with this
 * operand? Gives its length, or 0. */
static __always_inline __u32 adjusts(const struct hotspot_frame *frame, __u32 i, __u8 modrm,
				     __u32 by)
{
	const __u8 *code = frame->bytes;
	__u32 operand;

	if (code[i] != 0x48 || code[i + 2] != modrm)
		return 0;
	if (code[i + 1] == 0x83 && by < 128 && code[i + 3] == by)
		return 4;
	__builtin_memcpy(&operand, &code[i + 3], 4);
	return code[i + 1] == 0x81 && operand == by ? 7 : 0;
}

#define SUB_RSP 0xec
#define ADD_RSP 0xc4

/* The length of the instruction at code[i], if it makes the frame; or 0. (C2 has rbp stored by a
 * mov, C1 pushes it.) By itself, or the verifier follows all ways through it at one place after the
 * other, which was three quarters of its time for a program. */
__noinline int hotspot_makes(const struct hotspot_frame *frame, __u32 i)
{
	int length;

	if (!frame || i >= AT - 3)
		return 0;
	length = (int)adjusts(frame, i, SUB_RSP, frame->size - 16);
	return length ? length : (int)adjusts(frame, i, SUB_RSP, frame->size - 8);
}

/* Has the prologue made the frame? */
__noinline int hotspot_built(const struct hotspot_frame *frame)
{
	if (!frame)
		return false;
	for (__u32 i = 0; i < AT - 3; i++) {
		int length = hotspot_makes(frame, i);

		if (length && i + (__u32)length <= AT)
			return true;
	}
	return false;
}

/* Is this, `behind` bytes after the end of the epilogue at code[0], the next
 * instruction of the poll for a safepoint? Its second one, that is, in the forms it
 * has had since JDK 11; then comes the return. (In JDK 8 it has only one.) */
static __always_inline bool in_poll(const __u8 *code, __u32 behind)
{
	if (!behind)
		return true;
	if (code[0] == 0x49 && code[1] == 0x3b) /* cmp ..(%r15),%rsp; ja */
		return (code[2] == 0xa7 && behind == 7) || (code[2] == 0x67 && behind == 4);
	/* mov ..(%r15),%r10; test %eax,(%r10) */
	return code[0] == 0x4d && code[1] == 0x8b && code[2] == 0x97 && behind == 7;
}

/* Is its epilogue over, but for the poll and the return? */
__noinline int hotspot_left(const struct hotspot_frame *frame)
{
	if (!frame)
		return false;
	for (__u32 end = AT - 7; end <= AT; end++) {
		if (frame->bytes[end - 1] != 0x5d) /* pop %rbp */
			continue;
		if ((adjusts(frame, end - 5, ADD_RSP, frame->size - 16) == 4 ||
		     adjusts(frame, end - 8, ADD_RSP, frame->size - 16) == 7) &&
		    in_poll(&frame->bytes[end], AT - end))
			return true;
	}
	return false;
}

/* The frame's end by the instructions around the address, and where the caller's
 * rbp is; 0: they do not say. */
static __always_inline __u64 cfa_by_code(const struct walk *walk, const struct hotspot_frame *frame,
					 enum hotspot_rbp *rbp)
{
	const __u8 *code = frame->bytes;
	bool pushed = code[AT - 1] == 0x55;

	*rbp = HOTSPOT_RBP_KEPT;
	if (code[AT] == 0xc3 || code[AT] == 0x55) /* ret; push %rbp */
		return walk->sp + 8;
	if (code[AT] == 0x5d || /* pop %rbp; after a push: mov %rsp,%rbp and sub ..,%rsp */
	    (pushed && code[AT] == 0x48 &&
	     ((code[AT + 1] == 0x8b && code[AT + 2] == 0xec) ||
	      (code[AT + 1] == 0x89 && code[AT + 2] == 0xe5) || code[AT + 2] == SUB_RSP))) {
		*rbp = HOTSPOT_RBP_SAVED;
		return walk->sp + 16;
	}
	if (!frame->size)
		return 0;
	if (hotspot_left(frame))
		return walk->sp + 8;
	if (walk->ip >= frame->complete)
		return 0;
	if (!hotspot_built(frame))
		return walk->sp + 8;
	/* mov %rbp,..(%rsp) */
	if (code[AT] != 0x48 || code[AT + 1] != 0x89 || (code[AT + 2] & 0x3f) != 0x2c)
		*rbp = HOTSPOT_RBP_SAVED;
	return walk->sp + frame->size;
}

__noinline int hotspot_by_code(struct walk *walk, const struct jvm_layout *layout,
			       struct hotspot_frame *frame)
{
	enum hotspot_rbp rbp;
	__u64 cfa;

	if (!walk || !layout || !frame)
		return false;
	if (bpf_probe_read_user(frame->bytes, sizeof(frame->bytes),
				(const void *)(walk->ip - HOTSPOT_BEFORE)))
		return false;
	cfa = cfa_by_code(walk, frame, &rbp);
	return cfa && hotspot_try(walk, layout, cfa, rbp);
}

/* ---- frames with a frame pointer ---- */

/* The call stub and what it calls; its own caller is C code. */
__noinline int hotspot_by_frame_pointer(struct walk *walk, const struct jvm_layout *layout)
{
	__u64 link[2], bp;
	bool entry;

	if (!walk || !layout)
		return false;
	bp = walk->bp;
	entry = walk->ip == layout->call_stub;
	if (bp < walk->sp || bp & 7 || bp - walk->sp > HOTSPOT_FRAME_MAX)
		return false;
	if (bpf_probe_read_user(link, sizeof(link), (const void *)bp))
		return false;
	if (!hotspot_called_from(layout, link[1]) &&
	    (in_code(layout, link[1]) || !(walk->set || walk->blind) ||
	     !walk_map(walk, link[1] - 1)))
		return false;
	hotspot_to(walk, link[1], bp + 16, link[0]);
	if (!entry)
		return true;
	walk->saved[0] = bp - CALL_STUB_RBX;
	UNROLL
	for (__u32 i = 1; i < UNWIND_SAVED_COUNT; i++)
		walk->saved[i] = bp - CALL_STUB_R12 - (i - 1) * 8;
	return true;
}

/* An interpreted method's frame: below the saved rbp, the caller's rsp as it was
 * before adapters and locals moved it. */
__noinline int hotspot_interpreted(struct walk *walk, const struct jvm_layout *layout)
{
	__u64 words[3], bp;

	if (!walk || !layout)
		return false;
	bp = walk->bp;
	if (bp < walk->sp || bp & 7 || bp - walk->sp > HOTSPOT_FRAME_MAX)
		return false;
	if (bpf_probe_read_user(words, sizeof(words), (const void *)(bp - 8)))
		return false;
	if (!hotspot_called_from(layout, words[2]))
		return false;
	if (words[0] - (bp + 16) > HOTSPOT_FRAME_MAX)
		words[0] = bp + 16;
	hotspot_to(walk, words[2], words[0], words[1]);
	return true;
}

/* The register of a "pop" or "jmp *" by the low bits of its last byte; only those
 * that the interpreter returns through. */
static __always_inline bool return_register(const struct walk *walk, __u8 byte, __u64 *value)
{
	/* x86's numbers and DWARF's differ: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi. */
	return walk_register(walk, 0x54673120 >> (byte & 7) * 4 & 15, value);
}

/* Leaving: "leave; pop R; mov %rbx,%rsp; jmp *R". */
static __always_inline bool interpreter_leaves(struct walk *walk, const struct jvm_layout *layout,
					       const __u8 *code)
{
	bool moved = code[AT - 3] == 0x48 && code[AT - 2] == 0x8b && code[AT - 1] == 0xe3;
	bool moves = code[AT] == 0x48 && code[AT + 1] == 0x8b && code[AT + 2] == 0xe3;
	__u64 to;

	if (moved && code[AT] == 0xff) {
		if (!return_register(walk, code[AT + 1], &to))
			return false;
	} else if (moves && code[AT + 3] == 0xff) {
		if (!return_register(walk, code[AT + 4], &to))
			return false;
	} else {
		return code[AT - 1] == 0xc9 && code[AT + 1] == 0x48 && code[AT + 2] == 0x8b &&
		       code[AT + 3] == 0xe3 &&
		       hotspot_try(walk, layout, walk->sp + 8, HOTSPOT_RBP_KEPT);
	}
	if (!hotspot_called_from(layout, to))
		return false;
	hotspot_to(walk, to, walk->sp, walk->bp);
	return true;
}

/* Entering: r13 is the caller's rsp and becomes the bytecode pointer, which is far
 * from the stack, when the frame is made. Until then the return address is on top,
 * below the pushed rbp, or in rax while locals are pushed. */
static __always_inline bool interpreter_enters(struct walk *walk, const struct jvm_layout *layout)
{
	__u64 sender, to;

	if (!walk_register(walk, UNWIND_R13, &sender) || sender - walk->sp > HOTSPOT_FRAME_MAX)
		return false;
	if (walk->bp >= walk->sp && walk->bp < sender)
		return false; /* it is made */
	if (hotspot_try(walk, layout, walk->sp + 8, HOTSPOT_RBP_KEPT) ||
	    hotspot_try(walk, layout, walk->sp + 16, HOTSPOT_RBP_KEPT)) {
		walk->sp = sender;
		return true;
	}
	if (!walk_register(walk, 0, &to) || !hotspot_called_from(layout, to))
		return false;
	hotspot_to(walk, to, sender, walk->bp);
	return true;
}

__noinline int hotspot_interpreting(struct walk *walk, const struct jvm_layout *layout,
				    struct hotspot_frame *frame)
{
	if (!walk || !layout || !frame)
		return false;
	if (walk->exact) {
		if (interpreter_enters(walk, layout))
			return true;
		if (!bpf_probe_read_user(frame->bytes, sizeof(frame->bytes),
					 (const void *)(walk->ip - HOTSPOT_BEFORE)) &&
		    interpreter_leaves(walk, layout, frame->bytes))
			return true;
	}
	return hotspot_interpreted(walk, layout);
}

/* ---- all of them ---- */

__noinline int hotspot_scan(struct walk *walk, const struct jvm_layout *layout, __u64 cfa)
{
	if (!walk || !layout)
		return false;
	for (__u32 i = 0; i < HOTSPOT_TRIES_MAX; i++)
		if (hotspot_try(walk, layout, cfa + i * 8, HOTSPOT_RBP_SAVED))
			return true;
	return false;
}

/* A leaf that keeps rbp for its caller, or a stub that has made it its own? */
__noinline int hotspot_stub(struct walk *walk, const struct jvm_layout *layout,
			    const struct hotspot_frame *frame)
{
	__u64 name = 0;

	if (!walk || !layout || !frame)
		return false;
	bpf_probe_read_user(&name, sizeof(name), (const void *)head_u64(frame, layout->name));
	if (walk->exact && name != STUB_ROUTINES &&
	    hotspot_try(walk, layout, walk->sp + 8, HOTSPOT_RBP_KEPT))
		return true;
	return hotspot_by_frame_pointer(walk, layout) ||
	       (walk->exact && hotspot_try(walk, layout, walk->sp + 8, HOTSPOT_RBP_KEPT));
}

/* Inline: the verifier allows 8 calls inside one another. */
static __always_inline bool hotspot_step(struct walk *walk, const struct jvm_layout *layout,
					 struct hotspot_frame *frame)
{
	__u64 address;

	address = walk->exact ? walk->ip : walk->ip - 1;
	if (in_interpreter(layout, address))
		return hotspot_interpreting(walk, layout, frame);
	if (!hotspot_find(layout, frame, address) || !hotspot_read(layout, frame, address))
		return false;
	if (walk->exact && hotspot_by_code(walk, layout, frame))
		return true;
	if (frame->size && hotspot_try(walk, layout, walk->sp + frame->size, HOTSPOT_RBP_SAVED))
		return true;
	return hotspot_stub(walk, layout, frame) ||
	       hotspot_scan(walk, layout, walk->sp + 8 + (frame->size ? frame->size : 8));
}

/* From a frame that lies in no file to its caller, if it is a Java machine's. */
__noinline int walk_hotspot(struct walk *walk)
{
	const struct jvm_layout *layout;
	struct hotspot_frame *frame;
	__u32 pid, context;

	if (!walk)
		return false;
	pid = walk->pid; /* copies: see walk_register() */
	context = walk->scratch;
	layout = bpf_map_lookup_elem(&jvm_layouts, &pid);
	frame = bpf_map_lookup_elem(&hotspot_frames, &context);
	return layout && frame && layout->exec_id == walk->exec_id &&
	       in_code(layout, walk->ip - 1) && hotspot_step(walk, layout, frame);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk of a user stack: from the registers at the sample to the entry of
 * the thread, one step a frame, at most ABI_FRAMES_MAX. Where a table has a
 * rule for the address, the rule leads to the caller; elsewhere (JIT code, code
 * without call frame information, tables not loaded yet) the frame pointer
 * does, if what it leads to makes sense, and the tables take over again after
 * it.
 *
 * A return address lies behind its call, so the call's own place (one byte
 * before) is looked up, but for the innermost frame and what a signal
 * interrupted.
 *
 * How it ends is a reason (bpf/abi.h). COMPLETE: a rule says that this is the
 * outermost frame, or the frame-pointer chain ends as the ABI says it must, with
 * rbp = 0 (System V ABI, AMD64 supplement, 3.4.1).
 */
#pragma once

#include "bpf/mapping.h"
#include "bpf/maps.h"
#include "bpf/table.h"

/* Offsets from rsp in the frame of a signal handler's return trampoline: the
 * saved registers within struct ucontext (arch/x86/include/uapi/asm/
 * sigcontext.h, struct sigcontext_64 behind uc_flags, uc_link and uc_stack). */
#define SIGNAL_R12 72 /* to r15: 8 bytes each */
#define SIGNAL_RBP 120
#define SIGNAL_RBX 128
#define SIGNAL_RSP 160
#define SIGNAL_RIP 168

/* Calls within one another whose returns are probed: so many are looked at, from the
 * innermost. */
#define RETURN_PROBES_MAX 8

static __always_inline __u64 hash_step(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 32);
}

static __always_inline int walk_take(struct walk *walk, const struct unwind_mapping *mapping)
{
	walk->start = mapping->start;
	walk->end = mapping->end;
	walk->offset = mapping->offset;
	walk->image = mapping->image;
	walk->nowhere = 0;
	return true;
}

/* What the daemon is to know of a mapping that was looked up: of a file that is new, and of memory,
 * which it alone can name. Negative: it was not told. */
static __always_inline int walk_tell(struct walk *walk, const struct vma_look *look,
				     enum vma_found found, __u32 context)
{
	if (!walk->blind || found == VMA_NONE || (found == VMA_FOUND && look->mapping.image))
		return 0;
	/* Its frames are mere addresses: the file is to be part of what makes a stack another. */
	if (found == VMA_UNKNOWN)
		walk->hash = hash_step(walk->hash, look->key.inode ^ look->key.changed);
	return vma_tell(context, 0);
}

/* In the kernel's own mappings, or among what was found there before. */
static __always_inline int walk_find(struct walk *walk, __u64 address)
{
	const struct unwind_mapping *mapping;
	struct scratch *scratch;
	enum vma_found found;
	__u32 context;

	if (!walk)
		return false;
	if (!walk->counted)
		walk->changes = vma_changes(walk->blind);
	walk->counted = 1;
	walk->nowhere = 1;
	mapping = find_remembered(walk->pid, walk->exec_id, address, walk->changes);
	if (mapping)
		return walk_take(walk, mapping);
	context = walk->scratch; /* see walk_register() */
	found = vma_look_up(context, address);
	scratch = bpf_map_lookup_elem(&scratches, &context);
	if (!scratch)
		return false;
	if (found == VMA_UNKNOWN && !scratch->look.mapping.end && !walk->asked) {
		walk->asked = 1;
		found = ask_kernel(address, context);
	}
	scratch->look.mapping.changes = walk->changes;
	if (walk_tell(walk, &scratch->look, found, context) < 0)
		found = VMA_UNKNOWN;
	else
		walk->nowhere = found == VMA_NONE;
	walk->unsure = found == VMA_UNKNOWN;
	if (found != VMA_FOUND)
		return false;
	if (!vma_is_changing(walk->changes))
		remember(walk->pid, walk->exec_id, &scratch->look.mapping);
	return walk_take(walk, &scratch->look.mapping);
}

/*
 * The steps below are global functions where they can be: see find_rule(). Their
 * pointers are never NULL, but the verifier wants to see that checked.
 */

/* Makes start, end, offset, image those of the address; false: none known. */
__noinline int walk_map(struct walk *walk, __u64 address)
{
	const struct unwind_mapping *mapping;

	if (!walk)
		return false;
	mapping = walk->set ? find_published(walk->set, address) : NULL;
	return mapping ? walk_take(walk, mapping) : walk_find(walk, address);
}

/* Likewise. Mostly a caller lies in its callee's mapping: without a look-up then. */
static __always_inline bool walk_maps(struct walk *walk, __u64 address)
{
	if (address < walk->start || address >= walk->end)
		return walk_map(walk, address);
	walk->nowhere = 0;
	return true;
}

static __always_inline void walk_to(struct walk *walk, __u64 ip, __u64 sp, __u64 bp)
{
	walk->ip = ip;
	walk->sp = sp;
	walk->bp = bp;
	walk->exact = 0;
	walk->leaf = 0;
	walk->linked = 0;
}

/* False: the walk ends here, with `reason` (or COMPLETE, or UNREADABLE). */
__noinline int walk_by_frame_pointer(struct walk *walk, __u32 reason)
{
	__u64 link[2];

	if (!walk)
		return false;
	walk->reason = reason;
	if (!walk->bp) {
		/* The end, if it is a link of the chain; else the register may just
		 * hold something else. */
		if (walk->linked)
			walk->reason = ABI_REASON_COMPLETE;
		return false;
	}
	/* The stack grows down: a caller's frame lies above. A register used for
	 * something else mostly fails this test or the alignment's. */
	if (walk->bp < walk->sp || walk->bp & 7)
		return false;
	if (bpf_probe_read_user(link, sizeof(link), (const void *)walk->bp))
		return false;
	if (!link[1]) {
		walk->reason = ABI_REASON_COMPLETE;
		return false;
	}
	/* With the mappings known, a return address lies in one of them. */
	if ((walk->set || walk->blind) && !walk_maps(walk, link[1] - 1)) {
		if (walk->blind && walk->unsure)
			walk->reason = ABI_REASON_NO_MAPPING;
		return false;
	}
	walk_to(walk, link[1], walk->bp + 16, link[0]);
	walk->linked = 1;
	/* What such code saved, nobody says. */
	UNROLL
	for (__u32 i = 0; i < UNWIND_SAVED_COUNT; i++)
		walk->saved[i] = WALK_LOST;
	return true;
}

__noinline int walk_out_of_signal(struct walk *walk)
{
	__u64 ip, sp, bp;

	if (!walk)
		return false;
	if (bpf_probe_read_user(&ip, sizeof(ip), (const void *)(walk->sp + SIGNAL_RIP)) ||
	    bpf_probe_read_user(&sp, sizeof(sp), (const void *)(walk->sp + SIGNAL_RSP)) ||
	    bpf_probe_read_user(&bp, sizeof(bp), (const void *)(walk->sp + SIGNAL_RBP))) {
		walk->reason = ABI_REASON_UNREADABLE;
		return false;
	}
	walk->saved[0] = walk->sp + SIGNAL_RBX;
	UNROLL
	for (__u32 i = 1; i < UNWIND_SAVED_COUNT; i++)
		walk->saved[i] = walk->sp + SIGNAL_R12 + (i - 1) * 8;
	walk_to(walk, ip, sp, bp);
	walk->exact = 1; /* the interrupted instruction itself */
	return true;
}

/* Where a saved register is noted; WALK_LOST for the others. */
static __always_inline __u64 walk_saved(const struct walk *walk, __u8 number)
{
	switch (number) {
	case UNWIND_RBX:
		return walk->saved[0];
	case UNWIND_R12:
		return walk->saved[1];
	case UNWIND_R13:
		return walk->saved[2];
	case UNWIND_R14:
		return walk->saved[3];
	case UNWIND_R15:
		return walk->saved[4];
	default:
		return WALK_LOST;
	}
}

/* A register by its DWARF number; false: not known here. All are known at the
 * innermost frame; further up those that a function has to give back. */
static __always_inline bool walk_register(const struct walk *walk, __u8 number, __u64 *value)
{
	/* A key in memory of a caller (PTR_TO_MEM) is nothing 6.1 takes: a copy. */
	__u32 context = walk->scratch;
	const struct scratch *scratch;
	__u64 at;

	if (number == UNWIND_RSP) {
		*value = walk->sp;
		return true;
	}
	if (number == UNWIND_RBP) {
		*value = walk->bp;
		return true;
	}
	at = walk_saved(walk, number);
	if (at > WALK_LOST)
		return !bpf_probe_read_user(value, sizeof(*value), (const void *)at);
	scratch = bpf_map_lookup_elem(&scratches, &context);
	if ((at && !walk->leaf) || !scratch || number > 15)
		return false;
	*value = scratch->registers[number & 15];
	return true;
}

#include "bpf/hotspot.h"

/* The canonical frame address; 0: `reason` says why not. */
static __always_inline __u64 walk_cfa(struct walk *walk, const struct unwind_rule *rule)
{
	__u64 base, cfa;

	walk->reason = ABI_REASON_UNSUPPORTED;
	if (rule->cfa == UNWIND_CFA_UNSUPPORTED)
		return 0;
	walk->reason = ABI_REASON_UNKNOWN_REGISTER;
	if (!walk_register(walk, rule->reg, &base))
		return 0;
	switch (rule->cfa) {
	case UNWIND_CFA_REGISTER:
	case UNWIND_CFA_SWITCH:
		return base + (__s64)rule->offset;
	case UNWIND_CFA_PLT:
		return walk->sp + (__s64)rule->offset +
		       ((walk->ip & 15) >= (__u32)rule->extra ? 8 : 0);
	case UNWIND_CFA_DEREF:
		walk->reason = ABI_REASON_UNREADABLE;
		if (bpf_probe_read_user(&cfa, sizeof(cfa),
					(const void *)(base + (__s64)rule->offset)))
			return 0;
		return cfa + (__s64)rule->extra;
	default:
		return 0;
	}
}

/* Notes where this frame saved its caller's registers. */
static __always_inline void walk_note_saved(struct walk *walk, const struct unwind_rule *rule,
					    __u64 cfa)
{
	__u64 base = rule->rbp == UNWIND_AT_RBP ? walk->bp : cfa;
	__u32 saved = rule->saved;

	if (!saved) /* leaves, prologues, frames that save nothing: no work */
		return;
	UNROLL
	for (__u32 i = 0; i < UNWIND_SAVED_COUNT; i++) {
		__u32 words = UNWIND_SAVED_WORDS(saved, i);

		if (words)
			walk->saved[i] =
				words == UNWIND_SAVED_UNKNOWN ? WALK_LOST : base - words * 8;
	}
}

/* Is anything known of how to unwind from there? */
static __always_inline bool has_rule(__u32 image, __u64 offset)
{
	int found = find_rule(image, offset);
	__u32 number = (__u32)found;
	const struct unwind_rule *rule;

	if (found < 0)
		return false;
	rule = bpf_map_lookup_elem(&unwind_rules, &number);
	return rule && rule->cfa != UNWIND_CFA_NONE;
}

enum walk_next {
	WALK_ENDS, /* `reason` says how */
	WALK_GOES_ON,
	WALK_NOT_SO, /* nothing is known that way */
};

/* The kernel "returns" to the very beginning of the signal trampoline: nobody
 * called it, so the frame is the address itself. */
static __always_inline void name_trampoline(const struct walk *walk)
{
	__u32 context = walk->scratch; /* see walk_register() */
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	__u32 at = walk->count - 1;

	if (scratch && !walk->exact && at < ABI_FRAMES_MAX)
		scratch->frames[at]++;
}

/* The two words at an address of the stack; false: they cannot be read. */
static __always_inline bool walk_read_pair(struct walk *walk, __u64 address, __u64 *pair)
{
	__u32 context = walk->scratch; /* see walk_register() */
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	__u64 at = (address - walk->window) / 8;

	if (!scratch)
		return false;
	if (address & 7 || !walk->window || at > WALK_WINDOW_WORDS - 2) {
		/* It begins where this frame ends: the callers lie above. */
		if (address & 7 || bpf_probe_read_user(scratch->window, sizeof(scratch->window),
						       (const void *)address)) {
			walk->window = 0;
			return !bpf_probe_read_user(pair, 16, (const void *)address);
		}
		walk->window = address;
		at = 0;
	}
	pair[0] = scratch->window[at & (WALK_WINDOW_WORDS - 1)];
	pair[1] = scratch->window[(at + 1) & (WALK_WINDOW_WORDS - 1)];
	return true;
}

/* One step by a rule. */
__noinline int walk_by_rule(struct walk *walk, __u32 number)
{
	const struct unwind_rule *rule = bpf_map_lookup_elem(&unwind_rules, &number);
	/* Cleared: link[0] is read on paths where 6.1 has not seen it written. */
	__u64 cfa, bp, link[2] = {}, at;

	if (!walk || !rule)
		return WALK_ENDS;
	if (rule->cfa == UNWIND_CFA_NONE)
		return WALK_NOT_SO;
	if (rule->cfa == UNWIND_CFA_END) {
		walk->reason = ABI_REASON_COMPLETE;
		return WALK_ENDS;
	}
	if (rule->cfa == UNWIND_CFA_SIGNAL) {
		name_trampoline(walk);
		return walk_out_of_signal(walk) ? WALK_GOES_ON : WALK_ENDS;
	}
	cfa = walk_cfa(walk, rule);
	bp = walk->bp;
	if (!cfa)
		return WALK_ENDS;
	walk->reason = ABI_REASON_UNREADABLE;
	if (rule->ra == UNWIND_IN_REGISTER) {
		walk->reason = ABI_REASON_UNKNOWN_REGISTER;
		if (!walk_register(walk, (__u8)rule->extra, &link[1]))
			return WALK_ENDS;
	} else if (!walk_read_pair(walk, cfa - 16, link)) {
		return WALK_ENDS;
	}
	if (rule->rbp == UNWIND_AT_CFA && rule->rbp_offset == -16) {
		bp = link[0];
	} else if (rule->rbp == UNWIND_AT_CFA || rule->rbp == UNWIND_AT_RBP) {
		at = (rule->rbp == UNWIND_AT_CFA ? cfa : walk->bp) + (__s64)rule->rbp_offset;
		if (bpf_probe_read_user(&bp, sizeof(bp), (const void *)at))
			return WALK_ENDS;
	}
	if (cfa <= walk->sp && !walk->leaf && rule->cfa != UNWIND_CFA_SWITCH) {
		walk->reason = ABI_REASON_BROKEN_CHAIN; /* no way up: a circle */
		return WALK_ENDS;
	}
	if (!link[1]) {
		walk->reason = ABI_REASON_COMPLETE;
		return WALK_ENDS;
	}
	walk_note_saved(walk, rule, cfa);
	walk_to(walk, link[1], cfa, bp);
	return WALK_GOES_ON;
}

/* Does the code before `code + 8` look like a call? E8 and FF /2 in their lengths. */
static __always_inline bool follows_call(const __u8 *code)
{
	return code[3] == 0xe8 || (code[2] == 0xff && (code[3] & 0x38) == 0x10) ||
	       (code[5] == 0xff && (code[6] & 0x38) == 0x10) ||
	       (code[6] == 0xff && (code[7] & 0x38) == 0x10) ||
	       (code[4] == 0xff && (code[5] & 0x38) == 0x10) ||
	       (code[1] == 0xff && (code[2] & 0x38) == 0x10);
}

/* mov $15, %rax (or %eax); syscall: the kernel's rt_sigreturn, as libgcc knows it
 * too (config/i386/linux-unwind.h). */
static __always_inline bool returns_from_signal(const __u8 *code)
{
	return (code[8] == 0x48 && code[9] == 0xc7 && code[10] == 0xc0 && code[11] == 0x0f &&
		!code[12] && !code[13] && !code[14] && code[15] == 0x0f && code[16] == 0x05) ||
	       (code[8] == 0xb8 && code[9] == 0x0f && !code[10] && !code[11] && !code[12] &&
		code[13] == 0x0f && code[14] == 0x05);
}

/*
 * A return address that no call pushed, at the first byte of a function that
 * nothing lies before: the kernel put it there (a signal handler's way back, in
 * libraries whose trampoline has no call frame information), or whoever made the
 * stack (makecontext(3)): then it is the outermost frame.
 */
__noinline int walk_from_uncalled(struct walk *walk, __u64 offset)
{
	__u8 code[17] = {};

	if (!walk || walk->exact)
		return WALK_NOT_SO;
	/* Code that is not in memory has never run here: it has called nobody. */
	if (!bpf_probe_read_user(code, sizeof(code), (const void *)(walk->ip - 8))) {
		if (follows_call(code))
			return WALK_NOT_SO;
		if (returns_from_signal(code)) {
			name_trampoline(walk);
			return walk_out_of_signal(walk) ? WALK_GOES_ON : WALK_ENDS;
		}
		if (code[7] != 0x90 && code[7] != 0xcc && code[7]) /* no padding before it */
			return WALK_NOT_SO;
	}
	if (!has_rule(walk->image, offset + 1)) /* nor a rule of its own */
		return WALK_NOT_SO;
	name_trampoline(walk);
	walk->reason = ABI_REASON_COMPLETE;
	return WALK_ENDS;
}

/* Code that has a table, but no rule. */
static __always_inline int walk_without_rule(struct walk *walk, __u64 offset)
{
	int next = walk_from_uncalled(walk, offset);

	if (next != WALK_NOT_SO)
		return next == WALK_GOES_ON;
	return walk_by_frame_pointer(walk, ABI_REASON_NO_ROW);
}

/* From a frame whose place is (image, offset) to its caller. */
__noinline int walk_to_caller(struct walk *walk, __u64 offset)
{
	int found, next;

	if (!walk)
		return false;
	if (!walk->image) /* memory without a file: JIT code */
		return walk_by_frame_pointer(walk, ABI_REASON_NO_ROW);
	found = find_rule(walk->image, offset);
	if (found == -ABI_REASON_EVICTED && walk->early) {
		walk->reason = ABI_REASON_EVICTED;
		return false;
	}
	if (found == -ABI_REASON_NO_ROW)
		return walk_without_rule(walk, offset);
	if (found < 0)
		return walk_by_frame_pointer(walk, (__u32)-found);
	next = walk_by_rule(walk, (__u32)found);
	return next == WALK_NOT_SO ? walk_without_rule(walk, offset) : next == WALK_GOES_ON;
}

/*
 * A return that is probed (uretprobes, and our own probes on allocations that are samples):
 * the kernel has put its trampoline's address in the return address's place and keeps that
 * one (kernel/events/uprobes.c, prepare_uretprobe()). Chained ones all have the real one.
 */
__noinline int walk_past_return_probe(struct walk *walk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct return_instance *instance;
	struct uprobe_task *utask;

	if (!walk || !task || !bpf_core_field_exists(task->utask))
		return false;
	utask = BPF_CORE_READ(task, utask);
	instance = utask ? BPF_CORE_READ(utask, return_instances) : NULL;
	for (int i = 0; i < RETURN_PROBES_MAX && instance; i++) {
		if (BPF_CORE_READ(instance, stack) == walk->sp - 8) {
			walk->ip = BPF_CORE_READ(instance, orig_ret_vaddr);
			return true;
		}
		instance = BPF_CORE_READ(instance, next);
	}
	return false;
}

/* Where the present frame is: its address, and whether that lies in a mapping that is known. */
static __always_inline bool walk_locate(struct walk *walk, __u64 *address)
{
	bool mapped;

	*address = walk->exact ? walk->ip : walk->ip - 1;
	mapped = walk_maps(walk, *address);
	if ((mapped && walk->image) || walk->exact || !walk_past_return_probe(walk))
		return mapped;
	*address = walk->ip - 1;
	return walk_maps(walk, *address);
}

/* Records the present frame; `offset` is its place in walk->image, if there is one. */
static __always_inline bool walk_record(struct walk *walk, struct scratch *scratch, __u32 index,
					__u64 *offset)
{
	__u64 address, frame;
	bool mapped = walk_locate(walk, &address);

	frame = address;
	if (mapped && walk->image) {
		*offset = address - walk->start + walk->offset;
		frame = ABI_FRAME(walk->image, *offset);
	} else if (walk->blind && walk->nowhere) {
		frame = ABI_FRAME(ABI_IMAGE_NOWHERE, ABI_FRAME_OFFSET(address));
	}
	scratch->frames[index] = frame;
	walk->hash = hash_step(walk->hash, frame);
	walk->count = index + 1;
	return mapped;
}

/* No guess at the caller as long as the address may get its file yet. */
static __always_inline bool walk_without_mapping(struct walk *walk)
{
	if (walk->early && walk->unsure) {
		walk->reason = ABI_REASON_NO_MAPPING;
		return false;
	}
	return walk_by_frame_pointer(walk, ABI_REASON_NO_MAPPING);
}

/* Can it be walked later, when the daemon knows more? */
static __always_inline bool walk_came_early(const struct walk *walk)
{
	return walk->early && (walk->reason == ABI_REASON_EVICTED ||
			       (walk->reason == ABI_REASON_NO_MAPPING && walk->unsure));
}

/* One frame; 1 ends the loop. */
static long walk_step(__u32 index, void *context)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, context);
	struct walk *walk;
	__u64 offset = 0;
	bool mapped, on;

	if (!scratch || index >= ABI_FRAMES_MAX)
		return 1;
	walk = &scratch->walk;
	mapped = walk_record(walk, scratch, index, &offset);
	if ((!mapped || !walk->image) && walk_hotspot(walk))
		on = true;
	else if (mapped)
		on = walk_to_caller(walk, offset);
	else
		on = walk_without_mapping(walk);
	walk->ended = !on;
	return !on;
}

static __always_inline void walk_user(struct walk *walk)
{
	__u32 scratch = walk->scratch;

	walk->exact = 1;
	walk->leaf = 1;
	/* Its context must lie on the stack: the number of the scratch record does. */
	bpf_loop(ABI_FRAMES_MAX, walk_step, &scratch, 0);
	if (!walk->ended)
		walk->reason = ABI_REASON_TRUNCATED;
}

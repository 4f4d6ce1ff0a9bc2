/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Unwind tables: how to get from a frame to its caller at any address of a
 * file, for x86-64, without frame pointers. Made by the symbolizer from DWARF
 * call frame information, read by the BPF side. In the manner of the kernel's
 * ORC (arch/x86/include/asm/orc_types.h), for files of any size:
 *
 *	blocks	one word for each 256 bytes of the file's code: number of the
 *		first row that lies in the block or behind it. One more at the
 *		end: the number of rows.
 *	rows	one word each, sorted: the lowest byte of the row's address in
 *		bits 16 to 23 (its block gives the rest), and in bits 0 to 15 the
 *		number of its rule. A row holds up to the next one.
 *	rules	16 bytes each, without duplicates.
 *
 * Addresses are offsets in the file (what a mapping gives), not ELF addresses.
 * The rule of an address is that of the last row at or before it. Code
 * without call frame information is covered by a row with UNWIND_CFA_NONE.
 */
#ifndef PERFD_BPF_UNWIND_H
#define PERFD_BPF_UNWIND_H

#include <linux/types.h>

#define UNWIND_BLOCK_SHIFT 8
#define UNWIND_BLOCK_BYTES (1u << UNWIND_BLOCK_SHIFT)
#define UNWIND_RULES_MAX 65536u

#define UNWIND_ROW(address, rule) ((__u32)((address)&0xff) << 16 | (__u32)(rule))
#define UNWIND_ROW_LOW(row) ((row) >> 16)
#define UNWIND_ROW_RULE(row) ((row)&0xffff)

/* DWARF register numbers (System V ABI, AMD64 supplement, figure 3.36). */
enum {
	UNWIND_RBX = 3,
	UNWIND_RBP = 6,
	UNWIND_RSP = 7,
	UNWIND_R10 = 10,
	UNWIND_R12 = 12,
	UNWIND_R13,
	UNWIND_R14,
	UNWIND_R15,
	UNWIND_REGISTERS = 17
};

/* The canonical frame address: the stack pointer before the call. */
enum unwind_cfa {
	UNWIND_CFA_NONE, /* no information: try the frame pointer */
	UNWIND_CFA_END, /* the outermost frame: the return address is undefined */
	UNWIND_CFA_REGISTER, /* reg + offset */
	UNWIND_CFA_DEREF, /* [reg + offset] + extra (DRAP) */
	UNWIND_CFA_PLT, /* rsp + offset + ((rip & 15) >= extra ? 8 : 0) */
	UNWIND_CFA_SIGNAL, /* a signal frame: registers from the ucontext at rsp */
	UNWIND_CFA_SWITCH, /* reg + offset, on another stack (Go) */
	UNWIND_CFA_UNSUPPORTED, /* an expression that is none of these; extra: its first opcode */
	UNWIND_CFA_COUNT
};

enum unwind_register {
	UNWIND_SAME, /* unchanged */
	UNWIND_AT_CFA, /* saved at CFA + offset */
	UNWIND_AT_RBP, /* saved at rbp + offset (DRAP frames) */
	UNWIND_UNDEFINED,
	UNWIND_IN_REGISTER, /* the return address only: in register ra_register */
	UNWIND_REGISTER_COUNT
};

/* The other registers that a function gives back as they were: rbx, r12 to r15, in
 * this order. Where each was saved is six bits of a rule's `saved`: 0: not at all,
 * 1 to 62: so many words below the CFA (below rbp, where rbp itself is
 * UNWIND_AT_RBP), UNWIND_SAVED_UNKNOWN: the rule cannot say. */
#define UNWIND_SAVED_COUNT 5u
#define UNWIND_SAVED_BITS 6u
#define UNWIND_SAVED_UNKNOWN 63u
#define UNWIND_SAVED(index, words) ((__u32)(words) << UNWIND_SAVED_BITS * (index))
#define UNWIND_SAVED_WORDS(saved, index) ((saved) >> UNWIND_SAVED_BITS * (index)&63)

struct unwind_rule {
	__u8 cfa; /* enum unwind_cfa */
	__u8 reg; /* DWARF number: rsp, rbp, a saved one, or another one that a leaf knows */
	__u8 rbp; /* enum unwind_register: how the caller's rbp is found */
	__u8 ra; /* UNWIND_AT_CFA (at CFA - 8) or UNWIND_IN_REGISTER */
	__s32 offset;
	__s16 rbp_offset;
	__s16 extra; /* CFA_DEREF, CFA_PLT, CFA_UNSUPPORTED; else: ra's register */
	__u32 saved; /* UNWIND_SAVED_WORDS() */
};

/* ---- where the BPF side finds them ---- */

/* Rows and blocks of all files lie in chunks of memory that the daemon maps and
 * fills; a word's number is chunk << UNWIND_CHUNK_SHIFT | place in it. */
#define UNWIND_CHUNK_SHIFT 18
#define UNWIND_CHUNK_WORDS (1u << UNWIND_CHUNK_SHIFT)
#define UNWIND_CHUNKS_MAX 1024u

/* The table of one file, by image id; block_count 0: none is loaded (now, or ever:
 * `none`). */
struct unwind_file {
	__u64 first_block; /* file offset >> UNWIND_BLOCK_SHIFT */
	__u32 block_count;
	__u32 blocks; /* number of the word where they begin */
	__u32 rows; /* likewise; their rules are numbers in the shared rule map */
	__u32 none; /* 1: the file has no table, or none that can be used */
};

/* An executable mapping, as the walk wants it. */
struct unwind_mapping {
	__u64 start; /* process addresses */
	__u64 end;
	__u64 offset; /* of `start` in the file */
	__u32 image; /* 0: memory without a file */
	__u32 changes; /* of one that was found: the process's count then (bpf/vma.h) */
};

/* Which mapping set a process has. It holds for one image of the process only:
 * the number of its execs (task_struct.self_exec_id) must be the same, or the
 * process has run another program since. */
struct unwind_process {
	__u32 set;
	__u32 exec_id;
	__u32 epoch; /* of unwind_view, then */
	__u32 pad;
};

/* What the walks are to believe. */
struct unwind_view {
	__u32 epoch; /* sets of an older one may be out of date: nobody looked for a while */
	__u32 blind; /* 1: nobody tells of mappings: no set is believed */
	__u32 looked; /* 1: the kernel's own mappings were found to be readable, by doing so */
	__u32 pad;
};

/* A file as a mapping shows it to the kernel side. Numbers of inodes are given anew, and a file
 * may be written anew: when it was changed last is part of it. That is st_ctime: st_mtime may be
 * set to anything, and is the same for all that an archive or a store unpacks. (A file that gets
 * or loses a name counts as changed, too: it is told once more.) The vDSO: all 0. */
struct unwind_inode {
	__u64 inode;
	__u64 changed; /* ns */
	__u32 device; /* the kernel's dev_t: major << 20 | minor */
	__u32 pad;
};

/* Mappings that the kernel side found by itself, for a process whose set has not
 * been published yet (or lacks them): valid for that exec_id. */
#define UNWIND_FOUND_MAX 8u

struct unwind_found {
	__u32 exec_id;
	__u32 count; /* so far; the newest overwrites the oldest */
	struct unwind_mapping mappings[UNWIND_FOUND_MAX];
};

/* A mapping set is a tree, published once and never changed: a node under the set's
 * number, under it leaves, or nodes whose children are leaves. Sets share leaves. */
#define UNWIND_LEAF_MAPPINGS 32u
#define UNWIND_NODE_CHILDREN 128u

struct unwind_node {
	__u32 count; /* children */
	__u32 branches; /* 1: the children are nodes */
	__u64 first[UNWIND_NODE_CHILDREN]; /* start of each child's first mapping */
	__u32 child[UNWIND_NODE_CHILDREN]; /* numbers */
};

struct unwind_leaf {
	__u32 count;
	__u32 pad;
	struct unwind_mapping mappings[UNWIND_LEAF_MAPPINGS]; /* sorted */
};

#ifdef __cplusplus
static_assert(sizeof(struct unwind_rule) == 16, "unwind_rule");
#else
_Static_assert(sizeof(struct unwind_rule) == 16, "unwind_rule");
#endif

#endif

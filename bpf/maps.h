/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All maps and read-only knobs of the BPF side. Every program file includes
 * this; the daemon loads cpu.bpf.c first and lends its maps, by name, to the
 * other objects, so that there is one of each.
 */
#pragma once

#include "bpf/abi.h"
#include "bpf/busy.h"
#include "bpf/jvm.h"
#include "bpf/kernel_types.h"
#include "bpf/pid_mark.h"
#include "bpf/unwind.h"

#ifdef __bpf__
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define UNROLL _Pragma("unroll")
#else
#include "bpf/host.h"
#endif

/* Set by the daemon before loading. */
const volatile __u32 ring_count = 1; /* entries of `rings` */
const volatile __u32 cpu_count = 1; /* possible ones */
const volatile __u64 ring_wake_bytes = 1 << 18; /* unread bytes that wake the reader */

/* One ring for some CPUs each: a single one does not scale with producers. The
 * daemon puts the rings in before it opens the first event. */
struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct ring);
} rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ABI_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct abi_slot);
} slots SEC(".maps");

/* Nanoseconds between two firings of a slot's clock, on each CPU. Written before the event
 * is told, and the kernel's own figure of a clock's sample does not follow a change
 * (perf_event.hw.last_period in kernel/events/core.c). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ABI_SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} periods SEC(".maps");

/* Bits of the processes that may be in `targets`, `heap_targets` or `unwind_processes`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PID_MARK_WORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} pid_marks SEC(".maps");

/* Processes that a session follows, by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct abi_target);
} targets SEC(".maps");

/* Processes whose allocations are looked at (heap.bpf.c), by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct abi_heap_target);
} heap_targets SEC(".maps");

/* Ids of the stacks that the daemon has: a stack is sent when it is not here.
 * LRU: an old one falls out and is sent again when it comes back. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} stacks_sent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ABI_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct abi_counters);
} counters SEC(".maps");

/* Per CPU and slot: when the event was last due, and the thread it fired on, as
 * long as that runs on without being switched out. */
struct slot_state {
	__u64 due; /* ns, on the timer's grid */
	__u64 period; /* of that grid */
	__u64 switches; /* context switches of the thread */
	__u64 runtime; /* its CPU time when the run was first hit */
	__u64 weight; /* given to samples of the run since then */
	__u64 debt; /* ns that passed without firing, not given to any sample yet */
	__u64 owed; /* weight of samples that did not fit into the ring, not yet carried */
	__u64 owed_at; /* ns: when the last of them was lost */
	__u64 carried_at; /* ns: likewise, or when this CPU last carried some */
	__u64 pending; /* counted events: weight that no sample has taken yet */
	__u64 window; /* likewise: when the present window of thinning began */
	__u32 taken; /* samples in it */
	__u32 thin; /* on average so many powers of two of firings to a sample */
	__u32 skip; /* so many firings before the next sample */
	__u32 tid;
	__u32 generation; /* of the slot */
	__u32 asked; /* the CPU whose `owed` was looked at last */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ABI_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct slot_state);
} slot_states SEC(".maps");

/* Whom the machine's clock hit lately, for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct busy_table);
} busy_tables SEC(".maps");

/* By slot: the sum of what all CPUs owe. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ABI_SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} debts SEC(".maps");

/* Where a stack is built. One entry for each context that can interrupt another on the
 * same CPU: a clock's interrupt (SAMPLE) may hit while a page fault or a system call
 * is walked (PROBE, which runs to its end before another of its kind). */
enum scratch_context {
	SCRATCH_SAMPLE,
	SCRATCH_PROBE,
	SCRATCH_HEAP, /* and those behind it: probes in programs can displace one another */
	SCRATCH_COUNT = SCRATCH_HEAP + 4
};

#define WALK_LOST 1 /* no address: a frame whose rule does not say */

/* Not on the stack: all calls together have 512 bytes there, and before 6.8 each call's
 * part is rounded up to 32. */
struct walk {
	__u64 ip; /* process addresses */
	__u64 sp;
	__u64 bp;
	__u64 hash;
	__u64 window; /* address of scratch.window's first word; 0: nothing is in it */
	/* Where the present frame's caller-owned registers were saved further down, in
	 * the order of UNWIND_SAVED_*: 0: still in the register; WALK_LOST. Read only
	 * when a rule asks for one. */
	__u64 saved[UNWIND_SAVED_COUNT];
	/* The mapping of the last address: most frames are in their caller's. */
	__u64 start, end, offset;
	__u32 image;
	__u32 set; /* number of the process's mapping set; 0: none */
	__u32 pid;
	__u32 exec_id;
	__u32 count;
	__u32 scratch; /* enum scratch_context */
	__u32 reason;
	__u8 exact; /* ip is an interrupted instruction, not a return address */
	__u8 leaf; /* still at the innermost frame */
	__u8 ended;
	__u8 linked; /* the last step went by the frame pointer */
	__u8 asked; /* the kernel's mappings: once in a walk */
	__u8 early; /* what it lacks may be known soon: do not guess */
	__u8 unsure; /* the kernel's mappings could not be asked, or the file is new */
	__u8 blind; /* nobody tells of mappings: the kernel's are looked at */
	__u8 counted; /* `changes` is there */
	__u8 nowhere; /* blind: the last address is in nothing that the daemon was told of */
	__u8 pad[2];
	__u32 changes; /* of the process's mappings so far (bpf/vma.h) */
	__u64 born; /* the process: boot time, ns */
	__u32 epoch; /* of unwind_view */
	__u32 pad_2;
};

/* A look into the kernel's own mappings of the current process. */
#define VMA_NODE_WORDS 32u
struct vma_look {
	__u64 address; /* looked for */
	__u64 entry; /* what is followed: a node and its kind, in the end the mapping */
	__u64 most; /* the last address that the entry is for */
	__u64 mm;
	__u64 levels; /* of nodes that were looked at */
	__u64 file; /* of the mapping found; 0: memory */
	struct unwind_inode key; /* likewise */
	struct unwind_mapping mapping;
	__u64 node[VMA_NODE_WORDS];
};

/* A piece of the stack: frames are small, and one read serves some of them. */
#define WALK_WINDOW_WORDS 32u

/* The frames lie right behind the record's head, as they are sent. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-variable-sized-type-not-at-end"
#endif
struct scratch {
	struct abi_stack stack;
	__u64 frames[ABI_FRAMES_MAX];
	__u64 registers[16]; /* of the innermost frame, by DWARF number */
	struct pt_regs saved; /* as the kernel has them */
	struct walk walk;
	__u64 window[WALK_WINDOW_WORDS]; /* of the stack, from walk.window on */
	struct vma_look look;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Where a raw stack is put together, ABI_RAW_CONTEXTS places for each possible CPU: too
 * large for a per-CPU map. */
struct raw_space {
	struct abi_raw raw;
	__u8 bytes[ABI_RAW_BYTES_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct raw_space);
} raw_spaces SEC(".maps");

struct raw_budget {
	__u64 since;
	__u64 used;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct raw_budget);
} raw_budgets SEC(".maps");

/* ---- unwinding ---- */

struct unwind_chunk_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u32[UNWIND_CHUNK_WORDS]);
};

/* Memory for blocks and rows, given chunk by chunk as it is needed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, UNWIND_CHUNKS_MAX);
	__type(key, __u32);
	__array(values, struct unwind_chunk_map);
} unwind_chunks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UNWIND_RULES_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct unwind_rule);
} unwind_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unwind_file);
} unwind_files SEC(".maps");

/* Rules found lately, by place: most samples of a program come by the same calls. For
 * each CPU, whatever interrupts or displaces whom there: an entry counts only where both
 * of its words are of one writing. It holds as long as no table has been unloaded since. */
#define RULE_CACHE_BITS 10
#define RULE_CACHE_ENTRIES (1u << RULE_CACHE_BITS)

struct rule_cache {
	struct rule_cached {
		__u64 check; /* the place, ABI_FRAME(), mixed with `value` */
		__u64 value; /* generation << 32 | rule + 1; 0: empty */
	} entries[RULE_CACHE_ENTRIES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rule_cache);
} rule_caches SEC(".maps");

/* Counted by the daemon with each table that it unloads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} unwind_generation SEC(".maps");

/* A process's mapping set. A forked child has its parent's at once
 * (process.bpf.c). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct unwind_process);
} unwind_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct unwind_node);
} unwind_nodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct unwind_leaf);
} unwind_leaves SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unwind_view);
} unwind_views SEC(".maps");

/* Image ids of files that are known, for what is found in the kernel's own mappings; 0: it
 * counts as memory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct unwind_inode);
	__type(value, __u32);
} unwind_inodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct unwind_found);
} unwind_founds SEC(".maps");

/* What was told of mappings that were found (ABI_FOUND), and when a file's path was, which is
 * not told again within a second. */
struct told_key {
	__u32 pid;
	__u32 exec_id;
	__u64 start;
	__u64 born; /* the process: boot time, ns */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct told_key);
	__type(value, __u64);
} told_mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct unwind_inode);
	__type(value, __u64);
} told_files SEC(".maps");

/* Processes of which all mappings were told, and when: by pid. */
struct toured {
	__u64 born; /* the process: boot time, ns */
	__u32 exec_id;
	__u32 changes; /* vma_changes() */
	__u32 epoch; /* of unwind_view */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct toured);
} vma_toured SEC(".maps");

#define FOUND_PART_MAX 256u /* bytes of a path's part, its NUL included */

struct found_space {
	struct abi_found found;
	char path[ABI_FOUND_PATH_MAX + FOUND_PART_MAX];
	struct told_key key;
	__u64 dentry, mount, root_dentry, root_mount;
	__u64 what, value; /* of told_mappings; read on the way */
	__u32 used; /* bytes of the path */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT);
	__type(key, __u32);
	__type(value, struct found_space);
} found_spaces SEC(".maps");

/* Java machines, by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct jvm_layout);
} jvm_layouts SEC(".maps");

#define HOTSPOT_BEFORE 40u /* bytes of code before the address */
#define HOTSPOT_BEHIND 8u
#define HOTSPOT_HEAD_BYTES 256u /* a power of two, not below JVM_BLOCK_BYTES */

/* Scratch of one step through a Java machine's code. */
struct hotspot_frame {
	__u64 block; /* process address of the code's block */
	__u64 code; /* where its code begins */
	__u64 complete; /* from here on its frame is made; 0: not known */
	__u32 size; /* of the frame, bytes; 0: none of fixed size */
	__u32 pad;
	__u8 head[HOTSPOT_HEAD_BYTES + 8]; /* the block's beginning */
	__u8 bytes[HOTSPOT_BEFORE + HOTSPOT_BEHIND]; /* of code */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT);
	__type(key, __u32);
	__type(value, struct hotspot_frame);
} hotspot_frames SEC(".maps");

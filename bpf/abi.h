/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the BPF programs and the daemon say to each other: the only header both
 * sides include. Fixed widths, natural alignment, padding named, sizes
 * asserted. All times are CLOCK_BOOTTIME nanoseconds; pids and tids are those
 * of the initial pid namespace; "pid" is the process (the kernel's tgid).
 *
 * The same records describe what comes from elsewhere (the perf side band, a
 * replayed recording), so that everything above the sources knows one
 * vocabulary. A recording is these bytes: a change here raises ABI_VERSION.
 */
#ifndef PERFD_BPF_ABI_H
#define PERFD_BPF_ABI_H

#include <linux/types.h>

#define ABI_VERSION 11

#define ABI_COMM_MAX 16 /* TASK_COMM_LEN, NUL included */
#define ABI_PATH_MAX 4096 /* PATH_MAX, NUL included */
#define ABI_BUILD_ID_MAX 20
#define ABI_FRAMES_MAX 512 /* frames of one stack */
#define ABI_KERNEL_FRAMES_MAX 127 /* the kernel's own limit (perf_event_max_stack) */
#define ABI_SESSION_SLOTS 32 /* slots that processes can join: bits of an abi_target */
#define ABI_SLOTS_MAX 37 /* sets of sampling events at once */

/* Slots of the views of the whole machine, which are always on. */
#define ABI_SLOT_CPU 0
#define ABI_SLOT_FAULTS 32
#define ABI_SLOT_HEAP 33 /* no view: what the probes of all sessions counted */
#define ABI_SLOT_MMAP 34
/* Likewise no view: what following processes takes; `thinned`: whose mappings were not made
 * ahead (process.bpf.c). */
#define ABI_SLOT_PROCESS 35
#define ABI_SLOT_MUNMAP 36

/*
 * Why a sample's stack is what it is, and why a sample is missing: one list
 * for both sides. X(enumerator, key in JSON and metrics, frame shown in the
 * stack or "" where there is none, sentence for people).
 */
#define ABI_REASONS(X)                                                                             \
	X(COMPLETE, "complete", "", "whole stack")                                                 \
	X(NO_USER, "no_user", "", "no user side (kernel thread or exiting task)")                  \
	X(TRUNCATED, "truncated", "[truncated]", "stack deeper than the frame limit")              \
	X(RAW, "kept_raw", "[not unwound yet]", "kept as it was, to be unwound later")             \
	X(BROKEN_CHAIN, "broken_chain", "[no unwind info]", "frame-pointer chain broken off")      \
	X(UNREADABLE, "unreadable", "[unreadable stack]", "stack memory could not be read")        \
	X(NO_MAPPING, "no_mapping", "[no mapping yet]", "address in no known mapping")             \
	X(NO_ROW, "no_row", "[no unwind info]", "no unwind row for the address")                   \
	X(UNSUPPORTED, "unsupported_expression", "[unsupported unwind expression]",                \
	  "unwind rule unsupported: an expression")                                                \
	X(UNKNOWN_REGISTER, "unsupported_register", "[unknown unwind register]",                   \
	  "unwind rule unsupported: by a register that is not known there")                        \
	X(EVICTED, "evicted_table", "[unwind table not loaded]",                                   \
	  "unwind table not in memory: not loaded yet, or evicted")                                \
	X(LOST_STACK, "lost_stack", "[lost stack]", "stack did not reach the daemon")              \
	X(LOST_RING, "lost_ring", "", "ring buffer full: sample dropped")                          \
	X(LOST_SIDEBAND, "lost_sideband", "", "process events dropped by the kernel")              \
	X(LOST_LIMIT, "lost_limit", "", "a limit of the daemon was reached")                       \
	X(LOST_THROTTLED, "lost_throttled", "", "the kernel throttled the sampling event")

enum abi_reason {
#define X(name, key, frame, text) ABI_REASON_##name,
	ABI_REASONS(X)
#undef X
		ABI_REASON_COUNT
};

enum abi_type {
	ABI_SAMPLE = 1,
	ABI_STACK,
	ABI_TASK, /* a task that was there before we looked (task iterator) */
	ABI_FORK,
	ABI_EXEC,
	ABI_COMM,
	ABI_EXIT,
	ABI_MMAP,
	ABI_LOST,
	ABI_RAW,
	ABI_RSS,
	ABI_OOM,
	ABI_ALLOC,
	ABI_FREE,
	ABI_FOUND,
	ABI_TYPE_COUNT
};

enum abi_source {
	ABI_SOURCE_NONE,
	ABI_SOURCE_CPU_CLOCK,
	ABI_SOURCE_CYCLES,
	ABI_SOURCE_FAULTS, /* page faults */
	ABI_SOURCE_HEAP, /* allocations, by probes in the program */
	ABI_SOURCE_MMAP, /* address space taken: mmap, mremap, brk */
	ABI_SOURCE_MUNMAP, /* and given back */
	ABI_SOURCE_COUNT
};

enum abi_space { ABI_SPACE_KERNEL = 1, ABI_SPACE_USER };

/* How the frames of a stack are to be read. */
enum abi_frame_form {
	ABI_FRAME_ADDRESS = 1, /* addresses of the process or the kernel, one word a frame */
	ABI_FRAME_FILE, /* ABI_FRAME() words, callers by their calls: the table walk's form */
};

/* A place in a file: image number and offset. Image 0: the process address. */
#define ABI_FRAME(image, offset) ((__u64)(image) << 48 | (offset))
/* In the place of an image: no code is mapped there, as far as the kernel side could see, whatever
 * the daemon knows of the process's mappings. */
#define ABI_IMAGE_NOWHERE 0xffffu
#define ABI_FRAME_IMAGE(frame) ((__u32)((frame) >> 48))
#define ABI_FRAME_OFFSET(frame) ((frame)&0xffffffffffffULL)

struct abi_header {
	__u16 size; /* bytes of the record, this header included; a multiple of 8 */
	__u8 type; /* enum abi_type */
	__u8 reason; /* enum abi_reason */
	__u16 cpu;
	__u8 source; /* enum abi_source; the event a sample or loss belongs to */
	__u8 slot; /* session slot, < ABI_SLOTS_MAX */
	__u64 time;
};

/* One firing of a sampling event. */
struct abi_sample {
	struct abi_header hdr;
	__u32 pid;
	__u32 tid;
	__u64 cgroup; /* cgroup v2 id, 0 if none */
	__u64 kernel_stack; /* id of an ABI_STACK, 0: none */
	__u64 user_stack; /* likewise */
	__u64 weight; /* what it stands for: ns (cpu-clock), cycles or faults */
};

/* A stack, sent before the first sample that names it. Leaf first. */
struct abi_stack {
	struct abi_header hdr; /* reason: how the walk ended */
	__u64 id; /* hash of space, process and frames; never 0 */
	__u32 pid; /* 0 for kernel stacks */
	__u16 count;
	__u8 space; /* enum abi_space */
	__u8 form; /* enum abi_frame_form */
	__u64 frames[]; /* count of them */
};

/* A stack as it lies in memory, to be walked by the daemon once it knows the files
 * and their tables; then an ABI_STACK takes its place under the same id. */
#define ABI_RAW_BYTES_MAX 61440u
/* The first scratch contexts (bpf/maps.h) may keep stacks raw: a place for each on
 * every CPU. */
#define ABI_RAW_CONTEXTS 2u
struct abi_raw {
	struct abi_header hdr; /* reason: why it was not walked */
	__u64 id;
	__u32 pid;
	__u32 bytes; /* of the stack */
	__u64 address; /* of the first of them */
	__u64 ip;
	__u64 registers[16]; /* by DWARF number */
	__u8 stack[];
};

struct abi_task {
	struct abi_header hdr;
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 flags; /* ABI_TASK_* */
	__u64 start; /* of the thread */
	__u32 exec_id; /* task_struct.self_exec_id: grows with each exec */
	__u32 pad;
	char comm[ABI_COMM_MAX];
};
#define ABI_TASK_KERNEL 1u /* a kernel thread */

/* A new process (tid == pid) or a new thread (tid != pid). */
struct abi_fork {
	struct abi_header hdr;
	__u32 pid;
	__u32 tid;
	__u32 ppid; /* process and thread that forked */
	__u32 ptid;
};

/* The image was replaced: all mappings are gone, one thread is left. */
struct abi_exec {
	struct abi_header hdr;
	__u32 pid;
	__u32 tid;
	char comm[ABI_COMM_MAX];
};

struct abi_comm {
	struct abi_header hdr;
	__u32 pid;
	__u32 tid;
	char comm[ABI_COMM_MAX];
};

/* A thread ended; the process with its last one. */
struct abi_exit {
	struct abi_header hdr;
	__u32 pid;
	__u32 tid;
};

/* An executable mapping. */
struct abi_mmap {
	struct abi_header hdr;
	__u32 pid;
	__u32 tid;
	__u64 start; /* process address */
	__u64 length; /* bytes */
	__u64 offset; /* in the file, bytes */
	__u64 inode; /* 0 where the build id stands in its place */
	__u32 dev_major;
	__u32 dev_minor;
	__u8 build_id[ABI_BUILD_ID_MAX];
	__u8 build_id_size; /* 0: unknown */
	__u8 pad[3];
	char path[]; /* NUL-terminated, padded to 8 bytes: "/lib/x.so", "[vdso]", "//anon" */
};

/*
 * An executable mapping that a walk met while nobody told of mappings (bpf/vma.h), in a process
 * that the daemon may not have seen it in. Each is told once, and again when it was another
 * meanwhile.
 */
struct abi_found {
	struct abi_header hdr;
	__u32 pid;
	__u32 exec_id; /* task_struct.self_exec_id */
	__u64 start; /* process address */
	__u64 length; /* bytes */
	__u64 offset; /* in the file, bytes */
	__u64 inode;
	__u64 changed; /* st_ctime of the file, ns */
	__u32 device; /* the kernel's dev_t: major << 20 | minor */
	__u32 flags; /* ABI_FOUND_* */
	__u32 path_size; /* bytes of the path; 0: the kernel side has an image of the file */
	__u32 pad;
	/* Its parts, the last one first, each NUL-terminated; padded to 8 bytes. */
	char path[];
};
#define ABI_FOUND_MEMORY 1u /* without a file */
#define ABI_FOUND_VDSO 2u
#define ABI_FOUND_DELETED 4u
/* All code of the process follows, one mapping after another: what is not there is gone. */
#define ABI_FOUND_FIRST 8u
/* No mapping: there are more than were told just now. */
#define ABI_FOUND_MORE 16u
#define ABI_FOUND_PATH_MAX 2048u

/* Kinds of memory that a process has, in the kernel's order (MM_FILEPAGES, …, in
 * include/linux/mm_types_task.h). */
enum abi_memory {
	ABI_MEMORY_FILE,
	ABI_MEMORY_ANON,
	ABI_MEMORY_SWAP, /* not resident */
	ABI_MEMORY_SHMEM,
	ABI_MEMORY_COUNT
};

/* How much memory a process has: now (ABI_RSS), or when the kernel chose it to be killed
 * for want of memory (ABI_OOM). */
struct abi_rss {
	struct abi_header hdr;
	__u32 pid;
	__u32 exact; /* 1: summed over all CPUs; 0: off by what lies in their batches */
	__u64 bytes[ABI_MEMORY_COUNT];
	__u64 cgroup; /* cgroup v2 id, 0 if none */
};

/*
 * A sampled allocation. Its head is not abi_header's behind `reason`, so that it has 32
 * bytes: ask abi_alloc_pid() and its kin. Sizes and weights are small floating-point
 * numbers, rounded up or down by chance so that their means are exact (abi_small());
 * sizes below 2048 are exact.
 */
struct abi_alloc {
	__u16 size; /* bytes of the record */
	__u8 type;
	__u8 reason;
	__u32 who; /* the process, and its weight's code << ABI_PID_BITS */
	__u64 time;
	__u64 stack; /* id of an ABI_STACK, 0: lost */
	__u64 what; /* the address, and its size's code << ABI_ADDRESS_BITS */
};

/* The free of one that was sampled. */
struct abi_free {
	__u16 size;
	__u8 type;
	__u8 reason;
	__u32 pid;
	__u64 time;
	__u64 address;
};

#define ABI_PID_BITS 22u /* PID_MAX_LIMIT, include/linux/threads.h */
#define ABI_ADDRESS_BITS 48u
#define ABI_WEIGHT_MANTISSA 4u
#define ABI_SIZE_MANTISSA 10u
/* In place of a weight's code, which numbers below 2^58 leave free. Of a library: it stands for
 * its own size. Of an allocator's own functions: what it stands for follows from its size and the
 * rule that it was drawn under, ABI_WEIGHT_RULE + 2 * rule, and 1 more with the rule's interval in
 * coarse (abi_coarse()); or it is as large as the rule's band, and stands for itself. */
#define ABI_WEIGHT_ITSELF 0x3ffu
#define ABI_WEIGHT_RULE 0x3e0u
#define ABI_WEIGHT_RULES 8u /* of a process, the last ones */
#define ABI_WEIGHT_BAND (ABI_WEIGHT_RULE + 2 * ABI_WEIGHT_RULES)
/* Where more samples were drawn than the rule grants for a while. */
#define ABI_COARSE_SHIFT 6u
#define ABI_GRANT_NS 250000000ULL
#define ABI_INTERVAL_MAX (1ULL << 31)
/* In place of an address. 0: nobody tells of its end. */
#define ABI_ADDRESS_UNFOLLOWED 1u /* it should be followed, but there was no room */

/* The code of a number with so many bits of mantissa; `chance`: random bits. */
static inline __u32 abi_small(__u64 value, __u32 mantissa, __u64 chance)
{
	__u32 shift = 0, high = 0;
	__u64 rest = value >> mantissa;

	/* The number of the highest bit, by halves. */
	for (__u32 step = 32; step; step >>= 1)
		if (rest >> high >> step)
			high += step;
	if (rest > 1)
		shift = high;
	value += shift ? chance & ((1ULL << shift) - 1) : 0;
	if (value >> shift >> (mantissa + 1))
		shift++;
	if (!shift && value >> mantissa == 0)
		return (__u32)value;
	return (shift + 1) << mantissa | ((__u32)(value >> shift) & ((1U << mantissa) - 1));
}

static inline __u64 abi_small_value(__u32 code, __u32 mantissa)
{
	__u32 shift = (code >> mantissa) - 1;

	if (code >> mantissa == 0)
		return code;
	return (__u64)((code & ((1U << mantissa) - 1)) | 1U << mantissa) << (shift & 63);
}

static inline __u32 abi_alloc_pid(const struct abi_alloc *alloc)
{
	return alloc->who & ((1U << ABI_PID_BITS) - 1);
}

static inline __u64 abi_alloc_address(const struct abi_alloc *alloc)
{
	return alloc->what & ((1ULL << ABI_ADDRESS_BITS) - 1);
}

static inline __u64 abi_alloc_size(const struct abi_alloc *alloc)
{
	return abi_small_value((__u32)(alloc->what >> ABI_ADDRESS_BITS), ABI_SIZE_MANTISSA);
}

/* A coarse interval, and the band that goes with it. */
static inline __u64 abi_coarse(__u64 bytes)
{
	bytes <<= ABI_COARSE_SHIFT;
	return bytes < ABI_INTERVAL_MAX ? bytes : ABI_INTERVAL_MAX;
}

/* What a probe's cookie says: what it tells, and in which registers (DWARF numbers). */
enum abi_probe {
	ABI_PROBE_NONE,
	ABI_PROBE_ALLOC, /* of libperfd-heap.so and its like: pointer, size, weighted bytes */
	ABI_PROBE_FREE, /* likewise: pointer */
	ABI_PROBE_SIZE, /* an allocator's function: bytes */
	ABI_PROBE_PRODUCT, /* likewise: number and bytes of each */
	ABI_PROBE_RESIZE, /* likewise: old pointer, bytes; without a pointer it is another's */
	ABI_PROBE_PLACE, /* likewise: where the pointer is put, bytes */
	ABI_PROBE_RELEASE, /* likewise: pointer that is given back */
	ABI_PROBE_COUNT
};
#define ABI_PROBE_COOKIE(probe, a, b, c)                                                           \
	((__u64)(probe) | (__u64)(a) << 8 | (__u64)(b) << 16 | (__u64)(c) << 24)
/* In the cookie, too: the kernel runs the instruction out of line, which takes as long as so
 * many that it emulates. */
#define ABI_PROBE_STEPPED (1ULL << 32)
/* Likewise: the call's return may be asked for. */
#define ABI_PROBE_RETURNS (1ULL << 33)
#define ABI_STEPPED_HITS 10u

/* A process with probes. The allocator's own count while from <= now < until. */
struct abi_heap_target {
	__u64 from, until; /* boot time, ns */
	__u64 interval; /* bytes between two samples, on average; at most 2^31 */
	__u64 band; /* bytes: what has so many is a sample for itself; 0: none */
	__u64 hits; /* of the allocator's probes, in the present window or not: what they cost */
	__u64 refill; /* boot time, ns: then as many samples are granted again */
	__s64 left; /* of these */
	__u32 grant; /* in ABI_GRANT_NS; 0: no limit */
	__u16 weight; /* the rule's code */
	__u16 view; /* 1: the machine's view wants it, whether or not a session does */
	__u64 fates_until; /* boot time, ns: from then on nobody tells what becomes of samples */
	__u64 sampled_ns; /* what samples cost beside their hits: stacks, returns, frees */
};

/* `count` records of the kind `hdr.reason` names were lost before `hdr.time`. */
struct abi_lost {
	struct abi_header hdr;
	__u64 count;
};

/* Per CPU and slot, counted in the kernel whatever happens to the ring. */
struct abi_counters {
	__u64 fired; /* events that ran the program */
	__u64 idle; /* of these: the idle task */
	__u64 filtered; /* of these: not a target of the session */
	__u64 late; /* periods that passed without firing and went into a later weight */
	__u64 missed; /* likewise, but nobody's for sure (stolen, or idle): in no weight */
	__u64 thinned; /* of the fired: a later sample, or a window's, stands for them too */
	__u64 run_ns; /* that the program ran for them */
	__u64 carried; /* weight of samples that the ring had no room for: later ones have it */
	__u64 samples[ABI_REASON_COUNT]; /* of the fired: by result */
	__u64 weight[ABI_REASON_COUNT];
};

/* Faults to a firing, in the machine's view: a prime, so that nothing is in step. */
#define ABI_FAULTS_PERIOD 61u

/* Which tasks a slot's events record. */
struct abi_slot {
	__u8 active;
	__u8 all; /* every process: `targets` is not asked */
	__u8 source; /* enum abi_source */
	__u8 restricted; /* only what `owner` may see: bpf/owner.h */
	__u32 generation; /* changes whenever the slot's events are opened anew */
	__u32 limit; /* counted events: samples a second and CPU, about; more are thinned out */
	__u32 owner; /* user id, of the first user namespace */
	__u32 scale; /* what one event stands for, while from <= now < until; in 1/65536 */
	__u32 one_in; /* of a process that is hit often a sample stands for so many: bpf/busy.h */
	/* Boot time, ns. Tracepoints: what is seen before `from`, or from `end` on, counts
	 * for nothing; from `until` on it stands for itself. */
	__u64 from, until, end;
};

/* A process's sessions, by slot: bit n is slot n. A forked child inherits them. */
struct abi_target {
	__u32 slots; /* sampled now */
	__u32 at_exec; /* join `slots` with the process's next exec */
};

#ifdef __cplusplus
#define ABI_ASSERT static_assert
#else
#define ABI_ASSERT _Static_assert
#endif
ABI_ASSERT(sizeof(struct abi_header) == 16, "abi_header");
ABI_ASSERT(sizeof(struct abi_sample) == 56, "abi_sample");
ABI_ASSERT(sizeof(struct abi_stack) == 32, "abi_stack");
ABI_ASSERT(sizeof(struct abi_raw) == 176, "abi_raw");
ABI_ASSERT(sizeof(struct abi_raw) + ABI_RAW_BYTES_MAX < 65536, "abi_header.size");
ABI_ASSERT(sizeof(struct abi_task) == 64, "abi_task");
ABI_ASSERT(sizeof(struct abi_fork) == 32, "abi_fork");
ABI_ASSERT(sizeof(struct abi_exec) == 40, "abi_exec");
ABI_ASSERT(sizeof(struct abi_comm) == 40, "abi_comm");
ABI_ASSERT(sizeof(struct abi_exit) == 24, "abi_exit");
ABI_ASSERT(sizeof(struct abi_mmap) == 88, "abi_mmap");
ABI_ASSERT(sizeof(struct abi_found) == 80, "abi_found");
ABI_ASSERT(sizeof(struct abi_lost) == 24, "abi_lost");
ABI_ASSERT(sizeof(struct abi_rss) == 64, "abi_rss");
ABI_ASSERT(sizeof(struct abi_alloc) == 32, "abi_alloc");
ABI_ASSERT(sizeof(struct abi_free) == 24, "abi_free");
ABI_ASSERT(sizeof(struct abi_heap_target) == 80, "abi_heap_target");
ABI_ASSERT(sizeof(struct abi_slot) == 48, "abi_slot");
ABI_ASSERT(sizeof(struct abi_target) == 8, "abi_target");
ABI_ASSERT(sizeof(struct abi_counters) == 8 * (8 + 2 * ABI_REASON_COUNT), "abi_counters");

#endif

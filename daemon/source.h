/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where records come from: BPF and the perf side band (source_bpf.c), or a
 * recording of them (source_replay.c). One interface, so that the whole daemon
 * runs in tests without root.
 *
 * Records (bpf/abi.h) are delivered in the order of their times, across CPUs
 * and kinds, from source_drain(). A record is held back until every ring has
 * been read after its time; source_drain(now = true) lets all of them go.
 *
 * A slot is one set of sampling events, one on each CPU. Slot 0 is the
 * system-wide view's. All functions give 0 or -errno and fill `error` with the
 * knob to turn.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"
#include "daemon/base/error.h"
#include "daemon/config.h"

/* Image ids stay at or below this. */
#define SOURCE_IMAGES_MAX 16384u

struct host_stack;
struct jvm_layout;
struct mapping_set;
struct source;
struct source_heap;
struct unwind_inode;
struct unwind_table;

/* A record, valid until the callback returns. */
typedef void source_record_fn(void *context, const struct abi_header *record);

struct source_slot {
	bool all; /* every process */
	bool restricted; /* of them only those that `owner` may see, judged at each sample */
	uint32_t owner; /* user id */
	enum abi_source source;
	uint32_t frequency_hz; /* samples a second on a busy CPU */
	uint32_t one_in; /* of firings on a busy process; 0 and 1: each is a sample */
};

struct source_counters {
	struct abi_counters slot[ABI_SLOTS_MAX]; /* summed over CPUs; never falls */
	uint64_t ring_used; /* bytes waiting when last drained, largest ring */
	uint64_t sideband_lost;
	uint64_t mapping_leaves; /* pieces of mapping sets written so far */
	/* Of a view that would cost too much otherwise, one of so many slices of time is seen. */
	uint32_t slices[ABI_SLOTS_MAX];
	uint64_t unwind_bytes; /* of kernel memory: unwind tables and the rules they share */
	uint32_t cpus; /* that are sampled now */
	uint32_t cpu_changes; /* CPUs that came or went */
};

struct source_ops {
	const char *name;
	/* Lists all living tasks and hands them to the record callback as
	 * ABI_TASK. */
	int (*tasks)(struct source *source, struct error *error);
	/* Hands what every process has of memory to the record callback, as ABI_RSS. The
	 * function is NULL where nothing lives (a recording). */
	int (*memory)(struct source *source);
	int (*open_slot)(struct source *source, uint32_t slot, const struct source_slot *how,
			 struct error *error);
	void (*close_slot)(struct source *source, uint32_t slot);
	/* Another rate for an open slot: nothing of the time is lost or counted twice. The
	 * same rate draws its jitter anew. */
	int (*set_rate)(struct source *source, uint32_t slot, uint32_t frequency_hz);
	/* Of a process that an open slot's clock hits often, so many firings become one sample
	 * (bpf/busy.h); 1: each does. Of one slot at a time. The function is NULL where nothing
	 * lives. */
	int (*thin_busy)(struct source *source, uint32_t slot, uint32_t one_in);
	/* Begins and ends looks of views that see a part of the time (duty.h). The boot time at
	 * which it wants to be called again; 0: never. NULL: nothing lives. */
	uint64_t (*watch)(struct source *source, uint64_t now);
	/* A process joins a slot: at once, or with its next exec. */
	int (*add_target)(struct source *source, uint32_t slot, pid_t pid, bool at_exec);
	void (*remove_target)(struct source *source, uint32_t slot, pid_t pid);
	/* The slots that follow a process now: those of owners who may not see what it has
	 * executed have left it. -ENOENT: none does, or it has ended. NULL: nothing lives, and
	 * the daemon has to judge what each owner may see. */
	int (*target_slots)(struct source *source, pid_t pid, uint32_t *ret);
	/* Unwinding: the table of an image (-ENOSPC: evict another first); a mapping
	 * set, which gets its number (-E2BIG: its end was left out); which set a
	 * process has, valid for its image of that exec_id. */
	int (*load_table)(struct source *source, uint32_t image, const struct unwind_table *table);
	void (*unload_table)(struct source *source, uint32_t image);
	/* The image has no table and will not have one. */
	void (*no_table)(struct source *source, uint32_t image);
	/* host_walk() with the tables that are loaded. */
	bool (*walk)(struct source *source, const struct abi_raw *raw,
		     const struct mapping_set *maps, bool last, struct host_stack *ret,
		     uint32_t *ret_lacks);
	int (*publish_set)(struct source *source, struct mapping_set *set);
	void (*withdraw_set)(struct source *source, struct mapping_set *set);
	void (*assign_set)(struct source *source, uint32_t pid, uint32_t number, uint32_t exec_id);
	/* The image behind a file (all 0: the vDSO); 0: it counts as memory. And: it is no more. */
	void (*know_file)(struct source *source, const struct unwind_inode *file, uint32_t image);
	void (*forget_file)(struct source *source, const struct unwind_inode *file, uint32_t image);
	/* Nothing names the image any more: its table goes. */
	void (*forget_image)(struct source *source, uint32_t image);
	/* All executable mappings are told from now on, as ABI_MMAP; or none of them, and walks
	 * look at the kernel's own (ABI_FOUND), which is told as soon as it is so: sets that were
	 * published are believed no more, and those from before are not afterwards either.
	 * -EOPNOTSUPP: those of this kernel cannot be looked at; else -errno, and all is as it
	 * was. NULL: nothing lives. */
	int (*tell_mappings)(struct source *source, bool all);
	/* How a Java machine's code is laid out; NULL: forget it. 0 or -errno. The
	 * function is NULL where nothing lives (a recording). */
	int (*set_jvm)(struct source *source, uint32_t pid, const struct jvm_layout *layout);
	/* The daemon gave up a stack: send it anew when it comes again. */
	void (*forget_stack)(struct source *source, uint64_t id);
	/* The part, up to 1, of their budget that views by slices of the time may have. NULL
	 * where nothing lives. */
	void (*share_views)(struct source *source, double part);
	int (*drain)(struct source *source, bool now);
	/* Boot time, ns, of the last BPF program that came or went, as far as drained; 0: none
	 * since the beginning. The function is NULL where nothing lives. */
	uint64_t (*symbols_changed)(const struct source *source);
	/* CPUs that came or went since: some four times a second. */
	void (*follow_cpus)(struct source *source);
	void (*get_counters)(struct source *source, struct source_counters *ret);
	/* How long and often BPF programs ran, 0 unless kernel.bpf_stats_enabled: a call of the
	 * kernel for each, so only where somebody asks. NULL where nothing lives. */
	void (*get_run_time)(struct source *source, uint64_t *ret_ns, uint64_t *ret_runs);
	/* True when nothing will come any more (a recording's end). */
	bool (*done)(const struct source *source);
	/* -1, or a descriptor that is readable when a ring fills up. */
	int (*wake_fd)(const struct source *source);
	void (*destroy)(struct source *source);
};

struct source {
	const struct source_ops *ops;
	struct source_heap *heap; /* probes in programs; NULL where nothing lives */
	source_record_fn *on_record;
	void *context;
};

int source_bpf_create(const struct config *config, source_record_fn *on_record, void *context,
		      struct error *error, struct source **ret);
/* Plays all of `path` on the first drains; sampling calls do nothing. */
int source_replay_create(const char *path, source_record_fn *on_record, void *context,
			 struct error *error, struct source **ret);

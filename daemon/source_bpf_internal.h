/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The live source's state, shared by its files: source_bpf.c (CPUs, slots, reading, life),
 * source_bpf_unwind.c (the operations on tables and mappings), source_bpf_watch.c (when the
 * views that see by tracepoints look), source_bpf_counters.c (what the kernel side has counted).
 */
#pragma once

#include "daemon/base/vec.h"
#include "daemon/bpf_programs.h"
#include "daemon/duty.h"
#include "daemon/pid_marks.h"
#include "daemon/reorder.h"
#include "daemon/sampling_event.h"
#include "daemon/sideband.h"
#include "daemon/source.h"
#include "daemon/source_faults.h"
#include "daemon/source_heap.h"
#include "daemon/source_mmap.h"
#include "daemon/unwind_maps.h"

#define RINGS_MAX 8u

/* A CPU that runs. */
struct cpu {
	uint32_t number;
	struct sideband sideband;
	struct sampling_event events[ABI_SLOTS_MAX];
	uint64_t fired; /* of all slots, when last looked at */
	uint32_t quiet; /* looks since it last grew */
};

/* What the machine's views see by tracepoints. */
enum bpf_watch { BPF_WATCH_FAULTS, BPF_WATCH_MAPPINGS, BPF_WATCH_COUNT };

struct bpf_watched {
	bool used; /* a view is open */
	struct duty duty;
	uint64_t looked; /* boot time, ns: since then what it cost is counted */
	uint64_t *sum, *paid; /* by CPU, ns: scratch; what it cost when last counted */
};

struct source_bpf {
	struct source base;
	struct bpf_programs programs;
	struct source_heap heap;
	struct source_mmap mmap;
	struct source_faults faults;
	struct bpf_watched watched[BPF_WATCH_COUNT];
	const struct config *config;
	struct ring_buffer *rings;
	int ring_fds[RINGS_MAX];
	uint32_t ring_count;
	uint64_t sideband_bytes;
	VEC(struct cpu) cpus;
	struct source_slot slots[ABI_SLOTS_MAX];
	bool open[ABI_SLOTS_MAX];
	uint32_t generation, generations[ABI_SLOTS_MAX];
	int possible_cpus;
	int online_fd; /* cpus_online_open() */
	struct abi_counters *per_cpu; /* scratch of possible_cpus */
	__u64 *per_cpu_periods; /* likewise */
	uint32_t cpu_changes;
	double views; /* the part of view_budget that is theirs just now; 0: not told yet */
	bool blind; /* nobody is told of mappings */
	uint64_t sideband_lost;
	uint64_t symbols_changed; /* before the last CPU came: boot time, ns */
	uint64_t ring_used;
	uint64_t drained_at; /* clock before the last round of reading */
	struct reorder reorder;
	struct unwind_maps unwind;
	struct pid_marks marks;
	VEC(struct loaded_table) tables; /* by image id */
};

static inline struct source_bpf *self(struct source *source)
{
	return (struct source_bpf *)source;
}

/* As in struct source_ops. */
int bpf_load_table(struct source *source, uint32_t image, const struct unwind_table *table);
void bpf_unload_table(struct source *source, uint32_t image);
void bpf_no_table(struct source *source, uint32_t image);
bool bpf_walk(struct source *source, const struct abi_raw *raw, const struct mapping_set *maps,
	      bool last, struct host_stack *ret, uint32_t *ret_lacks);
int bpf_publish_set(struct source *source, struct mapping_set *set);
void bpf_withdraw_set(struct source *source, struct mapping_set *set);
void bpf_assign_set(struct source *source, uint32_t pid, uint32_t number, uint32_t exec_id);
void bpf_know_file(struct source *source, const struct unwind_inode *file, uint32_t image);
void bpf_forget_file(struct source *source, const struct unwind_inode *file, uint32_t image);
void bpf_forget_image(struct source *source, uint32_t image);
int bpf_tell_mappings(struct source *source, bool all);
int bpf_set_jvm(struct source *source, uint32_t pid, const struct jvm_layout *layout);

void bpf_get_counters(struct source *source, struct source_counters *ret);
void bpf_get_run_time(struct source *source, uint64_t *ret_ns, uint64_t *ret_runs);
void bpf_share_views(struct source *source, double part);
uint64_t bpf_watch(struct source *source, uint64_t now);
/* A view's slot opens, before its window is asked for; closes. */
int bpf_watch_open(struct source_bpf *s, uint32_t slot);
void bpf_watch_close(struct source_bpf *s, uint32_t slot);
void bpf_watch_deinit(struct source_bpf *s);
/* When the slot's events count; in one of how many slices of the time. */
struct duty_window bpf_watch_window(struct source_bpf *s, uint32_t slot, uint32_t *ret_slices);
/* The kernel side's knowledge of a slot. */
int bpf_write_slot(struct source_bpf *s, uint32_t slot, bool active);

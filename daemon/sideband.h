/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The perf side band: what the kernel tells of processes (fork, exec, comm,
 * exit, executable mappings with build id) through a software event on each
 * CPU. It needs no BTF and no tracefs. Records come out in the ABI's form.
 * (perf_event_open(2); PERF_RECORD_MMAP2 with a build id: kernel commit
 * 88a16a130933, 5.12.) It tells of BPF programs that come and go, too (PERF_RECORD_KSYMBOL,
 * kernel commit 76193a94522f, 5.1): of these only the time of the last is kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/base/error.h"

/* One CPU's event and its buffer. */
struct sideband {
	int fd;
	int tasks_fd; /* the event of tasks, or of tasks and mappings, which writes there; -1: none
		       */
	bool mappings; /* which of the two */
	int next_fd; /* the other of the two, on its way to be the present one; -1: none */
	/* Of the events: the present one, the one before, and the one to come. */
	uint64_t tasks_id, older_id, next_id;
	uint64_t
		since; /* boot time ns: from then on the present one counts, until then the other */
	uint32_t cpu;
	void *pages; /* header page, then the ring */
	size_t ring_bytes;
	uint64_t symbols_changed; /* boot time ns: when code of the kernel's came or went last */
	void *whole; /* where a record that wraps around the ring is put together */
};

/* -errno with the knob in `error`: CAP_PERFMON, perf_event_paranoid. `mappings`: tells of them,
 * too. */
int sideband_init(struct sideband *sideband, uint32_t cpu, uint64_t ring_bytes, bool mappings,
		  struct error *error);
/* It is to tell of mappings, or not to: for each mapping of the machine, one of data too,
 * the kernel makes up the path and the build id as long as any such event is open, on whatever CPU
 * (perf_event_mmap_event(), kernel/events/core.c). All CPUs begin, which can fail (-errno: as it
 * was); then all end, with the new one, or without (`keep`). */
int sideband_begin_change(struct sideband *sideband, bool mappings);
void sideband_end_change(struct sideband *sideband, bool keep);
void sideband_deinit(struct sideband *sideband);
/* Reads all there is; `each` gets ABI records (order: as written). */
void sideband_drain(struct sideband *sideband,
		    void (*each)(void *context, const void *record, size_t size), void *context);

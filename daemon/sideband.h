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
	uint32_t cpu;
	void *pages; /* header page, then the ring */
	size_t ring_bytes;
	uint64_t symbols_changed; /* boot time ns: when code of the kernel's came or went last */
	void *whole; /* where a record that wraps around the ring is put together */
};

/* -errno with the knob in `error`: CAP_PERFMON, perf_event_paranoid. */
int sideband_init(struct sideband *sideband, uint32_t cpu, uint64_t ring_bytes,
		  struct error *error);
void sideband_deinit(struct sideband *sideband);
/* Reads all there is; `each` gets ABI records (order: as written). */
void sideband_drain(struct sideband *sideband,
		    void (*each)(void *context, const void *record, size_t size), void *context);

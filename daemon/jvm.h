/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The Java machines among the processes: who maps libjvm.so is asked, by way of the
 * symbolizer's worker, how its code is laid out, and the kernel side is told, so that
 * its walks get through Java frames (bpf/hotspot.h). A machine that is still starting
 * is asked again.
 *
 * The worker gets the process's memory as a descriptor; it is opened with the daemon's
 * rights when the question is asked, and closed with the answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/image_table.h"
#include "daemon/process_table.h"
#include "daemon/source.h"
#include "symbolizer/client.h"
#include "symbolizer/openers.h"

/* Machines known at once; more are walked by frame pointer, and counted. */
#define JVMS_MAX 4096u

struct jvm;

struct jvm_table {
	struct source *source;
	struct symbolizer *symbolizer;
	struct openers *openers;
	VEC(struct jvm *) items;
	uint32_t known; /* of them: the kernel side has their layout */
	uint64_t failed; /* machines that were given up, counted */
	uint64_t refused; /* above the limit */
};

/* All are borrowed; no answer may come after jvm_table_deinit(). */
void jvm_table_init(struct jvm_table *table, struct source *source, struct symbolizer *symbolizer,
		    struct openers *openers);
void jvm_table_deinit(struct jvm_table *table);
/* The process maps code of the image (or NULL), from `offset` in its file on, at `start`. */
void jvm_table_mapped(struct jvm_table *table, struct process *process, const struct image *image,
		      uint64_t start, uint64_t offset);
/* Likewise all that it maps. */
void jvm_table_look(struct jvm_table *table, struct process *process,
		    const struct image_table *images);
/* Asks those whose time has come (now: boot time, ns), forgets those that ended. */
void jvm_table_flush(struct jvm_table *table, uint64_t now);

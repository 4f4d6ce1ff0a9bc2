/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The text of /proc/PID/maps (proc_pid_maps(5)), read as a stream: a process
 * may have hundreds of thousands of mappings.
 *
 * Paths: the kernel writes a newline in a name as \012 and nothing else
 * (show_map_vma() and seq_path() in fs/proc/task_mmu.c), so that alone is
 * undone: a backslash of a name stands for itself. " (deleted)" is taken off
 * and told. A name may be "[heap]", "[vdso]", "//anon", "anon_inode:…", or "".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"

#define PROC_MAPS_MAX (4U << 20) /* mappings; vm.max_map_count is 65530 unless raised */

struct proc_map {
	uint64_t start, end; /* process addresses */
	uint64_t offset; /* in the file */
	uint64_t inode; /* 0: no file */
	uint32_t dev_major, dev_minor;
	bool readable, writable, executable, shared, deleted;
	const char *path; /* valid until the callback returns */
	size_t path_length;
};

/* Nonzero ends the parsing and is given back. */
typedef int proc_maps_fn(void *context, const struct proc_map *map);

/* 0; -EBADMSG with the line's number; -E2BIG; -ESRCH (the process went while it
 * was read); what read() or `each` says. The descriptor stays the caller's. */
int proc_maps_parse(int fd, proc_maps_fn *each, void *context, struct error *error);
/* One line, without its newline, which is changed in place. False if it is none. */
bool proc_maps_line(char *line, size_t length, struct proc_map *ret);

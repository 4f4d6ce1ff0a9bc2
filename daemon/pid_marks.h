/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's hold on the marks of processes that the kernel side may know something of
 * (bpf/pid_mark.h): the map's memory, mapped.
 */
#pragma once

#include <stdint.h>

struct pid_marks {
	uint64_t *words; /* NULL: not mapped */
};

/* `map`: borrowed, the descriptor of an array of PID_MARK_WORDS; 0 or -errno. */
int pid_marks_init(struct pid_marks *marks, int map);
void pid_marks_deinit(struct pid_marks *marks);
/* To be called when an entry of the process has been put into a map. */
void pid_marks_set(struct pid_marks *marks, uint32_t pid);

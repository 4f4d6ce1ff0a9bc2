/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/pid_marks.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "bpf/pid_mark.h"

#define BYTES (PID_MARK_WORDS * sizeof(uint64_t))

int pid_marks_init(struct pid_marks *marks, int map)
{
	uint64_t *words = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	if (words == MAP_FAILED)
		return -errno;
	marks->words = words;
	return 0;
}

void pid_marks_deinit(struct pid_marks *marks)
{
	if (marks->words)
		munmap(marks->words, BYTES);
	marks->words = NULL;
}

void pid_marks_set(struct pid_marks *marks, uint32_t pid)
{
	if (marks->words)
		__atomic_fetch_or(&marks->words[pid_mark_word(pid)], pid_mark_bit(pid),
				  __ATOMIC_SEQ_CST);
}

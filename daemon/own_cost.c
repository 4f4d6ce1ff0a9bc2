/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/own_cost.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"

#define CHILDREN_BYTES 4096

void own_cost_init(struct own_cost *cost)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	*cost = (struct own_cost){
		.children_fd = open(path, O_RDONLY | O_CLOEXEC),
		.stat_fd = open("/proc/stat", O_RDONLY | O_CLOEXEC),
	};
}

void own_cost_deinit(struct own_cost *cost)
{
	if (cost->children_fd >= 0)
		close(cost->children_fd);
	if (cost->stat_fd >= 0)
		close(cost->stat_fd);
	cost->children_fd = cost->stat_fd = -1;
}

static uint64_t usage_ns(int who)
{
	struct rusage usage;

	if (getrusage(who, &usage))
		return 0;
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static uint64_t process_ns(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time))
		return 0;
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

static uint64_t children_ns(const struct own_cost *cost)
{
	char text[CHILDREN_BYTES], *at = text, *end;
	ssize_t n =
		cost->children_fd < 0 ? -1 : pread(cost->children_fd, text, sizeof(text) - 1, 0);
	uint64_t ns = 0;

	if (n <= 0)
		return 0;
	text[n] = 0;
	for (;;) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			return ns;
		ns += process_ns((pid_t)pid);
		at = end;
	}
}

uint64_t own_cost_cpu_ns(struct own_cost *cost)
{
	uint64_t ns = usage_ns(RUSAGE_SELF) + usage_ns(RUSAGE_CHILDREN) + children_ns(cost);

	if (ns > cost->cpu_ns)
		cost->cpu_ns = ns;
	return cost->cpu_ns;
}

/* The line of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)). */
uint64_t own_cost_stolen_ns(const struct own_cost *cost)
{
	char text[256];
	ssize_t n = cost->stat_fd < 0 ? -1 : pread(cost->stat_fd, text, sizeof(text) - 1, 0);
	uint64_t steal;

	if (n <= 0)
		return 0;
	text[n] = 0;
	if (sscanf(text,
		   "cpu %*s %*s %*s %*s %*s %*s"
		   " %*s %" SCNu64,
		   &steal) != 1)
		return 0;
	return steal * (NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/firing_cost.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define PERIOD_NS 100000u /* many firings in little time, and never two in one gap */
#define MEASURE_NS (12 * NSEC_PER_MSEC)
#define GAP_NS 300u /* two looks at the clock are some 40 ns apart */
#define AWAY_NS 150000u /* longer: the thread was not run */
#define GAPS_MAX 1024u

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int open_clock(void)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_SOFTWARE,
				       .config = PERF_COUNT_SW_CPU_CLOCK,
				       .sample_period = PERIOD_NS,
				       .disabled = 1};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static size_t watch(uint64_t *gaps)
{
	uint64_t began = now_ns(), before = began, time;
	size_t count = 0;

	do {
		time = now_ns();
		if (time - before > GAP_NS && time - before < AWAY_NS && count < GAPS_MAX)
			gaps[count++] = time - before;
		before = time;
	} while (time - began < MEASURE_NS);
	return count;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* The median: other interrupts (the scheduler's tick, the hypervisor's own) are few beside
 * firings, and on either side of them. */
int firing_cost_of(uint64_t *gaps, size_t count, size_t expected, uint32_t *ret)
{
	if (!count || count < expected / 2)
		return -EAGAIN;
	qsort(gaps, count, sizeof(*gaps), compare);
	*ret = (uint32_t)gaps[count / 2];
	return 0;
}

int firing_cost_measure(uint32_t *ret)
{
	_cleanup_close_ int fd = open_clock();
	uint64_t gaps[GAPS_MAX];
	size_t count;

	if (fd < 0)
		return fd;
	if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return -errno;
	count = watch(gaps);
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	return firing_cost_of(gaps, count, MEASURE_NS / PERIOD_NS, ret);
}

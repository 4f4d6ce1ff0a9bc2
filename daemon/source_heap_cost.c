/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a call of a probed function costs its thread: some hundred nanoseconds to one and a half
 * microseconds, by the machine and the kernel. Measured at a function of perfd's own, with the
 * program that other processes have, for two things hang upon it: the budget, and how much of a
 * window a process had for itself (heap_windows.h).
 */
#include "daemon/source_heap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "symbolizer/probe_points.h"

#define CALLS 300u /* a third of a millisecond */
#define BATCHES 8u /* the fastest counts: the others were displaced, or cold */
/* Between two calls it does nothing, or works on as much data as the first cache has: what a hit
 * pushes out of the caches costs a program, too (850 ns, and 980, where this was written). Programs
 * lie between. */
#define DATA (32u << 10)
#define LINE 64u
#define RDI 5 /* the number that DWARF gives it */
#define INTERVAL (1ULL << 31) /* hardly ever is it a sample */

/* It begins as most functions do, and does nothing. */
void source_heap_probed(uint64_t size);
#ifdef __x86_64__
#define BODY "push %rbp\n\tpop %rbp\n\tret\n"
#else
#define BODY "nop\n\tret\n"
#endif
__asm__(".pushsection .text\n"
	".type source_heap_probed, %function\n"
	"source_heap_probed:\n\t" BODY ".size source_heap_probed, . - source_heap_probed\n"
	".popsection\n");

/* Where it is in perfd's file. */
static int find_offset(uint64_t *ret)
{
	uint64_t address = (uint64_t)(uintptr_t)source_heap_probed, start, end, offset;
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &offset) ==
			    3 &&
		    address >= start && address < end) {
			*ret = address - start + offset;
			return 0;
		}
	return -ENOENT;
}

static uint64_t time_calls(volatile char *data, uint32_t size)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t batch = 0; batch < BATCHES; batch++) {
		uint64_t began = clock_boot_ns(), took;

		for (uint32_t i = 0; i < CALLS; i++) {
			source_heap_probed(1);
			for (uint32_t at = 0; at < size; at += LINE)
				data[at]++;
		}
		took = clock_boot_ns() - began;
		if (took < least)
			least = took;
	}
	return least / CALLS;
}

static int attach(struct source_heap *heap, pid_t pid, const struct probe_points *points,
		  struct heap_links *links)
{
	return source_heap_attach(heap, pid, "/proc/self/exe", points,
				  heap->fates ? HEAP_PROBES_FATES : HEAP_PROBES_CALLS, links)
		       ? -EIO
		       : 0;
}

/* A call without a probe, with one, and while another process has one there whose return may be
 * asked for: then each call has a return probe. */
static int time_all(struct source_heap *heap, const struct probe_points *points, char *data,
		    struct heap_cost *ret)
{
	uint64_t bare[2], probed[2] = {0}, returned[2] = {0};
	pid_t pid = getpid(), other = getppid();
	struct heap_links own = {0}, others = {0};
	int r;

	for (uint32_t i = 0; i < 2; i++)
		bare[i] = time_calls(data, i * DATA);
	r = attach(heap, pid, points, &own);
	for (uint32_t i = 0; !r && i < 2; i++)
		probed[i] = time_calls(data, i * DATA);
	/* In a pid namespace of its own perfd's parent has no number there, and 0 would be
	 * everybody. */
	if (!r && heap->fates && other)
		r = attach(heap, other, points, &others);
	for (uint32_t i = 0; !r && i < 2; i++)
		returned[i] = time_calls(data, i * DATA);
	source_heap_detach(&own);
	source_heap_detach(&others);
	if (r || probed[0] <= bare[0] || probed[1] <= bare[1])
		return r ? r : -EAGAIN;
	ret->hit_ns = (uint32_t)((probed[0] - bare[0] + probed[1] - bare[1]) / 2);
	ret->return_ns = 0;
	if (returned[0] + returned[1] > probed[0] + probed[1])
		ret->return_ns =
			(uint32_t)((returned[0] + returned[1] - probed[0] - probed[1]) / 2);
	return 0;
}

int source_heap_measure(struct source_heap *heap, struct heap_cost *ret)
{
	_cleanup_free_ struct probe_points *points = calloc(1, sizeof(*points));
	_cleanup_free_ char *data = calloc(1, DATA);
	struct abi_heap_target target = {.until = UINT64_MAX, .interval = INTERVAL};
	uint32_t pid = (uint32_t)getpid();
	struct heap_cost cost;
	int r;

	if (!points || !data)
		return -ENOMEM;
	points->count = 1;
	points->items[0] = (struct probe_point){
		.probe = ABI_PROBE_SIZE, .arguments = {RDI}, .emulated = true, .returns = true};
	r = find_offset(&points->items[0].offset);
	if (!r)
		r = source_heap_set_target(heap, pid, &target);
	if (r)
		return r;
	r = time_all(heap, points, data, &cost);
	if (!source_heap_target(heap, pid, &target) || target.hits < CALLS)
		r = r ? r : -EAGAIN;
	source_heap_set_target(heap, pid, NULL);
	if (!r)
		*ret = cost;
	return r;
}

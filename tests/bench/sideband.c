/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What perf's side band takes from whoever begins and ends processes: daemon/sideband.h opened
 * and closed in turns, within one run.
 *
 *	sideband PAIRS [tasks]
 *
 * tasks: the side band as it is while nobody is told of mappings (daemon/engine_mappings.h).
 *
 * Opened and closed, not turned off and on: for each mapping of the machine, one of data too, the
 * kernel makes up the path and the build id as long as somebody has such an event, enabled or not
 * (perf_event_mmap_event() in kernel/events/core.c).
 *
 * A line of JSON: {"fork": [...], "start": [...]}, the ns that a child took longer with the side
 * band, one a pair: one that ends at once, one that executes a program; and "fork_events",
 * "start_events", "start_mappings": how many the side band told of for each.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cpus.h"
#include "daemon/sideband.h"

#define CHILDREN 24u /* a slice */
#define RING_BYTES (1u << 20)
#define CPUS 64u

struct told {
	pid_t children[CHILDREN + 1]; /* of this slice: others begin and end processes, too */
	unsigned int count;
	uint64_t events, mappings;
};

struct bands {
	struct sideband cpus[CPUS];
	uint32_t count;
	bool mappings;
	struct told told;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static bool ours(const struct told *told, uint32_t pid)
{
	for (unsigned int i = 0; i < told->count; i++)
		if ((uint32_t)told->children[i] == pid)
			return true;
	return false;
}

static void count(void *context, const void *record, size_t size)
{
	struct told *told = context;
	const struct abi_fork *event = record; /* the pid is the first in all of them */

	_Static_assert(offsetof(struct abi_fork, pid) == offsetof(struct abi_mmap, pid) &&
			       offsetof(struct abi_fork, pid) == offsetof(struct abi_comm, pid) &&
			       offsetof(struct abi_fork, pid) == offsetof(struct abi_exit, pid),
		       "same place");
	(void)size;
	if (event->hdr.type < ABI_FORK || event->hdr.type > ABI_MMAP || !ours(told, event->pid))
		return;
	told->events++;
	told->mappings += event->hdr.type == ABI_MMAP;
}

static void open_bands(struct bands *bands)
{
	struct error error;
	struct cpus online;

	if (cpus_online(&online))
		exit(EXIT_FAILURE);
	for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
		if (!cpus_has(&online, cpu))
			continue;
		if (sideband_init(&bands->cpus[bands->count++], cpu, RING_BYTES, bands->mappings,
				  &error)) {
			fprintf(stderr, "%s\n", error.text);
			exit(EXIT_FAILURE);
		}
	}
}

static void close_bands(struct bands *bands)
{
	for (uint32_t i = 0; i < bands->count; i++) {
		sideband_drain(&bands->cpus[i], count, &bands->told);
		sideband_deinit(&bands->cpus[i]);
	}
	bands->count = 0;
}

static pid_t one_child(bool starts)
{
	pid_t pid = vfork();

	if (!pid) {
		if (starts)
			execl("/proc/self/exe", "sideband", (char *)NULL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid;
}

static int compare(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return a < b ? -1 : a > b;
}

/* What a child takes that nobody else has come between: the first quartile. */
static int64_t slice(bool starts, struct told *told)
{
	int64_t took[CHILDREN + 1];

	for (told->count = 0; told->count <= CHILDREN; told->count++) {
		uint64_t began = now();

		told->children[told->count] = one_child(starts);
		took[told->count] = (int64_t)(now() - began);
	}
	/* The first one has to do with what opening and closing has pushed out of caches. */
	qsort(took + 1, CHILDREN, sizeof(*took), compare);
	return took[1 + CHILDREN / 4];
}

static struct told compare_slices(bool starts, bool mappings, unsigned int pairs)
{
	struct bands *bands = calloc(1, sizeof(*bands));
	struct told told;

	if (!bands)
		exit(EXIT_FAILURE);
	bands->mappings = mappings;
	printf("\"%s\": [", starts ? "start" : "fork");
	for (unsigned int pair = 0; pair < pairs; pair++) {
		int64_t with[2];

		/* On and off, off and on: what drifts is for it once and once against it. */
		for (unsigned int half = 0; half < 2; half++) {
			bool on = (pair + half) % 2;

			if (on)
				open_bands(bands);
			with[on] = slice(starts, &bands->told);
			if (on)
				close_bands(bands);
		}
		printf("%s%" PRId64, pair ? ", " : "", with[1] - with[0]);
	}
	printf("], ");
	told = bands->told;
	free(bands);
	return told;
}

/* Parent and children on one CPU: where they wake each other on two, that is most of the time. */
static void stay_here(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

int main(int argc, char **argv)
{
	unsigned int pairs = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 0;
	double children = (double)pairs * (CHILDREN + 1);
	bool mappings = argc < 3;
	struct told fork, start;

	if (!pairs)
		return 0; /* the program that is started */
	stay_here();
	printf("{");
	fork = compare_slices(false, mappings, pairs);
	start = compare_slices(true, mappings, pairs);
	printf("\"fork_events\": %.3f, \"start_events\": %.3f, \"start_mappings\": %.3f}\n",
	       (double)fork.events / children, (double)start.events / children,
	       (double)start.mappings / children);
	return 0;
}

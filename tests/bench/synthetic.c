/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * synthetic FILE SAMPLES RATE PROCESSES STACKS DEPTH [FILE WITH CODE]
 *
 * A recording (daemon/capture.h) of a machine that never was: RATE samples a second of
 * PROCESSES processes, in STACKS stacks of DEPTH frames in all, drawn by Zipf's law with
 * exponent 1; four CPUs. Frames lie in the mapped file (the C library), so that they have
 * names to be looked up. `perfd --replay FILE` plays it; FILE may be a pipe.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daemon/base/clock.h"
#include "daemon/capture.h"

#define CPUS 4u
#define FIRST_PID 100000u
#define CODE 0x7f0000000000ULL /* where the file is mapped, in each process */
#define KERNEL_STACKS 64u
#define FRAMES_MAX 500u

struct machine {
	FILE *file;
	uint64_t time, random;
	uint64_t samples, rate, processes, stacks, depth;
	const char *path;
	struct stat code;
	uint8_t *sent; /* a flag for each stack */
};

static uint64_t next(uint64_t *random)
{
	/* xorshift64 (Marsaglia 2003) */
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static void put(struct machine *machine, void *record, size_t size)
{
	struct abi_header *header = record;

	header->size = (uint16_t)size;
	header->time = machine->time;
	if (fwrite(record, size, 1, machine->file) != 1) {
		perror("synthetic");
		exit(EXIT_FAILURE);
	}
}

static void put_process(struct machine *machine, uint32_t number)
{
	struct abi_task task = {.hdr.type = ABI_TASK,
				.pid = FIRST_PID + number,
				.tid = FIRST_PID + number,
				.ppid = 1,
				.start = machine->time - NSEC_PER_SEC};
	size_t length = (strlen(machine->path) + 8) & ~7ul;
	struct abi_mmap *mmap = calloc(1, sizeof(*mmap) + length);

	snprintf(task.comm, sizeof(task.comm), "service%u", number);
	put(machine, &task, sizeof(task));
	if (!mmap)
		exit(EXIT_FAILURE);
	mmap->hdr.type = ABI_MMAP;
	mmap->pid = mmap->tid = FIRST_PID + number;
	mmap->start = CODE;
	mmap->length = ((uint64_t)machine->code.st_size + 4095) & ~4095ULL;
	mmap->inode = machine->code.st_ino;
	mmap->dev_major = major(machine->code.st_dev);
	mmap->dev_minor = minor(machine->code.st_dev);
	memcpy(mmap->path, machine->path, strlen(machine->path));
	put(machine, mmap, sizeof(*mmap) + length);
	free(mmap);
}

/* The same for the same number; a walk over few thousand call sites. */
static void put_stack(struct machine *machine, uint64_t number, bool kernel, uint32_t pid)
{
	struct {
		struct abi_stack head;
		uint64_t frames[FRAMES_MAX];
	} stack = {.head = {.hdr.type = ABI_STACK,
			    .id = (number + 1) << 1 | kernel,
			    .pid = kernel ? 0 : pid,
			    .space = kernel ? ABI_SPACE_KERNEL : ABI_SPACE_USER,
			    .form = ABI_FRAME_ADDRESS}};
	uint64_t own = (number + 1) * 0x9e3779b97f4a7c15ULL | 1, site = number % 97;
	uint64_t size = (uint64_t)machine->code.st_size;

	stack.head.count = (uint16_t)(kernel ? 8 : machine->depth);
	for (uint32_t i = 0; i < stack.head.count; i++) {
		site = (site * 31 + 7 + next(&own) % 5) % 4000;
		stack.frames[i] = kernel ? 0xffffffff81000000ULL + site * 1024
					 : CODE + size / 4 + site * (size / 2 / 4000);
	}
	put(machine, &stack, sizeof(stack.head) + stack.head.count * sizeof(uint64_t));
}

static uint64_t zipf(struct machine *machine)
{
	double u = (double)(next(&machine->random) >> 11) / (double)(1ULL << 53);

	return (uint64_t)(exp(u * log((double)machine->stacks + 1)) - 1) % machine->stacks;
}

static void put_sample(struct machine *machine, uint64_t number)
{
	/* The first STACKS samples bring one each, so that there are so many. */
	uint64_t stack = number < machine->stacks ? number : zipf(machine);
	uint32_t pid = FIRST_PID + (uint32_t)(stack * 2654435761u % machine->processes);
	uint64_t kernel = stack % KERNEL_STACKS;
	struct abi_sample sample = {.hdr = {.type = ABI_SAMPLE,
					    .cpu = (uint16_t)(number % CPUS),
					    .source = ABI_SOURCE_CPU_CLOCK,
					    .slot = ABI_SLOT_CPU},
				    .pid = pid,
				    .tid = pid,
				    .cgroup = 1,
				    .user_stack = (stack + KERNEL_STACKS + 1) << 1,
				    .kernel_stack = stack % 4 ? 0 : (kernel + 1) << 1 | 1,
				    .weight = NSEC_PER_SEC * CPUS / machine->rate};

	machine->time += NSEC_PER_SEC / machine->rate;
	if (!machine->sent[stack]) {
		machine->sent[stack] = 1;
		put_stack(machine, stack + KERNEL_STACKS, false, pid);
	}
	put(machine, &sample, sizeof(sample));
}

int main(int argc, char **argv)
{
	struct capture_head head = {.magic = CAPTURE_MAGIC, .abi_version = ABI_VERSION};
	struct machine machine = {.random = 88172645463325252ULL};

	if (argc < 7) {
		fprintf(stderr,
			"usage: synthetic FILE SAMPLES RATE PROCESSES STACKS DEPTH [CODE]\n");
		return 2;
	}
	machine.samples = strtoull(argv[2], NULL, 10);
	machine.rate = strtoull(argv[3], NULL, 10);
	machine.processes = strtoull(argv[4], NULL, 10);
	machine.stacks = strtoull(argv[5], NULL, 10);
	machine.depth = strtoull(argv[6], NULL, 10);
	machine.path = argc > 7 ? argv[7] : "/lib/x86_64-linux-gnu/libc.so.6";
	if (!machine.rate || !machine.processes || !machine.stacks || machine.depth > FRAMES_MAX ||
	    stat(machine.path, &machine.code)) {
		fprintf(stderr, "synthetic: %s: %s\n", machine.path, strerror(errno));
		return 1;
	}
	machine.sent = calloc(machine.stacks, 1);
	machine.file = fopen(argv[1], "we");
	if (!machine.sent || !machine.file || fwrite(&head, sizeof(head), 1, machine.file) != 1) {
		perror(argv[1]);
		return 1;
	}
	machine.time = clock_boot_ns();
	for (uint32_t i = 0; i < machine.processes; i++)
		put_process(&machine, i);
	for (uint64_t i = 0; i < KERNEL_STACKS; i++)
		put_stack(&machine, i, true, 0);
	for (uint64_t i = 0; i < machine.samples; i++)
		put_sample(&machine, i);
	free(machine.sent);
	return fclose(machine.file) ? 1 : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/event_kind.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/strbuf.h"

/* In the order of enum abi_source. */
static const struct event_kind kinds[] = {
	{ABI_SOURCE_CPU_CLOCK, "cpu-clock", "samples", "cpu", "nanoseconds", ABI_SLOT_CPU,
	 "cpu.frequency_hz", "CPU time, by a timer"},
	{ABI_SOURCE_CYCLES, "cycles", "samples", "cycles", "cycles", ABI_SLOT_CPU,
	 "cpu.frequency_hz", "CPU time, by the hardware's cycle counter"},
	{ABI_SOURCE_FAULTS, "faults", "samples", "faults", "count", ABI_SLOT_FAULTS,
	 "memory.faults_hz", "page faults: who touches new memory"},
	{ABI_SOURCE_HEAP, "heap", "alloc_objects", "alloc_space", "bytes", ABI_SLOT_HEAP,
	 "memory.heap_probes", "allocations, and what of them is in use"},
	{ABI_SOURCE_MMAP, "mmap", "samples", "mapped", "bytes", ABI_SLOT_MMAP, "memory.mmap_hz",
	 "address space taken by mmap, mremap and brk"},
	{ABI_SOURCE_MUNMAP, "munmap", "samples", "unmapped", "bytes", ABI_SLOT_MUNMAP,
	 "memory.mmap_hz", "address space given back by munmap, mremap and brk"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
_Static_assert(KINDS + 1 == ABI_SOURCE_COUNT, "a source has no row");

const struct event_kind *event_kind_find(const char *name)
{
	for (size_t i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

const struct event_kind *event_kind_of(enum abi_source source)
{
	return &kinds[source ? source - 1 : 0];
}

void event_kind_explain(const struct event_kind *kind, char *text, size_t size)
{
	if (*kind->key)
		snprintf(text, size, "%s is 0", kind->key);
	else
		snprintf(text, size, "only sessions look at it (perfctl help attach)");
}

char *event_kind_names(void)
{
	struct strbuf names = {0};

	for (size_t i = 0; i < KINDS; i++)
		strbuf_printf(&names, "%s%s", i ? ", " : "", kinds[i].name);
	return strbuf_error(&names) ? (strbuf_deinit(&names), NULL) : names.data;
}

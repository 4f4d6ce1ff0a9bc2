/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk as host code: what bpf/walk.h and the headers under it need of libbpf,
 * for a compiler that does not make BPF. Who includes them defines the helpers
 * declared here, which stand for the kernel's (daemon/host_walk.c does). Maps are
 * only names here: host_lookup() is told which one is asked.
 */
#pragma once

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

#define UNROLL /* the verifier is not here */

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#undef __noinline
#define __noinline static __attribute__((noinline))

struct task_struct;
struct vm_area_struct;

static void *host_lookup(const void *map, const void *key);
/* 0, or negative: not in memory. */
static long host_read(void *to, __u32 size, const void *address);

static inline void *bpf_map_lookup_elem(const void *map, const void *key)
{
	return host_lookup(map, key);
}

static inline long bpf_map_update_elem(const void *map, const void *key, const void *value,
				       __u64 flags)
{
	(void)map, (void)key, (void)value, (void)flags;
	return -1;
}

static inline long bpf_probe_read_user(void *to, __u32 size, const void *address)
{
	return host_read(to, size, address);
}

static inline long bpf_loop(__u32 count, long (*step)(__u32 index, void *context), void *context,
			    __u64 flags)
{
	__u32 i = 0;

	(void)flags;
	while (i < count && !step(i, context))
		i++;
	return i;
}

/* Whoever walks later has the mappings, or will not get them from here. */
static inline long bpf_find_vma(struct task_struct *task, __u64 address,
				long (*found)(struct task_struct *task, struct vm_area_struct *vma,
					      void *context),
				void *context, __u64 flags)
{
	(void)task, (void)address, (void)found, (void)context, (void)flags;
	return -1;
}

/* Nor is the thread here. */
static inline struct task_struct *bpf_get_current_task_btf(void)
{
	return (struct task_struct *)0;
}

#define bpf_core_field_exists(field) ((void)sizeof(field), true)

#define HOST_READ_1(from, a) ((from)->a)
#define HOST_READ_2(from, a, b) ((from)->a->b)
#define HOST_READ_3(from, a, b, c) ((from)->a->b->c)
#define HOST_READ_PICK(a, b, c, read, ...) read
#define BPF_CORE_READ(from, ...)                                                                   \
	HOST_READ_PICK(__VA_ARGS__, HOST_READ_3, HOST_READ_2, HOST_READ_1, 0)(from, __VA_ARGS__)

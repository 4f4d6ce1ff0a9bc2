/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/source_heap.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/abi.h"
#include "daemon/base/cleanup.h"
#include "daemon/bpf_programs.h"
#include "symbolizer/probe_points.h"

#include "cpu.skel.h"
#include "heap.skel.h"

#define TYPE_PATH "/sys/bus/event_source/devices/uprobe/type"
#define SEMAPHORE_SHIFT 32 /* format/ref_ctr_offset beside it: config:32-63 */

static int uprobe_type(void)
{
	_cleanup_fclose_ FILE *file = fopen(TYPE_PATH, "re");
	int type = -1;

	return file && fscanf(file, "%d", &type) == 1 ? type : -1;
}

static int load(struct source_heap *heap, const struct bpf_programs *programs,
		const struct config *config, struct error *error)
{
	LIBBPF_OPTS(bpf_object_open_opts, options,
		    .btf_custom_path = config->btf[0] ? config->btf : NULL);
	struct bpf_map *map;
	int r = 0;

	heap->skel = heap_bpf__open_opts(&options);
	if (!heap->skel)
		return error_set(error, -errno, "cannot open the program of allocations: %s",
				 strerror(errno));
	heap->skel->rodata->ring_count = programs->sampler->rodata->ring_count;
	heap->skel->rodata->ring_wake_bytes = programs->sampler->rodata->ring_wake_bytes;
	bpf_object__for_each_map(map, heap->skel->obj)
	{
		struct bpf_map *lent =
			bpf_object__find_map_by_name(programs->sampler->obj, bpf_map__name(map));

		if (!r && lent && !bpf_map__is_internal(map))
			r = bpf_map__reuse_fd(map, bpf_map__fd(lent));
	}
	if (!r)
		r = heap_bpf__load(heap->skel);
	return r ? error_set(error, r, "the kernel refused the program of allocations: %s",
			     strerror(-r))
		 : 0;
}

int source_heap_load(struct source_heap *heap, const struct bpf_programs *programs,
		     const struct config *config, struct error *error)
{
	int r;

	if (heap->skel)
		return 0;
	heap->type = uprobe_type();
	if (heap->type < 0)
		return error_set(error, -EOPNOTSUPP,
				 "this kernel has no probes in programs (CONFIG_UPROBE_EVENTS): "
				 "-e faults shows who touches new memory");
	r = load(heap, programs, config, error);
	if (r)
		source_heap_deinit(heap);
	return r;
}

void source_heap_deinit(struct source_heap *heap)
{
	heap_bpf__destroy(heap->skel);
	heap->skel = NULL;
}

int source_heap_attach(struct source_heap *heap, pid_t pid, const char *path,
		       const struct probe_point *point, struct heap_links *links)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)heap->type,
		.config = point->semaphore << SEMAPHORE_SHIFT,
		.uprobe_path = (uint64_t)(uintptr_t)path,
		.probe_offset = point->offset,
	};
	LIBBPF_OPTS(bpf_perf_event_opts, options,
		    .bpf_cookie = ABI_PROBE_COOKIE(point->probe, point->arguments[0],
						   point->arguments[1], point->arguments[2]) |
				  (point->emulated ? 0 : ABI_PROBE_STEPPED));
	/* Of all processes: the kernel wants a CPU, and runs the program on each. */
	int fd = (int)syscall(SYS_perf_event_open, &attr, pid, pid < 0 ? 0 : -1, -1,
			      PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *link;

	if (fd < 0)
		return -errno;
	link = bpf_program__attach_perf_event_opts(heap->skel->progs.heap_probe, fd, &options);
	if (!link) {
		int r = -errno;

		close(fd);
		return r;
	}
	if (vec_push(&links->links, link)) {
		bpf_link__destroy(link);
		return -ENOMEM;
	}
	return 0;
}

static void *detach(void *context)
{
	struct heap_links *links = context;

	for (size_t i = 0; i < links->links.count; i++)
		bpf_link__destroy(links->links.items[i]);
	vec_free(&links->links);
	free(links);
	return NULL;
}

void source_heap_detach(struct heap_links *links)
{
	struct heap_links *own;
	pthread_attr_t attributes;
	pthread_t thread;

	if (!links->links.count) {
		vec_free(&links->links);
		return;
	}
	own = malloc(sizeof(*own));
	if (!own) {
		for (size_t i = 0; i < links->links.count; i++)
			bpf_link__destroy(links->links.items[i]);
		vec_free(&links->links);
		return;
	}
	*own = *links;
	*links = (struct heap_links){0};
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, detach, own))
		detach(own);
	pthread_attr_destroy(&attributes);
}

int source_heap_set_target(struct source_heap *heap, uint32_t pid,
			   const struct abi_heap_target *target)
{
	int map;

	if (!heap->skel)
		return -ENOENT;
	map = bpf_map__fd(heap->skel->maps.heap_targets);
	if (!target)
		return bpf_map_delete_elem(map, &pid) ? -errno : 0;
	return bpf_map_update_elem(map, &pid, target, BPF_ANY) ? -errno : 0;
}

bool source_heap_target(struct source_heap *heap, uint32_t pid, struct abi_heap_target *ret)
{
	return heap->skel &&
	       !bpf_map_lookup_elem(bpf_map__fd(heap->skel->maps.heap_targets), &pid, ret);
}

void source_heap_run_time(const struct source_heap *heap, uint64_t *ns, uint64_t *runs)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	if (!heap->skel ||
	    bpf_obj_get_info_by_fd(bpf_program__fd(heap->skel->progs.heap_probe), &info, &size))
		return;
	*ns += info.run_time_ns;
	*runs += info.run_cnt;
}

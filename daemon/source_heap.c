/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/source_heap.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/abi.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "daemon/bpf_programs.h"
#include "daemon/pid_marks.h"
#include "symbolizer/probe_points.h"

#include "cpu.skel.h"
#include "heap.skel.h"
#include "heap_session.skel.h"

#define TYPE_PATH "/sys/bus/event_source/devices/uprobe/type"
#define SEMAPHORE_SHIFT 32 /* format/ref_ctr_offset beside it: config:32-63 */

/* Of Linux 6.13, which the headers of this build may not have: BPF_TRACE_UPROBE_SESSION, and
 * bpf(BPF_LINK_CREATE) as it is for these. */
#define ATTACH_UPROBE_SESSION 57
struct session_link {
	uint32_t program, target, attach_type, flags;
	uint64_t path, offsets, references, cookies;
	uint32_t count, multi_flags, pid, pad;
};

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
	int r;

	heap->skel = heap_bpf__open_opts(&options);
	if (!heap->skel)
		return error_set(error, -errno, "cannot open the program of allocations: %s",
				 strerror(errno));
	heap->skel->rodata->ring_count = programs->sampler->rodata->ring_count;
	heap->skel->rodata->ring_wake_bytes = programs->sampler->rodata->ring_wake_bytes;
	r = bpf_programs_lend(programs->sampler->obj, heap->skel->obj);
	if (!r)
		r = heap_bpf__load(heap->skel);
	return r ? error_set(error, r, "the kernel refused the program of allocations: %s",
			     strerror(-r))
		 : 0;
}

/* Linux 6.13 has session probes; until 6.14 a seccomp filter may end a process for the system
 * call by which a probed function returns. */
static bool kernel_has_sessions(void)
{
	struct utsname name;
	unsigned int major, minor;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 14));
}

/* What a thread makes, and whether it is done; the rest is read only meanwhile. */
struct fates_loading {
	const struct source_heap *heap;
	struct heap_session_bpf *fates;
	char why[200];
	struct heap_cost cost; /* 0: not measured */
	pthread_t thread;
	bool done;
};

/* What tells of frees is not needed: without it there is only what was allocated. */
static void load_fates(struct fates_loading *loading)
{
	const struct source_heap *heap = loading->heap;
	LIBBPF_OPTS(bpf_object_open_opts, options,
		    .btf_custom_path = heap->btf[0] ? heap->btf : NULL);
	const struct bpf_programs *programs = heap->programs;
	struct heap_session_bpf *fates;
	int r;

	if (!kernel_has_sessions()) {
		snprintf(loading->why, sizeof(loading->why),
			 "frees are followed from Linux 6.14 on");
		return;
	}
	fates = heap_session_bpf__open_opts(&options);
	if (!fates) {
		snprintf(loading->why, sizeof(loading->why), "frees are not followed: %s",
			 strerror(errno));
		return;
	}
	fates->rodata->ring_count = programs->sampler->rodata->ring_count;
	fates->rodata->ring_wake_bytes = programs->sampler->rodata->ring_wake_bytes;
	bpf_program__set_expected_attach_type(fates->progs.heap_session,
					      (enum bpf_attach_type)ATTACH_UPROBE_SESSION);
	r = bpf_programs_lend(programs->sampler->obj, fates->obj);
	if (!r)
		r = bpf_programs_lend(heap->skel->obj, fates->obj);
	if (!r)
		r = heap_session_bpf__load(fates);
	if (!r) {
		loading->fates = fates;
		return;
	}
	snprintf(loading->why, sizeof(loading->why),
		 "frees are not followed: the kernel refused the program for it: %s", strerror(-r));
	heap_session_bpf__destroy(fates);
}

/* With the program that there will be. */
static void measure(struct fates_loading *loading)
{
	struct source_heap heap = *loading->heap;
	int r;

	heap.fates = loading->fates;
	r = source_heap_measure(&heap, &loading->cost);
	if (r)
		log_debug("what a probe costs could not be measured: %s", strerror(-r));
	else
		log_debug("a probe costs %" PRIu32 " ns, with the return %" PRIu32 " more",
			  loading->cost.hit_ns, loading->cost.return_ns);
}

static void *run_loading(void *context)
{
	struct fates_loading *loading = context;

	load_fates(loading);
	measure(loading);
	__atomic_store_n(&loading->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void begin_loading(struct source_heap *heap)
{
	struct fates_loading *loading = calloc(1, sizeof(*loading));

	if (!loading) {
		snprintf(heap->why, sizeof(heap->why), "frees are not followed: out of memory");
		return;
	}
	loading->heap = heap;
	if (!pthread_create(&loading->thread, NULL, run_loading, loading)) {
		heap->loading = loading;
		return;
	}
	snprintf(heap->why, sizeof(heap->why), "frees are not followed: no thread for it");
	free(loading);
}

/* Waits for it, if need be. */
static void finish_loading(struct source_heap *heap)
{
	struct fates_loading *loading = TAKE_PTR(heap->loading);

	pthread_join(loading->thread, NULL);
	heap->fates = loading->fates;
	memcpy(heap->why, loading->why, sizeof(heap->why));
	if (loading->cost.hit_ns)
		heap->cost = loading->cost;
	if (heap->why[0])
		log_info("%s", heap->why);
	free(loading);
}

bool source_heap_fates_known(struct source_heap *heap)
{
	if (!heap->fates && !heap->why[0] && !heap->loading)
		begin_loading(heap);
	if (heap->loading && __atomic_load_n(&heap->loading->done, __ATOMIC_ACQUIRE))
		finish_loading(heap);
	return !heap->loading;
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
	heap->cost = (struct heap_cost){.hit_ns = HEAP_HIT_NS, .return_ns = HEAP_RETURN_NS};
	heap->programs = programs;
	heap->btf = config->btf;
	return r;
}

void source_heap_deinit(struct source_heap *heap)
{
	if (heap->loading)
		finish_loading(heap);
	heap_session_bpf__destroy(heap->fates);
	heap->fates = NULL;
	heap_bpf__destroy(heap->skel);
	heap->skel = NULL;
}

static uint64_t cookie_of(const struct probe_point *point)
{
	return ABI_PROBE_COOKIE(point->probe, point->arguments[0], point->arguments[1],
				point->arguments[2]) |
	       (point->emulated ? 0 : ABI_PROBE_STEPPED) | (point->returns ? ABI_PROBE_RETURNS : 0);
}

static void unlink_probe(const struct heap_link *link)
{
	if (link->link)
		bpf_link__destroy(link->link);
	else
		close(link->fd);
}

static int put_link(struct heap_links *links, const struct heap_link *link)
{
	if (!vec_push(&links->links, *link))
		return 0;
	unlink_probe(link);
	return -ENOMEM;
}

/* Probes whose program may ask for the return, too: one link. */
static int attach_session(struct source_heap *heap, pid_t pid, const char *path,
			  const struct probe_point *points, size_t count, struct heap_links *links)
{
	uint64_t offsets[PROBE_POINTS_MAX], cookies[PROBE_POINTS_MAX];
	struct session_link link = {
		.program = (uint32_t)bpf_program__fd(heap->fates->progs.heap_session),
		.attach_type = ATTACH_UPROBE_SESSION,
		.path = (uint64_t)(uintptr_t)path,
		.offsets = (uint64_t)(uintptr_t)offsets,
		.cookies = (uint64_t)(uintptr_t)cookies,
		.count = (uint32_t)count,
		.pid = (uint32_t)pid,
	};
	int fd;

	for (size_t i = 0; i < count; i++) {
		offsets[i] = points[i].offset;
		cookies[i] = cookie_of(&points[i]);
	}
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof(link));
	return fd < 0 ? -errno
		      : put_link(links, &(struct heap_link){.fd = fd, .count = (uint32_t)count});
}

static int attach_event(struct source_heap *heap, pid_t pid, const char *path,
			const struct probe_point *point, struct heap_links *links)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)heap->type,
		.config = point->semaphore << SEMAPHORE_SHIFT,
		.uprobe_path = (uint64_t)(uintptr_t)path,
		.probe_offset = point->offset,
	};
	LIBBPF_OPTS(bpf_perf_event_opts, options, .bpf_cookie = cookie_of(point));
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
	return put_link(links, &(struct heap_link){.link = link, .fd = -1, .count = 1});
}

static bool is_wanted(const struct probe_point *point, enum heap_probes which)
{
	switch ((enum abi_probe)point->probe) {
	case ABI_PROBE_ALLOC:
	case ABI_PROBE_FREE:
		return which == HEAP_PROBES_NOTES;
	case ABI_PROBE_RELEASE:
		return which == HEAP_PROBES_FATES;
	default:
		return which != HEAP_PROBES_NOTES;
	}
}

uint32_t source_heap_attach(struct source_heap *heap, pid_t pid, const char *path,
			    const struct probe_points *points, enum heap_probes which,
			    struct heap_links *links)
{
	struct probe_point wanted[PROBE_POINTS_MAX];
	uint32_t count = 0, failed = 0;

	for (size_t i = 0; i < points->count; i++)
		if (is_wanted(&points->items[i], which))
			wanted[count++] = points->items[i];
	if (which == HEAP_PROBES_FATES && count &&
	    !attach_session(heap, pid, path, wanted, count, links))
		return 0;
	/* One by one, all but those that the kernel refuses. */
	for (size_t i = 0; i < count; i++) {
		int r = which == HEAP_PROBES_FATES
				? attach_session(heap, pid, path, &wanted[i], 1, links)
				: attach_event(heap, pid, path, &wanted[i], links);

		if (!r)
			continue;
		failed++;
		log_debug("pid %d: no probe at %s+0x%" PRIx64 ": %s", pid, path, wanted[i].offset,
			  strerror(-r));
	}
	return failed;
}

int source_heap_follow(struct source_heap *heap, uint32_t pid, uint32_t objects)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int map, pointers, r;

	if (!source_heap_fates_known(heap))
		return -EAGAIN;
	if (!heap->fates)
		return -EOPNOTSUPP;
	map = bpf_map__fd(heap->fates->maps.heap_followed);
	if (!objects)
		return bpf_map_delete_elem(map, &pid) ? -errno : 0;
	pointers = bpf_map_create(BPF_MAP_TYPE_HASH, "heap_pointers", sizeof(uint64_t),
				  sizeof(uint64_t), objects, &options);
	if (pointers < 0)
		return pointers;
	r = bpf_map_update_elem(map, &pid, &pointers, BPF_ANY) ? -errno : 0;
	close(pointers);
	return r;
}

static void *detach(void *context)
{
	struct heap_links *links = context;

	for (size_t i = 0; i < links->links.count; i++)
		unlink_probe(&links->links.items[i]);
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
			unlink_probe(&links->links.items[i]);
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

uint32_t source_heap_count(const struct heap_links *links)
{
	uint32_t count = 0;

	for (size_t i = 0; i < links->links.count; i++)
		count += links->links.items[i].count;
	return count;
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
	if (bpf_map_update_elem(map, &pid, target, BPF_ANY))
		return -errno;
	pid_marks_set(heap->marks, pid);
	return 0;
}

bool source_heap_target(struct source_heap *heap, uint32_t pid, struct abi_heap_target *ret)
{
	return heap->skel &&
	       !bpf_map_lookup_elem(bpf_map__fd(heap->skel->maps.heap_targets), &pid, ret);
}

static void add_run_time(const struct bpf_program *program, uint64_t *ns, uint64_t *runs)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		return;
	*ns += info.run_time_ns;
	*runs += info.run_cnt;
}

void source_heap_run_time(const struct source_heap *heap, uint64_t *ns, uint64_t *runs)
{
	if (heap->skel)
		add_run_time(heap->skel->progs.heap_probe, ns, runs);
	if (heap->fates)
		add_run_time(heap->fates->progs.heap_session, ns, runs);
}

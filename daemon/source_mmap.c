/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/source_mmap.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "daemon/bpf_programs.h"

#include "cpu.skel.h"
#include "mmap.skel.h"

#define TRACEPOINT "mmap_lock_start_locking"
#define CHEAP_ARGUMENTS 3 /* (void *, mm, write): without a memory cgroup's path */

/* Whether the tracepoint is there, and of the newer form. */
static bool has_cheap_tracepoint(const struct config *config)
{
	struct btf *btf = config->btf[0] ? btf__parse(config->btf, NULL) : btf__load_vmlinux_btf();
	const struct btf_type *type;
	bool cheap = false;
	int id;

	if (!btf)
		return false;
	id = btf__find_by_name_kind(btf, "btf_trace_" TRACEPOINT, BTF_KIND_TYPEDEF);
	type = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	if (type && (type = btf__type_by_id(btf, type->type)) && btf_is_ptr(type) &&
	    (type = btf__type_by_id(btf, type->type)) && btf_is_func_proto(type))
		cheap = btf_vlen(type) == CHEAP_ARGUMENTS;
	btf__free(btf);
	return cheap;
}

static int load(struct source_mmap *mmap, const struct bpf_programs *programs,
		const struct config *config, struct error *error)
{
	LIBBPF_OPTS(bpf_object_open_opts, options,
		    .btf_custom_path = config->btf[0] ? config->btf : NULL);
	int r;

	mmap->cheap = has_cheap_tracepoint(config);
	mmap->skel = mmap_bpf__open_opts(&options);
	if (!mmap->skel)
		return error_set(error, -errno, "cannot open the program of mappings: %s",
				 strerror(errno));
	bpf_program__set_autoload(mmap->cheap ? mmap->skel->progs.mmap_called
					      : mmap->skel->progs.mmap_locking,
				  false);
	mmap->skel->rodata->ring_count = programs->sampler->rodata->ring_count;
	mmap->skel->rodata->ring_wake_bytes = programs->sampler->rodata->ring_wake_bytes;
	r = bpf_programs_lend(programs->sampler->obj, mmap->skel->obj);
	if (!r)
		r = mmap_bpf__load(mmap->skel);
	if (!r)
		return 0;
	source_mmap_deinit(mmap);
	return error_set(error, r, "the kernel refused the program of mappings: %s", strerror(-r));
}

static struct bpf_program *program(const struct source_mmap *mmap)
{
	return mmap->cheap ? mmap->skel->progs.mmap_locking : mmap->skel->progs.mmap_called;
}

bool source_mmap_has_sessions(const struct source_mmap *mmap)
{
	const uint64_t sessions = (1ULL << ABI_SESSION_SLOTS) - 1;

	return mmap->skel &&
	       (mmap->skel->bss->mmap_slots | mmap->skel->bss->munmap_slots) & sessions;
}

/* It is attached where somebody looks. */
static int follow(struct source_mmap *mmap, struct error *error)
{
	const char *name = mmap->cheap ? TRACEPOINT : "sys_enter";
	bool views = mmap->skel->bss->mmap_slots || mmap->skel->bss->munmap_slots;

	if (!source_mmap_has_sessions(mmap) && (mmap->rests || !views)) {
		bpf_link__destroy(mmap->link);
		mmap->link = NULL;
		return 0;
	}
	if (mmap->link)
		return 0;
	mmap->link = bpf_program__attach_raw_tracepoint(program(mmap), name);
	if (!mmap->link)
		return error_set(error, -errno, "cannot look at mappings by the tracepoint %s: %s",
				 name, strerror(errno));
	return 0;
}

int source_mmap_look(struct source_mmap *mmap, bool on, struct error *error)
{
	mmap->rests = !on;
	return mmap->skel ? follow(mmap, error) : 0;
}

int source_mmap_open(struct source_mmap *mmap, const struct bpf_programs *programs,
		     const struct config *config, uint32_t slot, const struct source_slot *how,
		     struct error *error)
{
	int r = mmap->skel ? 0 : load(mmap, programs, config, error);

	if (r)
		return r;
	if (how->all && !mmap->cheap)
		return error_set(error, -EOPNOTSUPP,
				 "this kernel shows mappings of all processes only at a cost for "
				 "every system call (Linux 6.14 is the first that does better): "
				 "attach -e mmap looks at one process");
	if (how->source == ABI_SOURCE_MMAP)
		mmap->skel->bss->mmap_slots |= 1ULL << slot;
	else
		mmap->skel->bss->munmap_slots |= 1ULL << slot;
	r = follow(mmap, error);
	if (r)
		source_mmap_close(mmap, slot);
	return r;
}

void source_mmap_close(struct source_mmap *mmap, uint32_t slot)
{
	if (!mmap->skel)
		return;
	mmap->skel->bss->mmap_slots &= ~(1ULL << slot);
	mmap->skel->bss->munmap_slots &= ~(1ULL << slot);
	if (mmap->link)
		follow(mmap, NULL);
}

void source_mmap_deinit(struct source_mmap *mmap)
{
	bpf_link__destroy(mmap->link);
	mmap_bpf__destroy(mmap->skel);
	*mmap = (struct source_mmap){0};
}

void source_mmap_run_time(const struct source_mmap *mmap, uint64_t *ns, uint64_t *runs)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	if (!mmap->skel || bpf_obj_get_info_by_fd(bpf_program__fd(program(mmap)), &info, &size))
		return;
	*ns += info.run_time_ns;
	*runs += info.run_cnt;
}

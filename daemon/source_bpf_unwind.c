/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/source_bpf_internal.h"

#include "cpu.skel.h"

int bpf_load_table(struct source *source, uint32_t image, const struct unwind_table *table)
{
	struct source_bpf *s = self(source);

	while (s->tables.count <= image)
		if (vec_push(&s->tables, (struct loaded_table){0}))
			return -ENOMEM;
	if (s->tables.items[image].count)
		return -EEXIST;
	return unwind_maps_load(&s->unwind, image, table, &s->tables.items[image]);
}

void bpf_unload_table(struct source *source, uint32_t image)
{
	struct source_bpf *s = self(source);

	if (image < s->tables.count)
		unwind_maps_unload(&s->unwind, image, &s->tables.items[image]);
}

void bpf_no_table(struct source *source, uint32_t image)
{
	unwind_maps_none(&self(source)->unwind, image);
}

bool bpf_walk(struct source *source, const struct abi_raw *raw, const struct mapping_set *maps,
	      bool last, struct host_stack *ret, uint32_t *ret_lacks)
{
	return unwind_maps_walk(&self(source)->unwind, raw, maps, last, ret, ret_lacks);
}

int bpf_publish_set(struct source *source, struct mapping_set *set)
{
	return unwind_maps_publish(&self(source)->unwind, set);
}

void bpf_withdraw_set(struct source *source, struct mapping_set *set)
{
	unwind_maps_withdraw(&self(source)->unwind, set);
}

void bpf_assign_set(struct source *source, uint32_t pid, uint32_t number, uint32_t exec_id)
{
	struct source_bpf *s = self(source);

	unwind_maps_assign(&s->unwind, pid, number, exec_id);
	pid_marks_set(&s->marks, pid);
}

void bpf_know_file(struct source *source, const struct unwind_inode *file, uint32_t image)
{
	unwind_maps_know_file(&self(source)->unwind, file, image);
}

void bpf_forget_file(struct source *source, const struct unwind_inode *file, uint32_t image)
{
	unwind_maps_forget_file(&self(source)->unwind, file, image);
}

void bpf_forget_image(struct source *source, uint32_t image)
{
	bpf_unload_table(source, image);
	unwind_maps_forget(&self(source)->unwind, image);
}

int bpf_tell_mappings(struct source *source, bool all)
{
	struct source_bpf *s = self(source);
	int r = 0;

	if (s->blind == !all)
		return 0;
	if (!all && !unwind_maps_looked(&s->unwind))
		return -EOPNOTSUPP;
	for (size_t i = 0; !r && i < s->cpus.count; i++)
		r = sideband_begin_change(&s->cpus.items[i].sideband, all);
	/* Walks are to look before the first mapping is not told, and until the last CPU's are. */
	if (!r && !all)
		r = unwind_maps_blind(&s->unwind, true);
	for (size_t i = 0; i < s->cpus.count; i++)
		sideband_end_change(&s->cpus.items[i].sideband, !r);
	if (!r && all)
		r = unwind_maps_blind(&s->unwind, false);
	if (!r)
		s->blind = !all;
	return r;
}

int bpf_set_jvm(struct source *source, uint32_t pid, const struct jvm_layout *layout)
{
	return unwind_maps_set_jvm(&self(source)->unwind, pid, layout);
}

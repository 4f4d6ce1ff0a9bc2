/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_data.h"

#include <errno.h>

#include "daemon/base/hashmap.h"
#include "flamegraph/profile_internal.h"

void heap_data_deinit(struct heap_data *data)
{
	for (size_t i = 0; i < data->sites.count; i++)
		heap_site_deinit(&data->sites.items[i]);
	vec_free(&data->sites);
	vec_free(&data->snapshots);
}

static uint64_t key_of(const struct heap_site *site)
{
	return (uint64_t)site->process << 32 | site->stack;
}

/* What is of a moment does not add up with what is of another. */
static void forget_moments(struct heap_data *data)
{
	for (size_t i = 0; i < data->sites.count; i++) {
		struct heap_site *site = &data->sites.items[i];

		vec_free(&site->levels);
		site->first_level = 0;
		site->peak = (struct heap_sum){0};
	}
	vec_clear(&data->snapshots);
	data->peak_ns = 0;
	data->joined = true;
}

static int add_site(struct heap_data *into, struct hashmap *index, const struct heap_site *site)
{
	uint64_t *known = hashmap_get(index, key_of(site));
	struct heap_site copy;

	if (known)
		return heap_site_add(&into->sites.items[*known], site);
	if (heap_site_copy(site, &copy))
		return -ENOMEM;
	if (vec_push(&into->sites, copy)) {
		heap_site_deinit(&copy);
		return -ENOMEM;
	}
	return hashmap_put(index, key_of(site), into->sites.count - 1);
}

static int add_sites(struct heap_data *into, struct hashmap *index, const struct heap_data *from,
		     const struct heap_data_map *map)
{
	int r = 0;

	for (size_t i = 0; !r && i < into->sites.count; i++)
		r = hashmap_put(index, key_of(&into->sites.items[i]), i);
	for (size_t i = 0; !r && i < from->sites.count; i++) {
		struct heap_site site = from->sites.items[i];

		if (map->stacks)
			site.stack = map->stacks[site.stack];
		if (map->processes && site.process != PROFILE_NONE)
			site.process = map->processes[site.process];
		r = add_site(into, index, &site);
	}
	return r;
}

static int add_snapshots(struct heap_data *into, const struct heap_data *from, uint64_t shift_ns)
{
	if (vec_reserve(&into->snapshots, from->snapshots.count))
		return -ENOMEM;
	for (size_t i = 0; i < from->snapshots.count; i++)
		into->snapshots.items[into->snapshots.count++] =
			profile_sum(from->snapshots.items[i], shift_ns);
	if (from->peak_ns)
		into->peak_ns = profile_sum(from->peak_ns, shift_ns);
	return 0;
}

int heap_data_join(struct heap_data *into, const struct heap_data *from,
		   const struct heap_data_map *map)
{
	struct hashmap index = {0};
	bool both = into->sites.count && from->sites.count;
	int r;

	if (!from->sites.count && !from->frees)
		return 0;
	r = add_sites(into, &index, from, map);
	hashmap_deinit(&index);
	into->frees |= from->frees;
	into->breaks += from->breaks;
	into->wanted_ns = profile_sum(into->wanted_ns, from->wanted_ns);
	into->observed_ns = profile_sum(into->observed_ns, from->observed_ns);
	if (from->breaks && profile_sum(from->since_ns, map->shift_ns) > into->since_ns)
		into->since_ns = profile_sum(from->since_ns, map->shift_ns);
	if (both || from->joined)
		forget_moments(into);
	else if (!r && from->sites.count)
		r = add_snapshots(into, from, map->shift_ns);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_tracker.h"

#include <errno.h>
#include <string.h>

#define OWNER_SHIFT 48

void heap_tracker_init(struct heap_tracker *tracker, uint64_t time)
{
	*tracker = (struct heap_tracker){.last_snapshot = time,
					 .snapshot_ns = HEAP_SNAPSHOT_NS,
					 .objects_max = HEAP_OBJECTS_MAX};
}

void heap_tracker_deinit(struct heap_tracker *tracker)
{
	hashmap_deinit(&tracker->index);
	vec_free(&tracker->objects);
	hashmap_deinit(&tracker->site_index);
	for (size_t i = 0; i < tracker->sites.count; i++)
		heap_site_deinit(&tracker->sites.items[i].site);
	vec_free(&tracker->sites);
	vec_free(&tracker->owners);
	vec_free(&tracker->snapshots);
}

static uint64_t object_key(uint32_t owner, uint64_t address)
{
	return (uint64_t)(owner + 1) << OWNER_SHIFT | address;
}

static uint32_t owner_of(const struct heap_object *object)
{
	return (uint32_t)(object->key >> OWNER_SHIFT) - 1;
}

/* ---- snapshots ---- */

static void halve_site(struct heap_tracked *tracked)
{
	struct heap_site *site = &tracked->site;
	uint32_t first = site->first_level / 2;
	size_t end = (site->first_level + site->levels.count) / 2, kept = 0;

	/* Of two the later one stays. What moved in either may have moved back in the other:
	 * the sum is no less than what moved in both. */
	for (size_t i = first; i < end; i++) {
		struct heap_level level = heap_site_level(site, 2 * i + 1);

		level.moved_var += heap_site_level(site, 2 * i).moved_var;
		site->levels.items[kept++] = level;
	}
	site->levels.count = kept;
	site->first_level = first;
}

static void halve(struct heap_tracker *tracker)
{
	for (size_t i = 0; i < tracker->sites.count; i++)
		halve_site(&tracker->sites.items[i]);
	for (size_t i = 0; i < HEAP_SNAPSHOTS_MAX / 2; i++)
		tracker->snapshots.items[i] = tracker->snapshots.items[2 * i + 1];
	tracker->snapshots.count = HEAP_SNAPSHOTS_MAX / 2;
	tracker->snapshot_ns *= 2;
}

static bool has_ended(const struct heap_tracker *tracker, uint32_t owner)
{
	return owner >= tracker->owners.count || tracker->owners.items[owner].ended;
}

static int note_level(struct heap_tracked *tracked, size_t snapshot)
{
	struct heap_site *site = &tracked->site;
	struct heap_level level = {.live = site->live,
				   .moved_var = tracked->fresh_var + tracked->moved_var};

	if (!site->levels.count)
		site->first_level = (uint32_t)snapshot;
	/* One for which there was no memory is a gap of nothing. */
	while (site->first_level + site->levels.count < snapshot)
		if (vec_push(&site->levels, (struct heap_level){0}))
			return -ENOMEM;
	if (vec_push(&site->levels, level))
		return -ENOMEM;
	tracked->fresh_var = tracked->moved_var = 0;
	return 0;
}

static void take_snapshot(struct heap_tracker *tracker, uint64_t time)
{
	size_t at;

	if (tracker->snapshots.count == HEAP_SNAPSHOTS_MAX)
		halve(tracker);
	at = tracker->snapshots.count;
	if (vec_push(&tracker->snapshots, time))
		return;
	for (size_t i = 0; i < tracker->sites.count; i++) {
		struct heap_tracked *tracked = &tracker->sites.items[i];

		if (!has_ended(tracker, tracked->owner))
			note_level(tracked, at);
	}
	tracker->last_snapshot = time;
}

void heap_tracker_tick(struct heap_tracker *tracker, uint64_t time)
{
	if (time < tracker->last_snapshot + tracker->snapshot_ns)
		return;
	/* Of a time in which nothing came one is enough, on the grid. */
	time -= (time - tracker->last_snapshot) % tracker->snapshot_ns;
	take_snapshot(tracker, time);
}

/* ---- what is in use ---- */

/* Before a site's live changes: its share of the peak is what it has now, if this is the
 * first change since. */
static void keep_peak(struct heap_tracker *tracker, struct heap_tracked *tracked)
{
	if (tracked->peak_epoch == tracker->peak_epoch)
		return;
	tracked->site.peak = tracked->site.live;
	tracked->peak_epoch = tracker->peak_epoch;
}

static void add_live(struct heap_tracker *tracker, struct heap_tracked *tracked, uint64_t time,
		     const struct heap_sum *sum)
{
	struct heap_owner *owner = &tracker->owners.items[tracked->owner];

	keep_peak(tracker, tracked);
	heap_sum_add(&tracked->site.live, sum);
	heap_sum_add(&tracker->live, sum);
	heap_sum_add(&owner->live, sum);
	if (owner->live.bytes > owner->most.bytes)
		owner->most = owner->live;
	tracked->fresh_var += sum->bytes_var;
	if (tracker->live.bytes <= tracker->peak_bytes)
		return;
	tracker->peak_bytes = tracker->live.bytes;
	tracker->peak_time = time;
	tracker->peak_epoch++;
}

static void take_live(struct heap_tracker *tracker, struct heap_tracked *tracked, uint64_t born,
		      const struct heap_sum *sum)
{
	double *moved = born > tracker->last_snapshot ? &tracked->fresh_var : NULL;

	keep_peak(tracker, tracked);
	heap_sum_subtract(&tracked->site.live, sum);
	heap_sum_subtract(&tracker->live, sum);
	heap_sum_subtract(&tracker->owners.items[tracked->owner].live, sum);
	if (!moved) {
		tracked->moved_var += sum->bytes_var;
		return;
	}
	*moved = *moved > sum->bytes_var ? *moved - sum->bytes_var : 0;
}

enum how { FREED, LOST, LEAKED, UNKNOWN };

static void note_life(struct heap_site *site, const struct heap_sum *sum, uint64_t life)
{
	site->lives[heap_bucket(life)] += sum->count;
	if (life < HEAP_TEMPORARY_NS)
		heap_sum_add(&site->temporary, sum);
}

/* What the site has of it. */
static void settle(struct heap_tracker *tracker, const struct heap_object *object, uint64_t time,
		   enum how how)
{
	struct heap_tracked *tracked = &tracker->sites.items[object->site];
	struct heap_site *site = &tracked->site;
	struct heap_sum sum = heap_sum_one(object->count, object->bytes);
	uint64_t life = time > object->time ? time - object->time : 0;

	take_live(tracker, tracked, object->time, &sum);
	if (life >= HEAP_OLD_NS && how != LOST && how != UNKNOWN)
		site->old++;
	if (how == UNKNOWN) {
		heap_sum_add(&site->unknown, &sum);
	} else if (how == LEAKED) {
		heap_sum_add(&site->leaked, &sum);
		site->ages[heap_bucket(life)] += object->count;
	} else if (how == FREED) {
		note_life(site, &sum, life);
		if (life >= HEAP_OLD_NS)
			site->old_freed++;
	}
}

static void drop(struct heap_tracker *tracker, uint32_t place, uint64_t time, enum how how)
{
	struct heap_object *object = &tracker->objects.items[place];

	if (object->site != HEAP_SITE_NONE)
		settle(tracker, object, time, how);
	hashmap_remove(&tracker->index, object->key);
	*object = (struct heap_object){.next_free = tracker->first_free};
	tracker->first_free = place + 1;
	tracker->object_count--;
}

/* ---- sites and owners ---- */

static bool find_owner(struct heap_tracker *tracker, uint32_t owner)
{
	if (owner >= HEAP_OWNERS_MAX || vec_reserve(&tracker->owners, (size_t)owner + 1))
		return false;
	while (tracker->owners.count <= owner)
		tracker->owners.items[tracker->owners.count++] = (struct heap_owner){0};
	return true;
}

static uint64_t site_key(uint32_t owner, uint8_t reason, uint32_t stack)
{
	return (uint64_t)owner << 40 | (uint64_t)reason << 32 | stack;
}

int heap_tracker_renumber(struct heap_tracker *tracker, const uint32_t *stacks)
{
	int r = 0;

	hashmap_clear(&tracker->site_index);
	for (size_t i = 0; i < tracker->sites.count; i++) {
		struct heap_tracked *tracked = &tracker->sites.items[i];

		tracked->site.stack = stacks ? stacks[i] : UINT32_MAX;
		if (hashmap_put(&tracker->site_index,
				site_key(tracked->owner, tracked->reason, tracked->site.stack), i))
			r = -ENOMEM;
	}
	return r;
}

static struct heap_tracked *find_site(struct heap_tracker *tracker,
				      const struct heap_allocation *what)
{
	uint64_t key = site_key(what->owner, what->reason, what->stack);
	uint64_t *known = hashmap_get(&tracker->site_index, key);
	struct heap_tracked tracked = {
		.site = {.stack = what->stack, .process = what->owner},
		.owner = what->owner,
		.reason = what->reason,
		/* It had nothing at the peak there is. */
		.peak_epoch = tracker->peak_epoch,
	};

	if (known)
		return &tracker->sites.items[*known];
	if (tracker->sites.count >= HEAP_SITES_MAX || !find_owner(tracker, what->owner) ||
	    vec_push(&tracker->sites, tracked))
		return NULL;
	if (hashmap_put(&tracker->site_index, key, tracker->sites.count - 1)) {
		tracker->sites.count--;
		return NULL;
	}
	return &tracker->sites.items[tracker->sites.count - 1];
}

/* ---- events ---- */

static bool take_place(struct heap_tracker *tracker, uint64_t key, uint32_t *ret)
{
	uint32_t place = tracker->first_free;

	if (tracker->object_count >= tracker->objects_max)
		return false;
	if (!place) {
		if (vec_push(&tracker->objects, (struct heap_object){0}))
			return false;
		place = (uint32_t)tracker->objects.count;
	} else {
		tracker->first_free = tracker->objects.items[place - 1].next_free;
	}
	if (hashmap_put(&tracker->index, key, place - 1)) {
		tracker->objects.items[place - 1].next_free = tracker->first_free;
		tracker->first_free = place;
		return false;
	}
	*ret = place - 1;
	return true;
}

static void follow(struct heap_tracker *tracker, const struct heap_allocation *what,
		   struct heap_tracked *tracked)
{
	uint64_t key = object_key(what->owner, what->address);
	uint64_t *known = hashmap_get(&tracker->index, key);
	struct heap_sum sum = heap_sum_one(what->count, what->bytes);
	uint32_t place;

	if (known) {
		tracker->lost_frees += tracker->objects.items[*known].site != HEAP_SITE_NONE;
		drop(tracker, (uint32_t)*known, what->time, LOST);
	}
	if (!take_place(tracker, key, &place)) {
		tracker->untracked++;
		heap_sum_add(&tracked->site.unknown, &sum);
		return;
	}
	tracker->objects.items[place] = (struct heap_object){
		.key = key,
		.time = what->time,
		.count = what->count,
		.bytes = what->bytes,
		.site = (uint32_t)(tracked - tracker->sites.items),
	};
	tracker->object_count++;
	add_live(tracker, tracked, what->time, &sum);
}

/* Bytes asked for. */
static uint64_t size_of(const struct heap_allocation *what)
{
	return (uint64_t)((double)what->bytes * HEAP_COUNT_SCALE / (double)what->count + 0.5);
}

/* NULL: there is no room for its site. */
static struct heap_tracked *add_alloc(struct heap_tracker *tracker,
				      const struct heap_allocation *what,
				      const struct heap_sum *sum)
{
	struct heap_tracked *tracked = find_site(tracker, what);

	if (!tracked) {
		tracker->untracked++;
		tracker->untracked_sites++;
		return NULL;
	}
	heap_sum_add(&tracked->site.alloc, sum);
	if (what->count)
		tracked->site.sizes[heap_bucket(size_of(what))] += what->count;
	return tracked;
}

void heap_tracker_alloc(struct heap_tracker *tracker, const struct heap_allocation *what)
{
	struct heap_sum sum = heap_sum_one(what->count, what->bytes);
	struct heap_tracked *tracked;

	heap_tracker_tick(tracker, what->time);
	tracked = add_alloc(tracker, what, &sum);
	if (!tracked)
		return;
	if (what->unfollowed)
		tracker->untracked++;
	if (!what->address) {
		heap_sum_add(&tracked->site.unknown, &sum);
		return;
	}
	tracker->follows = true;
	follow(tracker, what, tracked);
}

void heap_tracker_repeat(struct heap_tracker *tracker, const struct heap_allocation *what,
			 uint64_t life)
{
	struct heap_sum sum = heap_sum_one(what->count, what->bytes);
	struct heap_tracked *tracked = add_alloc(tracker, what, &sum);

	if (!tracked)
		return;
	if (life == HEAP_LIFE_UNKNOWN)
		heap_sum_add(&tracked->site.unknown, &sum);
	else
		note_life(&tracked->site, &sum, life);
}

void heap_tracker_free(struct heap_tracker *tracker, uint64_t time, uint32_t owner,
		       uint64_t address)
{
	uint64_t *known;

	heap_tracker_tick(tracker, time);
	tracker->frees++;
	known = owner < HEAP_OWNERS_MAX ? hashmap_get(&tracker->index, object_key(owner, address))
					: NULL;
	if (known)
		drop(tracker, (uint32_t)*known, time, FREED);
	else
		tracker->unknown_frees++;
}

void heap_tracker_lose(struct heap_tracker *tracker, uint64_t time, uint32_t owner,
		       uint64_t address)
{
	uint64_t *known;

	heap_tracker_tick(tracker, time);
	known = owner < HEAP_OWNERS_MAX ? hashmap_get(&tracker->index, object_key(owner, address))
					: NULL;
	if (known)
		drop(tracker, (uint32_t)*known, time, UNKNOWN);
	tracker->untracked++;
}

void heap_tracker_ignore(struct heap_tracker *tracker, uint64_t time, uint32_t owner,
			 uint64_t address)
{
	uint64_t key = object_key(owner, address), *known;
	uint32_t place;

	if (owner >= HEAP_OWNERS_MAX)
		return;
	known = hashmap_get(&tracker->index, key);
	if (known)
		drop(tracker, (uint32_t)*known, time, LOST);
	if (!take_place(tracker, key, &place))
		return;
	tracker->objects.items[place] =
		(struct heap_object){.key = key, .time = time, .site = HEAP_SITE_NONE};
	tracker->object_count++;
}

static void drop_owner(struct heap_tracker *tracker, uint64_t time, uint32_t owner, enum how how)
{
	for (size_t i = 0; i < tracker->objects.count; i++) {
		const struct heap_object *object = &tracker->objects.items[i];

		if (object->key && owner_of(object) == owner)
			drop(tracker, (uint32_t)i, time, how);
	}
}

void heap_tracker_end(struct heap_tracker *tracker, uint64_t time, uint32_t owner)
{
	if (owner >= tracker->owners.count || tracker->owners.items[owner].ended)
		return;
	heap_tracker_tick(tracker, time);
	drop_owner(tracker, time, owner, LEAKED);
	tracker->owners.items[owner].ended = time;
}

void heap_tracker_clear(struct heap_tracker *tracker, uint64_t time, uint32_t owner)
{
	heap_tracker_tick(tracker, time);
	drop_owner(tracker, time, owner, LOST);
}

void heap_tracker_break(struct heap_tracker *tracker, uint64_t time, uint32_t owner)
{
	heap_tracker_tick(tracker, time);
	drop_owner(tracker, time, owner, UNKNOWN);
	for (size_t i = 0; i < tracker->sites.count; i++) {
		struct heap_tracked *tracked = &tracker->sites.items[i];

		if (tracked->owner != owner)
			continue;
		vec_clear(&tracked->site.levels);
		tracked->site.old = tracked->site.old_freed = 0;
		tracked->fresh_var = tracked->moved_var = 0;
	}
	tracker->peak_bytes = tracker->live.bytes;
	tracker->peak_time = time;
	tracker->peak_epoch++;
	tracker->since = time;
	tracker->breaks++;
}

struct heap_sum heap_tracker_take_most(struct heap_tracker *tracker, uint32_t owner)
{
	struct heap_sum most = {0};

	if (owner >= tracker->owners.count)
		return most;
	most = tracker->owners.items[owner].most;
	tracker->owners.items[owner].most = tracker->owners.items[owner].live;
	return most;
}

/* ---- the result ---- */

static uint64_t since(uint64_t time, uint64_t begin)
{
	return time > begin ? time - begin : 0;
}

static int export_site(const struct heap_tracker *tracker, const struct heap_tracked *tracked,
		       size_t last, struct heap_data *data)
{
	struct heap_tracked copy = *tracked;

	if (heap_site_copy(&tracked->site, &copy.site))
		return -ENOMEM;
	if (tracked->peak_epoch != tracker->peak_epoch)
		copy.site.peak = copy.site.live;
	/* The last look, of whoever lives. */
	if ((last < data->snapshots.count && !has_ended(tracker, tracked->owner) &&
	     note_level(&copy, last)) ||
	    vec_push(&data->sites, copy.site)) {
		heap_site_deinit(&copy.site);
		return -ENOMEM;
	}
	return 0;
}

/* Ages of what is in use. */
static void add_ages(const struct heap_tracker *tracker, uint64_t now, struct heap_data *data)
{
	for (size_t i = 0; i < tracker->objects.count; i++) {
		const struct heap_object *object = &tracker->objects.items[i];
		struct heap_site *site;
		uint64_t age = since(now, object->time);

		if (!object->key || object->site == HEAP_SITE_NONE)
			continue;
		site = &data->sites.items[object->site];
		site->ages[heap_bucket(age)] += object->count;
		site->old += age >= HEAP_OLD_NS;
	}
}

int heap_tracker_export(const struct heap_tracker *tracker, uint64_t begin, uint64_t now,
			struct heap_data *ret)
{
	struct heap_data data = {.frees = tracker->follows, .breaks = tracker->breaks};
	size_t last = tracker->snapshots.count;
	int r = vec_reserve(&data.snapshots, last + 1);

	for (size_t i = 0; !r && i < last; i++)
		data.snapshots.items[data.snapshots.count++] =
			since(tracker->snapshots.items[i], begin);
	if (!r && now > tracker->last_snapshot)
		data.snapshots.items[data.snapshots.count++] = since(now, begin);
	if (tracker->since)
		data.since_ns = since(tracker->since, begin);
	if (tracker->peak_time)
		data.peak_ns = since(tracker->peak_time, begin);
	for (size_t i = 0; !r && i < tracker->sites.count; i++)
		r = export_site(tracker, &tracker->sites.items[i], last, &data);
	if (r) {
		heap_data_deinit(&data);
		return r;
	}
	add_ages(tracker, now, &data);
	*ret = data;
	return 0;
}

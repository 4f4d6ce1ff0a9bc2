/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program that allocates and frees, with an exact count beside a tracker that is told
 * of samples only, drawn as libperfd-heap.so draws them.
 */
#pragma once

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "flamegraph/heap_tracker.h"

#define WORLD_SECOND 1000000000ULL
#define WORLD_OBJECTS (1u << 17)

struct world_object {
	uint64_t size, born;
	uint32_t stack;
	bool live;
};

/* One world at a time. */
static struct world_object world_objects[WORLD_OBJECTS];

struct world {
	struct heap_tracker tracker;
	uint64_t random, now;
	double interval; /* bytes; 0: every allocation is a sample */
	struct world_object *objects;
	uint32_t count;
	double live_bytes[8], live_count[8]; /* the truth, by stack */
	double brief_bytes[8], alloc_bytes[8], alloc_count[8];
};

static inline double world_random(struct world *world)
{
	world->random = world->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (double)(world->random >> 11) * 0x1p-53;
}

static inline void world_init(struct world *world, uint64_t seed, double interval)
{
	*world = (struct world){.random = seed * 0x9e3779b97f4a7c15ULL + 1,
				.interval = interval,
				.now = WORLD_SECOND};
	world->objects = world_objects;
	heap_tracker_init(&world->tracker, world->now);
	for (int i = 0; i < 8; i++)
		world_random(world);
}

static inline void world_deinit(struct world *world)
{
	heap_tracker_deinit(&world->tracker);
}

static inline uint64_t world_address(uint32_t object)
{
	return 0x1000 + 16 * (uint64_t)object;
}

/* The object's number. */
static inline uint32_t world_alloc(struct world *world, uint32_t stack, uint64_t size)
{
	uint32_t object = world->count++;
	double p = world->interval > 0 ? -expm1(-(double)size / world->interval) : 1;

	ck_assert_uint_lt(object, WORLD_OBJECTS);
	ck_assert_uint_lt(stack, 8);
	world->objects[object] = (struct world_object){size, world->now, stack, true};
	world->live_bytes[stack] += (double)size;
	world->live_count[stack] += 1;
	world->alloc_bytes[stack] += (double)size;
	world->alloc_count[stack] += 1;
	if (world_random(world) < p) {
		/* Rounded by chance, as weights are. */
		double bytes = (double)size / p, count = HEAP_COUNT_SCALE / p;
		struct heap_allocation what = {
			.time = world->now,
			.stack = stack,
			.address = world_address(object),
			.count = (uint64_t)(count + world_random(world)),
			.bytes = (uint64_t)(bytes + world_random(world)),
		};

		heap_tracker_alloc(&world->tracker, &what);
	}
	return object;
}

static inline void world_free(struct world *world, uint32_t object)
{
	struct world_object *what = &world->objects[object];

	ck_assert(what->live);
	what->live = false;
	world->live_bytes[what->stack] -= (double)what->size;
	world->live_count[what->stack] -= 1;
	if (world->now - what->born < HEAP_TEMPORARY_NS)
		world->brief_bytes[what->stack] += (double)what->size;
	/* Told of only if it was sampled; another one's is nobody's. */
	heap_tracker_free(&world->tracker, world->now, 0, world_address(object));
}

static inline void world_wait(struct world *world, uint64_t ns)
{
	world->now += ns;
	heap_tracker_tick(&world->tracker, world->now);
}

static inline struct heap_data world_export(struct world *world)
{
	struct heap_data data;

	ck_assert_int_eq(heap_tracker_export(&world->tracker, WORLD_SECOND, world->now, &data), 0);
	return data;
}

/* The site of a stack; there must be one. */
static inline const struct heap_site *world_site(const struct heap_data *data, uint32_t stack)
{
	for (size_t i = 0; i < data->sites.count; i++)
		if (data->sites.items[i].stack == stack)
			return &data->sites.items[i];
	ck_abort_msg("no site of stack %u", stack);
	return NULL;
}

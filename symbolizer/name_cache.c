/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/name_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 256u

void name_cache_deinit(struct name_cache *cache)
{
	free(cache->slots);
	vec_free(&cache->frames);
	vec_free(&cache->functions);
	strtab_deinit(&cache->texts);
	vec_free(&cache->told);
	*cache = (struct name_cache){0};
}

/* Fibonacci hashing: places of a file differ in their low bits. */
static size_t slot_of(const struct name_cache *cache, uint64_t place)
{
	return (size_t)(place * 0x9e3779b97f4a7c15ULL >> 32) & (cache->capacity - 1);
}

static struct name_cache_entry *find_slot(const struct name_cache *cache, uint64_t place)
{
	size_t at = slot_of(cache, place);

	while (cache->slots[at].frames && cache->slots[at].place != place)
		at = (at + 1) & (cache->capacity - 1);
	return &cache->slots[at];
}

const struct name_cache_entry *name_cache_find(const struct name_cache *cache, uint64_t place)
{
	const struct name_cache_entry *entry = cache->count ? find_slot(cache, place) : NULL;

	return entry && entry->frames ? entry : NULL;
}

/* At most half of the slots are in use. */
static int grow(struct name_cache *cache)
{
	struct name_cache wider = {.capacity = cache->capacity ? 2 * cache->capacity : SLOTS_FIRST};

	if (2 * (cache->count + 1) <= cache->capacity)
		return 0;
	wider.slots = calloc(wider.capacity, sizeof(*wider.slots));
	if (!wider.slots)
		return -ENOMEM;
	for (size_t i = 0; i < cache->capacity; i++) {
		if (cache->slots[i].frames)
			*find_slot(&wider, cache->slots[i].place) = cache->slots[i];
	}
	free(cache->slots);
	cache->slots = wider.slots;
	cache->capacity = wider.capacity;
	return 0;
}

static int add_text(struct name_cache *cache, const char *text, uint32_t *ret)
{
	*ret = strtab_add(&cache->texts, text, strnlen(text, WIRE_NAME_MAX));
	return *ret == UINT32_MAX ? -ENOMEM : 0;
}

static int add_frame(struct name_cache *cache, const struct symbolizer_frame *frame)
{
	struct name_cache_frame kept = {.line = frame->line, .inlined = frame->inlined};
	int r = add_text(cache, frame->name, &kept.name);

	if (!r)
		r = add_text(cache, frame->file, &kept.file);
	return r ? r : vec_push(&cache->frames, kept);
}

int name_cache_add(struct name_cache *cache, uint64_t place, const struct symbolizer_frame *frames,
		   uint32_t count, const struct name_cache_function *function)
{
	struct name_cache_entry entry = {.place = place, .frames = count + 1};
	int r = grow(cache);

	entry.first = (uint32_t)cache->frames.count;
	if (!r && function->start) {
		r = vec_push(&cache->functions, *function);
		entry.function = (uint32_t)cache->functions.count;
	}
	for (uint32_t i = 0; i < count && !r; i++)
		r = add_frame(cache, &frames[i]);
	if (r < 0)
		return r;
	*find_slot(cache, place) = entry;
	cache->count++;
	return 0;
}

int name_cache_begin(struct name_cache *cache, bool anew)
{
	uint32_t texts = strtab_count(&cache->texts);

	if ((anew || !cache->answers) && !++cache->answers) { /* it went round */
		vec_clear(&cache->told);
		cache->answers = 1;
	}
	if (vec_reserve(&cache->told, texts) < 0)
		return -ENOMEM;
	if (cache->told.count < texts)
		memset(cache->told.items + cache->told.count, 0,
		       (texts - cache->told.count) * sizeof(*cache->told.items));
	cache->told.count = texts;
	return 0;
}

static void tell_text(struct name_cache *cache, uint32_t text, struct wire_out *out)
{
	struct name_cache_told *told = &cache->told.items[text];

	told->number = wire_out_text(out, strtab_get(&cache->texts, text),
				     strtab_length(&cache->texts, text));
	told->answer = cache->answers;
}

static inline uint32_t number_of(struct name_cache *cache, uint32_t text, struct wire_out *out)
{
	if (cache->told.items[text].answer != cache->answers)
		tell_text(cache, text, out);
	return cache->told.items[text].number;
}

int name_cache_tell(struct name_cache *cache, const struct name_cache_entry *entry,
		    struct wire_out *out)
{
	struct name_cache_function function = {0};
	const struct name_cache_frame *frame = &cache->frames.items[entry->first];
	uint32_t count = entry->frames - 1;
	uint8_t *to;

	if (entry->function)
		function = cache->functions.items[entry->function - 1];
	to = wire_out_frames(out, count, function.start, function.size);
	if (!to)
		return -ENOMEM;
	for (const struct name_cache_frame *end = frame + count; frame < end; frame++)
		to = wire_frame_put(to, number_of(cache, frame->name, out),
				    number_of(cache, frame->file, out), frame->line,
				    frame->inlined);
	return 0;
}

size_t name_cache_memory(const struct name_cache *cache)
{
	return cache->capacity * sizeof(*cache->slots) +
	       cache->frames.capacity * sizeof(*cache->frames.items) +
	       cache->functions.capacity * sizeof(*cache->functions.items) +
	       cache->told.capacity * sizeof(*cache->told.items) + strtab_memory(&cache->texts);
}

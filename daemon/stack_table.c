/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/stack_table.h"

#include <stdlib.h>
#include <string.h>

/* Above this multiple of the limit nothing is taken in before the next reset. */
#define HARD_LIMIT 4

void stack_table_init(struct stack_table *table, uint32_t max)
{
	*table = (struct stack_table){.max = max, .generation = 1};
}

static void drop_raw(struct stack_table *table, struct stack *stack)
{
	if (stack->state != STACK_RAW)
		return;
	free(stack->raw);
	stack->raw = NULL;
	process_unref(stack->process);
	stack->process = NULL;
	stack->state = STACK_AWAITED;
	table->raw--;
}

void stack_table_deinit(struct stack_table *table)
{
	for (size_t i = 0; i < table->stacks.count; i++)
		drop_raw(table, &table->stacks.items[i]);
	vec_free(&table->stacks);
	hashmap_deinit(&table->by_id);
	vec_free(&table->frame_ids);
	vec_free(&table->frames);
	hashmap_deinit(&table->frame_index);
	vec_free(&table->names);
	strtab_deinit(&table->strings);
	function_table_deinit(&table->functions);
	vec_free(&table->new_frames);
}

static struct stack_table emptied(const struct stack_table *table)
{
	return (struct stack_table){
		.max = table->max,
		.generation = table->generation + 1,
		.epoch = table->epoch,
		.refused = table->refused,
		.resets = table->resets + 1,
		.given_up = table->given_up,
		.functions = table->functions,
		.memory_image = table->memory_image,
		.memory_context = table->memory_context,
	};
}

size_t stack_table_aged(const struct stack_table *table, uint32_t age)
{
	size_t count = 0;

	for (size_t i = 0; i < table->stacks.count; i++)
		count += stack_aged(table, &table->stacks.items[i], age);
	return count;
}

uint32_t stack_table_index(struct stack_table *table, uint64_t id)
{
	const uint64_t *known = hashmap_get(&table->by_id, id);
	uint32_t index = (uint32_t)table->stacks.count;

	if (known) {
		table->stacks.items[*known].used = table->epoch;
		return (uint32_t)*known;
	}
	if (index >= (uint64_t)table->max * HARD_LIMIT ||
	    vec_push(&table->stacks, (struct stack){.id = id, .used = table->epoch})) {
		table->refused++;
		return STACK_NONE;
	}
	if (hashmap_put(&table->by_id, id, index)) {
		table->stacks.count--;
		return STACK_NONE;
	}
	return index;
}

static void name_by_function(struct frame *frame, const struct known_function *function)
{
	frame->state = function->name ? FRAME_NAMED : FRAME_UNNAMED;
	frame->start = function->start;
	frame->first_name = function->name ? function->name - 1 : 0;
	frame->name_count = function->name != 0;
}

static uint32_t frame_index(struct stack_table *table, uint32_t image, uint64_t offset)
{
	/* File offsets stay below 2^40 and kernel addresses are all of one image:
	 * image and offset together are exact in 64 bits; others are rotated in. */
	uint64_t key = ((uint64_t)image << 40 | (uint64_t)image >> 24) ^ offset;
	const uint64_t *known = hashmap_get(&table->frame_index, key);
	uint32_t index = (uint32_t)table->frames.count;
	const struct known_function *known_function;

	if (known && table->frames.items[*known].image == image &&
	    table->frames.items[*known].offset == offset)
		return (uint32_t)*known;
	if (vec_push(&table->frames, (struct frame){.image = image, .offset = offset}))
		return UINT32_MAX;
	known_function = image == IMAGE_NONE || image == IMAGE_KERNEL
				 ? NULL
				 : function_table_find(&table->functions, image, offset);
	if (image == IMAGE_NONE) {
		table->frames.items[index].state = FRAME_UNNAMED;
	} else if (known_function) {
		name_by_function(&table->frames.items[index], known_function);
	} else {
		if (vec_push(&table->new_frames, index))
			return UINT32_MAX;
		table->unresolved++;
	}
	hashmap_put(&table->frame_index, key, index);
	return index;
}

/* One table's stacks, on their way into the next. */
struct sifting {
	const struct stack_table *from;
	struct stack_table *into;
	uint32_t *frames; /* by frame of `from`: 1 + that of `into`; 0: not met yet */
};

/* A name, with its texts, in the next table; 0 or -ENOMEM. */
static int copy_name(const struct stack_table *from, struct stack_table *into, size_t index)
{
	struct frame_name name = from->names.items[index];

	name.name = stack_table_string(into, strtab_get(&from->strings, name.name));
	name.module = stack_table_string(into, strtab_get(&from->strings, name.module));
	name.file = stack_table_string(into, strtab_get(&from->strings, name.file));
	return vec_push(&into->names, name);
}

/* What functions are called has to be known there before the first frame is. */
static void copy_functions(const struct stack_table *from, struct stack_table *into)
{
	for (size_t i = 0; i < into->functions.items.count; i++) {
		struct known_function *function = &into->functions.items.items[i];

		if (!function->name || !function->size)
			continue;
		if (copy_name(from, into, function->name - 1))
			function->size = 0;
		function->name = into->names.count;
	}
}

/* A frame with what is known of it; what was asked, or had no name so far, is asked anew.
 * UINT32_MAX: no memory. */
static uint32_t copy_frame(const struct sifting *sifting, uint32_t index)
{
	const struct stack_table *from = sifting->from;
	struct stack_table *into = sifting->into;
	const struct frame *frame = &from->frames.items[index];
	size_t frames = into->frames.count;
	uint32_t copy = frame_index(into, frame->image, frame->offset);
	bool named = frame->state == FRAME_NAMED;

	if (copy == UINT32_MAX || copy < frames || frame->image == IMAGE_NONE)
		return copy;
	if (into->frames.items[copy].state != FRAME_NEW) /* by its function */
		return copy;
	if ((!named && frame->state != FRAME_UNNAMED) ||
	    vec_reserve(&into->names, into->names.count + frame->name_count))
		return copy;
	into->new_frames.count--; /* put there last */
	into->unresolved--;
	into->frames.items[copy].state = frame->state;
	into->frames.items[copy].start = frame->start;
	into->frames.items[copy].first_name = into->names.count;
	into->frames.items[copy].name_count = named ? frame->name_count : 0;
	for (uint16_t i = 0; named && i < frame->name_count; i++)
		copy_name(from, into, frame->first_name + i); /* there is room */
	return copy;
}

static bool copy_frames(const struct sifting *sifting, const struct stack *stack)
{
	struct stack_table *into = sifting->into;

	if (vec_reserve(&into->frame_ids, into->frame_ids.count + stack->count))
		return false;
	for (uint16_t i = 0; i < stack->count; i++) {
		uint32_t frame = sifting->from->frame_ids.items[stack->first + i];
		uint32_t copy = sifting->frames[frame] - 1;

		if (copy == UINT32_MAX)
			copy = copy_frame(sifting, frame);
		if (copy == UINT32_MAX)
			return false;
		sifting->frames[frame] = copy + 1;
		into->frame_ids.items[into->frame_ids.count++] = copy;
	}
	return true;
}

/* Its index in the new table, or STACK_NONE. */
static uint32_t move_stack(const struct sifting *sifting, struct stack *stack)
{
	struct stack_table *into = sifting->into;
	uint32_t index = stack_table_index(into, stack->id);
	size_t first = into->frame_ids.count;
	struct stack *moved;

	if (index == STACK_NONE)
		return index;
	moved = &into->stacks.items[index];
	moved->used = stack->used;
	if (stack->state == STACK_READY) {
		if (!copy_frames(sifting, stack))
			return index; /* awaited, and never to come: without memory */
		moved->first = first;
	} else if (stack->state == STACK_RAW) {
		moved->raw = stack->raw;
		moved->process = stack->process;
		stack->raw = NULL;
		stack->state = STACK_AWAITED;
		into->raw++;
		moved->state = STACK_RAW;
		moved->count = stack->count;
		moved->reason = stack->reason;
		return index;
	} else {
		into->raw += stack->state == STACK_LATE;
	}
	moved->state = stack->state;
	moved->count = stack->count;
	moved->reason = stack->reason;
	return index;
}

void stack_table_sift(struct stack_table *table, const bool *keep, uint32_t *moved)
{
	struct stack_table old = *table;
	struct sifting sifting = {.from = &old, .into = table};

	*table = emptied(&old);
	old.functions = (struct function_table){0}; /* they stay */
	copy_functions(&old, table);
	if (keep)
		sifting.frames = calloc(old.frames.count + 1, sizeof(*sifting.frames));
	for (size_t i = 0; i < old.stacks.count; i++) {
		uint32_t index = keep && keep[i] && sifting.frames
					 ? move_stack(&sifting, &old.stacks.items[i])
					 : STACK_NONE;

		table->given_up += index == STACK_NONE;
		if (moved)
			moved[i] = index;
	}
	free(sifting.frames);
	stack_table_deinit(&old);
}

/* A return address lies behind its call: the call's own place is asked for. The
 * innermost is the instruction itself. */
static uint32_t resolve_kernel(struct stack_table *table, uint64_t address, bool leaf)
{
	return frame_index(table, IMAGE_KERNEL, leaf ? address : address - 1);
}

/* The kernel side has done that for user frames, and turned all whose mapping it
 * knew into places in files; what is left is looked up here. */
static uint32_t resolve_user(struct stack_table *table, struct process *process, uint64_t word)
{
	const struct mapping_set *maps = process ? process->maps : NULL;
	uint64_t at = ABI_FRAME_OFFSET(word);
	const struct mapping *mapping;
	uint32_t image = IMAGE_NONE;

	if (ABI_FRAME_IMAGE(word) == ABI_IMAGE_NOWHERE)
		return frame_index(table, IMAGE_NONE, 0);
	if (ABI_FRAME_IMAGE(word))
		return frame_index(table, ABI_FRAME_IMAGE(word), at);
	mapping = mapping_set_find(maps, at);
	if (!mapping || mapping->image == IMAGE_NONE)
		return frame_index(table, IMAGE_NONE, 0);
	if (mapping->memory && process && table->memory_image)
		image = table->memory_image(table->memory_context, process);
	if (image != IMAGE_NONE)
		return frame_index(table, image, at);
	return frame_index(table, mapping->image, at - mapping->start + mapping->offset);
}

static void resolve(struct stack_table *table, struct stack *stack, struct process *process,
		    const uint64_t *addresses, size_t count, bool kernel)
{
	size_t first = table->frame_ids.count;

	if (vec_reserve(&table->frame_ids, first + count))
		return;
	for (size_t i = 0; i < count; i++) {
		uint32_t frame = kernel ? resolve_kernel(table, addresses[i], i == 0)
					: resolve_user(table, process, addresses[i]);

		if (frame == UINT32_MAX)
			break;
		table->frame_ids.items[table->frame_ids.count++] = frame;
	}
	stack->first = first;
	stack->count = (uint16_t)(table->frame_ids.count - first);
	stack->state = STACK_READY;
}

static void keep_raw(struct stack_table *table, struct stack *stack, const uint64_t *addresses,
		     size_t count, struct process *process)
{
	stack->raw = malloc((count ? count : 1) * sizeof(*addresses));
	if (!stack->raw)
		return;
	memcpy(stack->raw, addresses, count * sizeof(*addresses));
	stack->count = (uint16_t)count;
	stack->process = process_ref(process);
	stack->state = STACK_RAW;
	table->raw++;
}

void stack_table_put(struct stack_table *table, const struct abi_stack *record,
		     struct process *process)
{
	uint32_t index = stack_table_index(table, record->id);
	size_t words = (record->hdr.size - sizeof(*record)) / sizeof(uint64_t);
	size_t count = record->count < words ? record->count : words;
	bool kernel = record->space == ABI_SPACE_KERNEL;
	struct stack *stack;

	if (index == STACK_NONE || record->hdr.size < sizeof(*record))
		return;
	stack = &table->stacks.items[index];
	if (stack->state == STACK_LATE) {
		stack->state = STACK_AWAITED;
		table->raw--;
	}
	if (stack->state != STACK_AWAITED)
		return; /* sent again: the kernel's own table had dropped it */
	stack->reason = record->hdr.reason;
	if (!kernel && process && process->maps_state != MAPS_KNOWN)
		keep_raw(table, stack, (const uint64_t *)record->frames, count, process);
	else
		resolve(table, stack, process, (const uint64_t *)record->frames, count, kernel);
}

bool stack_table_expect(struct stack_table *table, uint64_t id)
{
	uint32_t index = stack_table_index(table, id);

	if (index == STACK_NONE || table->stacks.items[index].state != STACK_AWAITED)
		return false;
	table->stacks.items[index].state = STACK_LATE;
	table->raw++;
	return true;
}

void stack_table_mapped(struct stack_table *table, struct process *process)
{
	for (size_t i = 0; table->raw && i < table->stacks.count; i++) {
		struct stack *stack = &table->stacks.items[i];
		uint64_t *raw = stack->raw;
		uint16_t count = stack->count;

		if (stack->state != STACK_RAW || stack->process != process)
			continue;
		stack->raw = NULL;
		drop_raw(table, stack);
		resolve(table, stack, process, raw, count, false);
		free(raw);
	}
}

void stack_table_name(struct stack_table *table, uint32_t frame, const struct frame_name *names,
		      size_t count, uint64_t start)
{
	struct frame *at;

	if (frame >= table->frames.count)
		return;
	at = &table->frames.items[frame];
	if (at->state != FRAME_NEW && at->state != FRAME_ASKED)
		return;
	table->unresolved--;
	at->state = FRAME_UNNAMED;
	at->start = start;
	if (!count || count > UINT16_MAX || vec_reserve(&table->names, table->names.count + count))
		return;
	at->first_name = table->names.count;
	at->name_count = (uint16_t)count;
	memcpy(&table->names.items[table->names.count], names, count * sizeof(*names));
	table->names.count += count;
	at->state = FRAME_NAMED;
}

void stack_table_learn(struct stack_table *table, uint32_t frame, uint64_t start, uint32_t size)
{
	struct known_function function = {.start = start, .size = size};
	const struct frame *at;

	if (frame >= table->frames.count)
		return;
	at = &table->frames.items[frame];
	if ((at->state != FRAME_NAMED || at->name_count != 1) && at->state != FRAME_UNNAMED)
		return;
	function.image = at->image;
	function.name = at->state == FRAME_NAMED ? at->first_name + 1 : 0;
	function_table_add(&table->functions, &function, at->offset);
}

void stack_table_late(struct stack_table *table, uint32_t frame)
{
	stack_table_name(table, frame, NULL, 0, 0);
	if (frame < table->frames.count && table->frames.items[frame].state == FRAME_UNNAMED)
		table->frames.items[frame].state = FRAME_LATE;
}

int stack_table_ask_again(struct stack_table *table, uint32_t frame)
{
	struct frame *at = &table->frames.items[frame];

	if (at->state != FRAME_LATE || vec_push(&table->new_frames, frame))
		return -ENOMEM;
	at->state = FRAME_NEW;
	table->unresolved++;
	return 0;
}

void stack_table_forget_image(struct stack_table *table, uint32_t image)
{
	function_table_forget(&table->functions, image);
}

void stack_table_ask_image_again(struct stack_table *table, uint32_t image)
{
	function_table_forget(&table->functions, image);
	for (uint32_t i = 0; i < table->frames.count; i++) {
		struct frame *at = &table->frames.items[i];

		if (at->image != image ||
		    (at->state != FRAME_NAMED && at->state != FRAME_UNNAMED) ||
		    vec_push(&table->new_frames, i))
			continue;
		at->state = FRAME_NEW;
		table->unresolved++;
	}
}

uint32_t stack_table_string(struct stack_table *table, const char *text)
{
	uint32_t id = strtab_add(&table->strings, text, strlen(text));

	return id == UINT32_MAX ? 0 : id;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/window.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "daemon/reason.h"

/* A marker, the user frames, the kernel's, with some of them inlined. */
#define FOLD_FRAMES_MAX 4096
#define HEAP_LIBRARY "libperfd-heap"

void window_deinit(struct window *window)
{
	for (size_t i = 0; i < window->samples.count; i++)
		process_unref(window->samples.items[i].process);
	vec_free(&window->samples);
	hashmap_deinit(&window->index);
	if (window->heap)
		heap_data_deinit(window->heap);
	free(window->heap);
}

static bool alike(const struct window_sample *a, const struct window_sample *b)
{
	return a->process == b->process && a->kernel_stack == b->kernel_stack &&
	       a->user_stack == b->user_stack && a->reason == b->reason && a->tick == b->tick &&
	       a->site == b->site && !memcmp(a->comm, b->comm, sizeof(a->comm));
}

static uint64_t hash(const struct window_sample *sample)
{
	struct {
		uint64_t serial;
		uint32_t kernel_stack, user_stack;
		char comm[ABI_COMM_MAX];
	} key = {sample->process->serial, sample->kernel_stack, sample->user_stack, {0}};

	memcpy(key.comm, sample->comm, sizeof(key.comm));
	return XXH3_64bits_withSeed(&key, sizeof(key), sample->tick) + sample->reason;
}

int window_add(struct window *window, const struct window_sample *sample)
{
	uint64_t key = hash(sample);
	const uint64_t *known = hashmap_get(&window->index, key);
	uint32_t index = (uint32_t)window->samples.count;

	for (uint32_t i = known ? (uint32_t)*known : UINT32_MAX; i != UINT32_MAX;
	     i = window->samples.items[i].next) {
		struct window_sample *there = &window->samples.items[i];

		if (alike(there, sample)) {
			there->count += sample->count;
			there->weight += sample->weight;
			return 0;
		}
	}
	if (vec_push(&window->samples, *sample))
		return -ENOMEM;
	window->samples.items[index].next = known ? (uint32_t)*known : UINT32_MAX;
	if (hashmap_put(&window->index, key, index)) {
		window->samples.count--;
		return -ENOMEM;
	}
	process_ref(sample->process);
	return 0;
}

void window_keep_stacks(const struct window *window, bool *keep)
{
	for (size_t i = 0; i < window->samples.count; i++) {
		const struct window_sample *sample = &window->samples.items[i];

		if (sample->kernel_stack != STACK_NONE)
			keep[sample->kernel_stack] = true;
		if (sample->user_stack != STACK_NONE)
			keep[sample->user_stack] = true;
	}
}

static uint32_t moved_to(const uint32_t *moved, uint32_t stack)
{
	return stack == STACK_NONE ? STACK_NONE : moved[stack];
}

void window_renumber(struct window *window, const uint32_t *moved)
{
	/* Samples that are the same but are not found as such are two rows, no error. */
	hashmap_clear(&window->index);
	for (uint32_t i = 0; i < window->samples.count; i++) {
		struct window_sample *sample = &window->samples.items[i];
		const uint64_t *known;
		uint64_t key;

		sample->kernel_stack = moved_to(moved, sample->kernel_stack);
		sample->user_stack = moved_to(moved, sample->user_stack);
		key = hash(sample);
		known = hashmap_get(&window->index, key);
		sample->next = known ? (uint32_t)*known : UINT32_MAX;
		hashmap_put(&window->index, key, i);
	}
}

/* Whether a frame of the stack is in one of two states. */
static bool stack_has(const struct stack_table *stacks, uint32_t index, enum frame_state one,
		      enum frame_state other)
{
	const struct stack *stack = &stacks->stacks.items[index];

	for (size_t i = 0; i < stack->count && stack->state == STACK_READY; i++) {
		uint32_t frame = stacks->frame_ids.items[stack->first + i];
		uint8_t state = stacks->frames.items[frame].state;

		if (state == one || state == other)
			return true;
	}
	return false;
}

static bool stack_resolved(const struct stack_table *stacks, uint32_t index)
{
	return index == STACK_NONE || (stacks->stacks.items[index].state == STACK_READY &&
				       !stack_has(stacks, index, FRAME_NEW, FRAME_ASKED));
}

void window_settle(struct window *window, const struct stack_table *stacks, uint64_t *reasons)
{
	for (size_t i = 0; i < window->samples.count; i++) {
		struct window_sample *sample = &window->samples.items[i];
		const struct stack *stack;

		if (sample->reason != ABI_REASON_RAW || sample->user_stack == STACK_NONE)
			continue;
		stack = &stacks->stacks.items[sample->user_stack];
		if (stack->state == STACK_LATE || stack->state == STACK_AWAITED)
			continue;
		reasons[sample->reason] -= sample->count;
		reasons[stack->reason] += sample->count;
		sample->reason = stack->reason;
	}
}

bool window_resolved(const struct window *window, const struct stack_table *stacks)
{
	if (!stacks->unresolved && !stacks->raw)
		return true;
	for (size_t i = 0; i < window->samples.count; i++) {
		const struct window_sample *sample = &window->samples.items[i];

		if (!stack_resolved(stacks, sample->kernel_stack) ||
		    !stack_resolved(stacks, sample->user_stack))
			return false;
	}
	return true;
}

bool window_late(const struct window *window, const struct stack_table *stacks)
{
	for (size_t i = 0; i < window->samples.count; i++) {
		uint32_t user = window->samples.items[i].user_stack;

		if (user != STACK_NONE && stack_has(stacks, user, FRAME_LATE, FRAME_LATE))
			return true;
	}
	return false;
}

/* ---- folding ---- */

struct folding {
	const struct window_fold *how;
	uint32_t frames[FOLD_FRAMES_MAX]; /* of the profile, root first */
	size_t count;
	/* Most frames come again and again, and their names with them. By frame of the stack
	 * table: 1 + where in `runs` its profile frames are (how many, then which); 0: not met
	 * yet. NULL: no memory to remember them. */
	uint32_t *met;
	VEC(uint32_t) runs;
};

static void push(struct folding *f, uint32_t frame)
{
	if (frame != PROFILE_NONE && f->count < FOLD_FRAMES_MAX)
		f->frames[f->count++] = frame;
}

static void push_special(struct folding *f, const char *text)
{
	struct profile_frame frame = {.name = profile_string(f->how->profile, text),
				      .kind = FRAME_SPECIAL};

	push(f, profile_frame(f->how->profile, &frame));
}

/* What has no name is named by its place: the same place, the same frame. */
static void push_unnamed(struct folding *f, const struct frame *at)
{
	struct profile *profile = f->how->profile;
	const struct image *image = image_table_get(f->how->images, at->image);
	struct profile_frame frame = {.kind = FRAME_USER};
	char name[512];

	if (at->image == IMAGE_KERNEL) {
		snprintf(name, sizeof(name), "[kernel+0x%" PRIx64 "]", at->offset);
		frame.kind = FRAME_KERNEL;
	} else if (!image) {
		push_special(f, reason_frame(ABI_REASON_NO_MAPPING));
		return;
	} else if (image->anonymous) {
		/* Code without a file was written by its own process. */
		snprintf(name, sizeof(name), "[anon]");
		frame.kind = FRAME_JIT;
	} else {
		/* One frame a function where its bounds are known, else one a place. */
		uint64_t offset = at->start ? at->start : at->offset;
		const char *module = image->vdso ? "vdso" : image_module(image);

		snprintf(name, sizeof(name), "[%s+0x%" PRIx64 "]", module, offset);
		frame.module = profile_string(profile, image->path);
		frame.address = offset;
	}
	frame.name = profile_string(profile, name);
	push(f, profile_frame(profile, &frame));
}

static void push_named(struct folding *f, const struct frame *at)
{
	const struct stack_table *stacks = f->how->stacks;
	struct profile *profile = f->how->profile;
	const struct image *image = image_table_get(f->how->images, at->image);

	/* Names are leaf first: the outermost function comes last. */
	for (size_t i = at->name_count; i-- > 0;) {
		const struct frame_name *name = &stacks->names.items[at->first_name + i];
		const char *module = strtab_get(&stacks->strings, name->module);
		struct profile_frame frame = {
			.name = profile_string(profile, strtab_get(&stacks->strings, name->name)),
			.module = profile_string(profile, image       ? image->path
							  : module[0] ? module
								      : "[kernel]"),
			.file = profile_string(profile, strtab_get(&stacks->strings, name->file)),
			.line = name->line,
			.kind = at->image == IMAGE_KERNEL ? FRAME_KERNEL
				: name->inlined           ? FRAME_INLINE
				: image && image->jit     ? FRAME_JIT
							  : FRAME_USER,
		};

		push(f, profile_frame(profile, &frame));
	}
}

/* What was pushed for a frame, from `before` on. Without memory it is found anew next time. */
static void remember(struct folding *f, uint32_t id, size_t before)
{
	size_t at = f->runs.count, count = f->count - before;

	if (!f->met || f->count >= FOLD_FRAMES_MAX || at >= UINT32_MAX - FOLD_FRAMES_MAX ||
	    vec_reserve(&f->runs, at + 1 + count))
		return;
	f->runs.items[at] = (uint32_t)count;
	memcpy(&f->runs.items[at + 1], &f->frames[before], count * sizeof(*f->frames));
	f->runs.count = at + 1 + count;
	f->met[id] = (uint32_t)at + 1;
}

static void push_frame(struct folding *f, uint32_t id)
{
	const struct frame *frame = &f->how->stacks->frames.items[id];
	const uint32_t *run = f->met && f->met[id] ? &f->runs.items[f->met[id] - 1] : NULL;
	size_t before = f->count;

	for (uint32_t i = 0; run && i < *run; i++)
		push(f, run[1 + i]);
	if (run)
		return;
	if (frame->state == FRAME_NAMED)
		push_named(f, frame);
	else
		push_unnamed(f, frame);
	remember(f, id, before);
}

/* Of allocations: so many of the innermost frames are of the library that perfd put in, which
 * nobody asked about. */
static size_t inner_frames(const struct folding *f, const struct stack *stack)
{
	size_t count = 0;

	for (; f->how->scale && count < stack->count; count++) {
		const struct stack_table *stacks = f->how->stacks;
		const struct frame *frame =
			&stacks->frames.items[stacks->frame_ids.items[stack->first + count]];
		const struct image *image = image_table_get(f->how->images, frame->image);

		if (!image || image->anonymous ||
		    strncmp(image_module(image), HEAP_LIBRARY, strlen(HEAP_LIBRARY)) != 0)
			break;
	}
	return count;
}

static void push_stack(struct folding *f, uint32_t index)
{
	const struct stack_table *stacks = f->how->stacks;
	const struct stack *stack = &stacks->stacks.items[index];

	if (stack->state == STACK_LATE)
		return; /* the sample's reason says so */
	if (stack->state != STACK_READY) {
		push_special(f, reason_frame(stack->state == STACK_RAW ? ABI_REASON_NO_MAPPING
								       : ABI_REASON_LOST_STACK));
		return;
	}
	for (size_t i = stack->count, end = inner_frames(f, stack); i-- > end;)
		push_frame(f, stacks->frame_ids.items[stack->first + i]);
}

/* The profile's buckets may have become wider than the window's steps. */
static uint32_t bucket_of(const struct window *window, const struct window_sample *sample,
			  const struct window_fold *how)
{
	uint64_t at = how->begins_ns + sample->tick * window->step_ns;

	return how->profile->bucket_ns ? (uint32_t)(at / how->profile->bucket_ns) : 0;
}

/* To whole numbers, up or down by chance, so that sums of many stay right on average; by the
 * same chance each time for the same sample (the finalizer of splitmix64). */
static uint64_t rounded(uint64_t count, uint32_t scale, uint64_t key)
{
	key += 0x9e3779b97f4a7c15ull;
	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9ull;
	key = (key ^ key >> 27) * 0x94d049bb133111ebull;
	return scale ? (count + (key ^ key >> 31) % scale) / scale : count;
}

static bool put_sum(uint64_t *values, const struct heap_sum *sum, const struct heap_sum *more,
		    uint64_t key)
{
	values[0] = rounded(sum->count + (more ? more->count : 0), HEAP_COUNT_SCALE, key);
	values[1] = sum->bytes + (more ? more->bytes : 0);
	return values[0] | values[1];
}

/* Whether there is anything. */
static bool site_values(const struct heap_site *site, uint64_t *values, uint64_t key)
{
	bool any = put_sum(values + 2, &site->live, &site->leaked, key);

	any |= put_sum(values + 4, &site->peak, NULL, key);
	return put_sum(values + 6, &site->temporary, NULL, key) || any;
}

static int fold_heap(const struct window *window, const struct window_fold *how)
{
	static const struct heap_data_map as_it_is;

	return window->heap ? heap_data_join(&how->profile->heap, window->heap, &as_it_is) : 0;
}

static int fold(struct folding *f, const struct window *window)
{
	const struct window_fold *how = f->how;

	for (size_t i = 0; i < window->samples.count; i++) {
		const struct window_sample *from = &window->samples.items[i];
		struct heap_site *site =
			from->site ? &window->heap->sites.items[from->site - 1] : NULL;
		uint64_t key = ((uint64_t)from->user_stack << 32 | from->tick) ^ window->start;
		uint64_t values[PROFILE_VALUES_MAX] = {rounded(from->count, how->scale, key),
						       from->weight};
		bool any = from->count | from->weight;
		struct profile_sample sample = {
			.process = how->process(how->context, from->process),
			.comm = profile_string_n(how->profile, from->comm,
						 strnlen(from->comm, sizeof(from->comm))),
			.bucket = bucket_of(window, from, how),
		};

		if (site)
			any |= site_values(site, values, key);
		f->count = 0;
		if (reason_frame(from->reason)[0])
			push_special(f, reason_frame(from->reason));
		if (from->user_stack != STACK_NONE)
			push_stack(f, from->user_stack);
		if (from->kernel_stack != STACK_NONE)
			push_stack(f, from->kernel_stack);
		sample.stack = profile_stack(how->profile, f->frames, f->count);
		if (sample.stack == PROFILE_NONE)
			return -ENOMEM;
		if (site) {
			site->stack = sample.stack;
			site->process = sample.process;
		}
		if (any && profile_add_sample(how->profile, &sample, values))
			return -ENOMEM;
	}
	return fold_heap(window, how);
}

int window_fold(struct window *window, const struct window_fold *how)
{
	struct folding folding = {.how = how};
	int r;

	/* Not worth it for a look at a sample or two. */
	if (window->samples.count > 8)
		folding.met = calloc(how->stacks->frames.count, sizeof(*folding.met));
	r = fold(&folding, window);
	free(folding.met);
	vec_free(&folding.runs);
	return r;
}

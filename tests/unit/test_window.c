/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/window.h"

#include <stdio.h>
#include <string.h>

#include "daemon/reason.h"
#include "tests/unit/suite.h"

/* One process, one user stack (main > work), one kernel stack (read). */
struct world {
	struct process_table processes;
	struct stack_table stacks;
	struct image_table images;
	struct process *process;
	struct window window;
	uint32_t user, kernel;
};

static uint32_t put_stack(struct world *w, uint64_t id, enum abi_space space,
			  const uint64_t *frames, size_t count)
{
	struct {
		struct abi_stack stack;
		uint64_t frames[8];
	} r = {.stack = {.id = id, .space = (uint8_t)space, .count = (uint16_t)count}};

	r.stack.hdr.size = (uint16_t)(sizeof(r.stack) + count * 8);
	memcpy(r.frames, frames, count * 8);
	stack_table_put(&w->stacks, &r.stack, space == ABI_SPACE_USER ? w->process : NULL);
	return stack_table_index(&w->stacks, id);
}

static void name(struct world *w, uint32_t stack, size_t i, const char *text)
{
	const struct stack *at = &w->stacks.stacks.items[stack];
	struct frame_name n = {.name = stack_table_string(&w->stacks, text)};

	stack_table_name(&w->stacks, w->stacks.frame_ids.items[at->first + i], &n, 1, 0);
}

static void world_init(struct world *w)
{
	struct {
		struct abi_mmap mmap;
		char path[16];
	} file = {.mmap = {.inode = 5}, .path = "/usr/bin/prog"};
	const uint64_t user[] = {0x1010, 0x1100}, kernel[] = {0xffffffff81000010};
	struct mapping mapping = {0x1000, 0x3000, 0, 0, false};

	memset(w, 0, sizeof(*w));
	process_table_init(&w->processes, 10, 0);
	stack_table_init(&w->stacks, 100);
	image_table_init(&w->images, 10, 10);
	w->process = process_table_discover(&w->processes, 50, 1);
	w->process->maps_state = MAPS_KNOWN;
	mapping.image = image_table_add(&w->images, &file.mmap);
	ck_assert_int_eq(mapping_set_own(&w->process->maps), 0);
	mapping_set_insert(w->process->maps, &mapping);
	w->user = put_stack(w, 1, ABI_SPACE_USER, user, 2);
	w->kernel = put_stack(w, 2, ABI_SPACE_KERNEL, kernel, 1);
}

static void world_deinit(struct world *w)
{
	window_deinit(&w->window);
	stack_table_deinit(&w->stacks);
	process_table_deinit(&w->processes);
	image_table_deinit(&w->images);
}

static void add(struct world *w, uint32_t kernel, uint32_t user, enum abi_reason reason,
		uint64_t weight)
{
	struct window_sample sample = {.process = w->process,
				       .comm = "prog",
				       .kernel_stack = kernel,
				       .user_stack = user,
				       .reason = (uint8_t)reason,
				       .count = 1,
				       .weight = weight};

	ck_assert_int_eq(window_add(&w->window, &sample), 0);
}

static uint32_t no_process(void *context, struct process *process)
{
	(void)context;
	(void)process;
	return PROFILE_NONE;
}

static struct profile *fold(struct world *w)
{
	struct window_fold how = {
		.stacks = &w->stacks, .images = &w->images, .process = no_process};

	how.profile = profile_create();
	profile_add_value_type(how.profile, "samples", "count");
	profile_add_value_type(how.profile, "cpu", "nanoseconds");
	ck_assert_int_eq(window_fold(&w->window, &how), 0);
	return how.profile;
}

/* "a;b;c" of a sample's stack. */
static const char *stack_text(const struct profile *profile, size_t sample)
{
	static char text[1024];
	size_t count, at = 0;
	const uint32_t *frames =
		profile_stack_frames(profile, profile->samples.items[sample].stack, &count);

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		at += (size_t)snprintf(
			text + at, sizeof(text) - at, "%s%s", i ? ";" : "",
			profile_text(profile, profile->frames.items[frames[i]].name));
		ck_assert_uint_lt(at, sizeof(text));
	}
	return text;
}

START_TEST(alike_samples_are_summed)
{
	struct world w;
	struct profile *profile;

	world_init(&w);
	add(&w, w.kernel, w.user, ABI_REASON_COMPLETE, 10);
	add(&w, w.kernel, w.user, ABI_REASON_COMPLETE, 32);
	add(&w, STACK_NONE, w.user, ABI_REASON_COMPLETE, 5);
	ck_assert_uint_eq(w.window.samples.count, 2);
	profile = fold(&w);
	ck_assert_uint_eq(profile_total(profile, 0), 3);
	ck_assert_uint_eq(profile_total(profile, 1), 47);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

START_TEST(root_first_and_kernel_on_top)
{
	struct world w;
	struct profile *profile;

	world_init(&w);
	name(&w, w.user, 0, "work");
	name(&w, w.user, 1, "main");
	name(&w, w.kernel, 0, "read");
	add(&w, w.kernel, w.user, ABI_REASON_COMPLETE, 10);
	ck_assert(window_resolved(&w.window, &w.stacks));
	profile = fold(&w);
	ck_assert_str_eq(stack_text(profile, 0), "main;work;read");
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

START_TEST(places_stand_in_for_names)
{
	struct world w;
	struct profile *profile;

	world_init(&w);
	name(&w, w.user, 1, "main");
	add(&w, STACK_NONE, w.user, ABI_REASON_COMPLETE, 10);
	ck_assert(!window_resolved(&w.window, &w.stacks));
	profile = fold(&w);
	ck_assert_str_eq(stack_text(profile, 0), "main;[prog+0x10]");
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

START_TEST(a_reason_is_a_frame)
{
	struct world w;
	struct profile *profile;

	world_init(&w);
	name(&w, w.user, 0, "work");
	name(&w, w.user, 1, "main");
	add(&w, STACK_NONE, w.user, ABI_REASON_TRUNCATED, 10);
	add(&w, STACK_NONE, stack_table_index(&w.stacks, 99), ABI_REASON_COMPLETE, 1);
	profile = fold(&w);
	ck_assert_str_eq(stack_text(profile, 0), "[truncated];main;work");
	ck_assert_str_eq(stack_text(profile, 1), "[lost stack]");
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

/* Named or not, as often as they come. */
START_TEST(frames_met_again_are_the_same)
{
	struct world w;
	struct profile *profile;

	world_init(&w);
	name(&w, w.user, 1, "main");
	name(&w, w.kernel, 0, "read");
	for (uint32_t i = 0; i < 20; i++) {
		struct window_sample sample = {.process = w.process,
					       .comm = "prog",
					       .kernel_stack = i % 2 ? w.kernel : STACK_NONE,
					       .user_stack = w.user,
					       .reason = ABI_REASON_COMPLETE,
					       .tick = i,
					       .count = 1,
					       .weight = 1};

		ck_assert_int_eq(window_add(&w.window, &sample), 0);
	}
	profile = fold(&w);
	for (size_t i = 0; i < profile->samples.count; i++) {
		const char *text = stack_text(profile, i);

		ck_assert_uint_eq(profile->samples.items[i].stack,
				  profile->samples.items[i % 2].stack);
		ck_assert(!strcmp(text, "main;[prog+0x10]") ||
			  !strcmp(text, "main;[prog+0x10];read"));
	}
	ck_assert_uint_eq(profile_total(profile, 0), 20);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

/* Stacks that nobody needs are given up: the window's are under other numbers then. */
START_TEST(samples_follow_their_stacks)
{
	const uint64_t other[] = {0x1020};
	uint32_t moved[3];
	bool keep[3] = {false};
	struct world w;

	world_init(&w);
	put_stack(&w, 3, ABI_SPACE_USER, other, 1);
	add(&w, w.kernel, STACK_NONE, ABI_REASON_COMPLETE, 10);
	add(&w, STACK_NONE, 2, ABI_REASON_COMPLETE, 5);
	window_keep_stacks(&w.window, keep);
	ck_assert(!keep[w.user] && keep[w.kernel] && keep[2]);
	stack_table_sift(&w.stacks, keep, moved);
	ck_assert_uint_eq(w.stacks.stacks.count, 2);
	window_renumber(&w.window, moved);
	ck_assert_uint_eq(w.window.samples.items[0].kernel_stack, moved[w.kernel]);
	ck_assert_uint_eq(w.window.samples.items[0].user_stack, STACK_NONE);
	ck_assert_uint_eq(w.stacks.stacks.items[w.window.samples.items[1].user_stack].id, 3);
	/* What comes now is summed with what came before. */
	add(&w, moved[w.kernel], STACK_NONE, ABI_REASON_COMPLETE, 7);
	add(&w, STACK_NONE, moved[2], ABI_REASON_COMPLETE, 7);
	ck_assert_uint_eq(w.window.samples.count, 2);
	ck_assert_uint_eq(w.window.samples.items[0].weight, 17);
	ck_assert_uint_eq(w.window.samples.items[1].weight, 12);
	world_deinit(&w);
}
END_TEST

START_TEST(every_reason_has_words)
{
	for (unsigned int i = 0; i < ABI_REASON_COUNT; i++) {
		ck_assert_uint_gt(strlen(reason_key(i)), 0);
		ck_assert_uint_gt(strlen(reason_text(i)), 0);
		for (unsigned int j = 0; j < i; j++)
			ck_assert_str_ne(reason_key(i), reason_key(j));
	}
	ck_assert_str_eq(reason_key(ABI_REASON_COUNT), "unknown");
	ck_assert(reason_is_loss(ABI_REASON_LOST_RING));
	ck_assert(!reason_is_loss(ABI_REASON_LOST_STACK)); /* the sample itself is there */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("window");

	SUITE_CASE(suite, "window", alike_samples_are_summed, samples_follow_their_stacks,
		   root_first_and_kernel_on_top, places_stand_in_for_names, a_reason_is_a_frame,
		   frames_met_again_are_the_same);
	SUITE_CASE(suite, "reasons", every_reason_has_words);
	return suite_main(suite);
}

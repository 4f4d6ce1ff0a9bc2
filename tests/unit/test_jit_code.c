/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Code made at run time: which image names it, and what is asked for again and when.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/jit_code.h"

#define NOW (1000 * NSEC_PER_SEC)

struct bench {
	struct stack_table stacks;
	struct image_table images;
	struct process_table processes;
	struct jit_code jit;
};

static uint32_t memory_image(void *context, struct process *process)
{
	return jit_code_image(context, process);
}

/* No dump has a file here. */
static void open_nothing(void *context, struct image *image)
{
	(void)context;
	(void)image;
}

static bool looking; /* an opener is asked for lists, and goes on looking */

static bool look(void *context, struct image *image)
{
	(void)context;
	(void)image;
	return looking;
}

static void bench_init(struct bench *bench)
{
	*bench = (struct bench){0};
	stack_table_init(&bench->stacks, 100);
	image_table_init(&bench->images, 100, 100);
	process_table_init(&bench->processes, 100, NSEC_PER_SEC);
	bench->jit = (struct jit_code){.stacks = &bench->stacks,
				       .images = &bench->images,
				       .processes = &bench->processes,
				       .open = open_nothing,
				       .look = look};
	bench->stacks.memory_image = memory_image;
	bench->stacks.memory_context = &bench->jit;
}

static void bench_deinit(struct bench *bench)
{
	jit_code_deinit(&bench->jit);
	stack_table_deinit(&bench->stacks);
	image_table_deinit(&bench->images);
	process_table_deinit(&bench->processes);
}

/* A process that no /proc knows, with memory that it wrote itself at 0x1000. */
static struct process *process_of(struct bench *bench, uint32_t pid)
{
	struct process *process = process_table_discover(&bench->processes, pid, 1);
	struct mapping memory = {.start = 0x1000, .end = 0x9000, .memory = true};
	union {
		struct abi_mmap mmap;
		uint8_t bytes[sizeof(struct abi_mmap) + 8];
	} anonymous = {0};

	memcpy(anonymous.mmap.path, "//anon", 7);
	memory.image = image_table_add(&bench->images, &anonymous.mmap);
	ck_assert_ptr_nonnull(process);
	ck_assert_int_eq(mapping_set_own(&process->maps), 0);
	mapping_set_insert(process->maps, &memory);
	process->maps_state = MAPS_KNOWN;
	return process;
}

/* A stack of one frame; gives the frame, which is to be asked for. */
static uint32_t sample(struct bench *bench, struct process *process, uint64_t address)
{
	union {
		struct abi_stack stack;
		uint8_t bytes[sizeof(struct abi_stack) + 8];
	} record = {0};
	size_t before = bench->stacks.new_frames.count;

	record.stack.hdr.size = sizeof(record.bytes);
	record.stack.id = process->pid * 100000ULL + address + ((uint64_t)process->execs << 60);
	record.stack.count = 1;
	memcpy(record.bytes + sizeof(record.stack), &address, sizeof(address));
	stack_table_put(&bench->stacks, &record.stack, process);
	ck_assert_uint_eq(bench->stacks.new_frames.count, before + 1);
	return bench->stacks.new_frames.items[before];
}

/* As the resolver does when there is no name. */
static void nameless(struct bench *bench, uint32_t frame, uint64_t asked)
{
	vec_clear(&bench->stacks.new_frames);
	jit_code_nameless(&bench->jit, frame, asked);
}

static enum frame_state state_of(const struct bench *bench, uint32_t frame)
{
	return bench->stacks.frames.items[frame].state;
}

static void give_list(struct bench *bench, const struct process *process)
{
	image_table_jit_file(&bench->images, image_table_get(&bench->images, process->jit_image),
			     dup(0));
}

START_TEST(names_of_dumps)
{
	ck_assert(jit_code_is_dump("/tmp/jit-123.dump"));
	ck_assert(jit_code_is_dump("/home/u/.debug/jit/x/jit-1.dump"));
	ck_assert(jit_code_is_dump("jit-1.dump"));
	ck_assert(!jit_code_is_dump("/tmp/jit-.dump"));
	ck_assert(!jit_code_is_dump("/tmp/jit-12.dumped"));
	ck_assert(!jit_code_is_dump("/tmp/jit-1a.dump"));
	ck_assert(!jit_code_is_dump("/tmp/ajit-1.dump"));
	ck_assert(!jit_code_is_dump(""));
}
END_TEST

START_TEST(each_process_its_own)
{
	struct bench bench;
	struct process *one, *other;
	uint32_t first;

	bench_init(&bench);
	one = process_of(&bench, 4000001);
	other = process_of(&bench, 4000002);
	sample(&bench, one, 0x1100);
	sample(&bench, other, 0x1100); /* the same address: another place */
	ck_assert_uint_ne(one->jit_image, IMAGE_NONE);
	ck_assert_uint_ne(one->jit_image, other->jit_image);
	first = one->jit_image;
	one->execs++; /* another program */
	sample(&bench, one, 0x1100);
	ck_assert_uint_ne(one->jit_image, first);
	bench_deinit(&bench);
}
END_TEST

START_TEST(asked_again_at_longer_intervals)
{
	static const unsigned turns[] = {1, 3, 7, 15, 31, 61, 91}; /* seconds */
	uint64_t start = clock_boot_ns();
	struct bench bench;
	struct process *process;
	size_t next = 0;
	uint32_t frame;

	bench_init(&bench);
	process = process_of(&bench, 4000001);
	frame = sample(&bench, process, 0x1100);
	give_list(&bench, process);
	nameless(&bench, frame, start);
	ck_assert_int_eq(state_of(&bench, frame), FRAME_LATE);
	ck_assert_uint_eq(bench.stacks.unresolved, 0);
	image_table_get(&bench.images, process->jit_image)->jit_next = start + NSEC_PER_SEC;
	for (unsigned second = 0; second < 100; second++) {
		bool due = next < sizeof(turns) / sizeof(turns[0]) && second == turns[next];

		jit_code_again(&bench.jit, start + second * NSEC_PER_SEC, false);
		ck_assert_int_eq(state_of(&bench, frame), due ? FRAME_NEW : FRAME_LATE);
		if (due) {
			ck_assert_uint_eq(bench.stacks.unresolved, 1);
			nameless(&bench, frame, start + second * NSEC_PER_SEC);
			next++;
		}
	}
	ck_assert_uint_eq(next, sizeof(turns) / sizeof(turns[0]));
	/* Somebody wants to know now. */
	jit_code_again(&bench.jit, start + 100 * NSEC_PER_SEC, true);
	ck_assert_int_eq(state_of(&bench, frame), FRAME_NEW);
	bench_deinit(&bench);
}
END_TEST

START_TEST(nobody_to_ask)
{
	struct bench bench;
	struct process *process;
	uint32_t frame;

	bench_init(&bench);
	process = process_of(&bench, 4000001);
	frame = sample(&bench, process, 0x1100);
	nameless(&bench, frame, clock_boot_ns());
	jit_code_again(&bench.jit, clock_boot_ns() + NOW, true);
	ck_assert_int_eq(state_of(&bench, frame), FRAME_LATE);
	ck_assert_int_eq(
		jit_code_open(&bench.jit, image_table_get(&bench.images, process->jit_image)), -1);
	bench_deinit(&bench);
}
END_TEST

static void end(struct bench *bench, struct process *process)
{
	struct abi_exit ended = {.hdr.time = NOW, .pid = process->pid, .tid = process->pid};
	bool last;

	process_table_exit(&bench->processes, &ended, &last);
	ck_assert(last);
}

START_TEST(a_last_time_when_it_has_ended)
{
	uint64_t start = clock_boot_ns();
	struct bench bench;
	struct process *process;
	uint32_t frame, other;

	bench_init(&bench);
	process = process_of(&bench, 4000001);
	frame = sample(&bench, process, 0x1100);
	other = sample(&bench, process, 0x1200);
	give_list(&bench, process);
	nameless(&bench, frame, start);
	end(&bench, process);
	jit_code_again(&bench.jit, start + NOW, false);
	ck_assert_int_eq(state_of(&bench, frame), FRAME_NEW);
	/* One whose answer was under way meanwhile is none the worse for it. */
	nameless(&bench, other, start + NOW - 1);
	ck_assert_int_eq(state_of(&bench, other), FRAME_LATE);
	nameless(&bench, frame, start + NOW);
	ck_assert_int_eq(state_of(&bench, frame), FRAME_UNNAMED);
	bench_deinit(&bench);
}
END_TEST

/* A session ends: all are asked, but some had been asked just before, and are told that
 * there is no name yet. That answer is not the last. */
START_TEST(an_answer_from_before_the_end_is_not_the_last)
{
	uint64_t start = clock_boot_ns();
	struct bench bench;
	struct process *process;
	uint32_t frame;

	bench_init(&bench);
	process = process_of(&bench, 4000001);
	frame = sample(&bench, process, 0x1100);
	give_list(&bench, process);
	jit_code_again(&bench.jit, start + 10, true); /* the answer is under way */
	nameless(&bench, frame, start);
	ck_assert_int_eq(state_of(&bench, frame), FRAME_NEW);
	ck_assert_uint_eq(bench.stacks.new_frames.count, 1);
	ck_assert_uint_eq(bench.stacks.unresolved, 1);
	ck_assert_uint_eq(bench.jit.late.count, 0);
	nameless(&bench, frame, start + 10); /* this one is */
	ck_assert_int_eq(state_of(&bench, frame), FRAME_LATE);
	ck_assert_uint_eq(bench.jit.late.count, 1);
	bench_deinit(&bench);
}
END_TEST

/* An opener looks for it, which may take its time. */
START_TEST(a_list_that_is_looked_for)
{
	uint64_t start = clock_boot_ns(), look;
	struct bench bench;
	struct process *process;
	struct image *image;
	uint32_t frame;

	bench_init(&bench);
	looking = true;
	process = process_of(&bench, 4000001);
	frame = sample(&bench, process, 0x1100);
	image = image_table_get(&bench.images, process->jit_image);
	ck_assert(jit_code_opening(&bench.jit, image));
	look = image->jit_look;
	jit_code_found(&bench.jit, image, look, -1);
	ck_assert(!jit_code_opening(&bench.jit, image));
	ck_assert_int_eq(jit_code_open(&bench.jit, image), -1);
	/* It is looked for anew when it is due, and waited for: then it is there. */
	nameless(&bench, frame, start);
	jit_code_again(&bench.jit, start + NOW, false);
	ck_assert_int_eq(state_of(&bench, frame), FRAME_NEW);
	ck_assert(jit_code_opening(&bench.jit, image));
	ck_assert_uint_ne(image->jit_look, look);
	/* An answer to an earlier question, or for another program, is none. */
	jit_code_found(&bench.jit, image, look, dup(0));
	ck_assert(jit_code_opening(&bench.jit, image));
	ck_assert_int_eq(image->fd, -1);
	process->execs++;
	jit_code_found(&bench.jit, image, image->jit_look, dup(0));
	ck_assert(!jit_code_opening(&bench.jit, image));
	ck_assert_int_eq(image->fd, -1);
	process->execs--;
	nameless(&bench, frame, start + NOW);
	jit_code_again(&bench.jit, start + 2 * NOW, false);
	end(&bench, process); /* its list is as good */
	jit_code_found(&bench.jit, image, image->jit_look, dup(0));
	ck_assert_int_ge(image->fd, 0);
	looking = false;
	bench_deinit(&bench);
}
END_TEST

START_TEST(images_are_used_again)
{
	struct bench bench;
	struct process *process, *lives;
	uint32_t first;
	bool *keep;

	bench_init(&bench);
	process = process_of(&bench, 4000001);
	lives = process_of(&bench, 4000002);
	sample(&bench, process, 0x1100);
	sample(&bench, lives, 0x1100);
	first = process->jit_image;
	end(&bench, process);
	/* Not while the stack table has frames of it. */
	process = process_of(&bench, 4000003);
	sample(&bench, process, 0x1100);
	ck_assert_uint_ne(process->jit_image, first);
	keep = calloc(bench.stacks.stacks.count, sizeof(*keep));
	memset(keep, true, bench.stacks.stacks.count * sizeof(*keep));
	stack_table_sift(&bench.stacks, keep, NULL);
	free(keep);
	process = process_of(&bench, 4000005);
	sample(&bench, process, 0x1100);
	ck_assert_uint_ne(process->jit_image, first);
	stack_table_sift(&bench.stacks, NULL, NULL);
	process = process_of(&bench, 4000004);
	sample(&bench, process, 0x1100);
	ck_assert_uint_eq(process->jit_image, first);
	ck_assert_uint_eq(image_table_get(&bench.images, first)->use.pid, 4000004);
	sample(&bench, lives, 0x1100);
	ck_assert_uint_ne(lives->jit_image, first);
	bench_deinit(&bench);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jit_code");
	TCase *tcase = tcase_create("jit_code");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, names_of_dumps);
	tcase_add_test(tcase, each_process_its_own);
	tcase_add_test(tcase, asked_again_at_longer_intervals);
	tcase_add_test(tcase, nobody_to_ask);
	tcase_add_test(tcase, a_last_time_when_it_has_ended);
	tcase_add_test(tcase, an_answer_from_before_the_end_is_not_the_last);
	tcase_add_test(tcase, a_list_that_is_looked_for);
	tcase_add_test(tcase, images_are_used_again);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

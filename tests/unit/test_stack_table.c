/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/stack_table.h"

#include <stdarg.h>
#include <string.h>

#include "tests/unit/suite.h"

/* A stack record with up to eight frames. */
struct record {
	struct abi_stack stack;
	uint64_t frames[8];
};

static struct record record(uint64_t id, enum abi_space space, size_t count, ...)
{
	struct record r = {.stack = {.hdr = {.type = ABI_STACK}, .id = id}};
	va_list args;

	r.stack.space = (uint8_t)space;
	r.stack.count = (uint16_t)count;
	r.stack.hdr.size = (uint16_t)(sizeof(r.stack) + count * 8);
	va_start(args, count);
	for (size_t i = 0; i < count; i++)
		r.frames[i] = va_arg(args, uint64_t);
	va_end(args);
	return r;
}

static struct process *process(struct process_table *table, enum maps_state state)
{
	struct process *p = process_table_discover(table, 50, 1);

	p->maps_state = state;
	if (state == MAPS_KNOWN) {
		struct mapping m = {0x1000, 0x3000, 0x400, 7, false};

		ck_assert_int_eq(mapping_set_own(&p->maps), 0);
		mapping_set_insert(p->maps, &m);
	}
	return p;
}

static const struct frame *frame_of(const struct stack_table *table, uint32_t stack, size_t i)
{
	return &table->frames.items[table->frame_ids.items[table->stacks.items[stack].first + i]];
}

START_TEST(addresses_become_places_in_files)
{
	struct process_table processes;
	struct stack_table table;
	struct record r =
		record(11, ABI_SPACE_USER, 3, (uint64_t)0x1010, (uint64_t)0x1fff, (uint64_t)0x9000);
	uint32_t at;

	process_table_init(&processes, 10, 0);
	stack_table_init(&table, 100);
	stack_table_put(&table, &r.stack, process(&processes, MAPS_KNOWN));
	at = stack_table_index(&table, 11);
	ck_assert_int_eq(table.stacks.items[at].state, STACK_READY);
	ck_assert_uint_eq(frame_of(&table, at, 0)->image, 7);
	ck_assert_uint_eq(frame_of(&table, at, 0)->offset, 0x410);
	ck_assert_uint_eq(frame_of(&table, at, 1)->offset, 0x13ff);
	/* In no mapping: nothing to ask for. */
	ck_assert_uint_eq(frame_of(&table, at, 2)->image, IMAGE_NONE);
	ck_assert_int_eq(frame_of(&table, at, 2)->state, FRAME_UNNAMED);
	ck_assert_uint_eq(table.unresolved, 2);
	stack_table_deinit(&table);
	process_table_deinit(&processes);
}
END_TEST

START_TEST(places_from_the_kernel_side_stay)
{
	struct stack_table table;
	struct record r = record(11, ABI_SPACE_USER, 2, (uint64_t)ABI_FRAME(7, 0x410),
				 (uint64_t)ABI_FRAME(9, 0x20));
	uint32_t at;

	stack_table_init(&table, 100);
	stack_table_put(&table, &r.stack, NULL);
	at = stack_table_index(&table, 11);
	ck_assert_uint_eq(frame_of(&table, at, 0)->image, 7);
	ck_assert_uint_eq(frame_of(&table, at, 0)->offset, 0x410);
	ck_assert_uint_eq(frame_of(&table, at, 1)->image, 9);
	stack_table_deinit(&table);
}
END_TEST

/* A kernel stack's callers are return addresses. */
/* What the daemon knows may be out of date: the kernel side has looked. */
START_TEST(nowhere_is_nowhere)
{
	struct process_table processes;
	struct stack_table table;
	struct record r = record(11, ABI_SPACE_USER, 2, (uint64_t)0x1010,
				 (uint64_t)ABI_FRAME(ABI_IMAGE_NOWHERE, 0x1020));
	uint32_t at;

	process_table_init(&processes, 10, 0);
	stack_table_init(&table, 100);
	stack_table_put(&table, &r.stack, process(&processes, MAPS_KNOWN));
	at = stack_table_index(&table, 11);
	ck_assert_uint_eq(frame_of(&table, at, 0)->image, 7);
	ck_assert_uint_eq(frame_of(&table, at, 1)->image, IMAGE_NONE);
	stack_table_deinit(&table);
	process_table_deinit(&processes);
}
END_TEST

START_TEST(callers_by_their_calls)
{
	struct stack_table table;
	struct record r = record(11, ABI_SPACE_KERNEL, 2, (uint64_t)0xffffffff81000010,
				 (uint64_t)0xffffffff81000020);

	stack_table_init(&table, 100);
	stack_table_put(&table, &r.stack, NULL);
	ck_assert_uint_eq(frame_of(&table, 0, 0)->offset, 0xffffffff81000010);
	ck_assert_uint_eq(frame_of(&table, 0, 1)->offset, 0xffffffff8100001f);
	stack_table_deinit(&table);
}
END_TEST

START_TEST(a_sample_may_come_before_its_stack)
{
	struct stack_table table;
	struct record r = record(11, ABI_SPACE_KERNEL, 1, (uint64_t)0xffffffff81000010);
	uint32_t at;

	stack_table_init(&table, 100);
	at = stack_table_index(&table, 11);
	ck_assert_int_eq(table.stacks.items[at].state, STACK_AWAITED);
	stack_table_put(&table, &r.stack, NULL);
	ck_assert_uint_eq(stack_table_index(&table, 11), at);
	ck_assert_int_eq(table.stacks.items[at].state, STACK_READY);
	ck_assert_uint_eq(frame_of(&table, at, 0)->image, IMAGE_KERNEL);
	stack_table_deinit(&table);
}
END_TEST

START_TEST(raw_until_the_mappings_are_known)
{
	struct process_table processes;
	struct stack_table table;
	struct record r = record(11, ABI_SPACE_USER, 1, (uint64_t)0x1010);
	struct mapping m = {0x1000, 0x3000, 0, 9, false};
	struct process *p;
	uint32_t at;

	process_table_init(&processes, 10, 0);
	stack_table_init(&table, 100);
	p = process(&processes, MAPS_ASKED);
	stack_table_put(&table, &r.stack, p);
	at = stack_table_index(&table, 11);
	ck_assert_int_eq(table.stacks.items[at].state, STACK_RAW);
	ck_assert_uint_eq(table.raw, 1);
	ck_assert_int_eq(mapping_set_own(&p->maps), 0);
	mapping_set_insert(p->maps, &m);
	p->maps_state = MAPS_KNOWN;
	stack_table_mapped(&table, p);
	ck_assert_int_eq(table.stacks.items[at].state, STACK_READY);
	ck_assert_uint_eq(frame_of(&table, at, 0)->image, 9);
	ck_assert_uint_eq(table.raw, 0);
	stack_table_deinit(&table);
	process_table_deinit(&processes);
}
END_TEST

START_TEST(names_come_once)
{
	struct stack_table table;
	struct record a = record(11, ABI_SPACE_KERNEL, 1, (uint64_t)0xffffffff81000010);
	struct record b = record(12, ABI_SPACE_KERNEL, 1, (uint64_t)0xffffffff81000010);
	struct frame_name names[2];

	stack_table_init(&table, 100);
	stack_table_put(&table, &a.stack, NULL);
	stack_table_put(&table, &b.stack, NULL);
	ck_assert_uint_eq(table.new_frames.count, 1); /* one place, asked for once */
	names[0] =
		(struct frame_name){.name = stack_table_string(&table, "inner"), .inlined = true};
	names[1] = (struct frame_name){.name = stack_table_string(&table, "outer")};
	stack_table_name(&table, 0, names, 2, 0);
	ck_assert_int_eq(table.frames.items[0].state, FRAME_NAMED);
	ck_assert_uint_eq(table.frames.items[0].name_count, 2);
	ck_assert_uint_eq(table.unresolved, 0);
	stack_table_name(&table, 0, NULL, 0, 0); /* a late answer changes nothing */
	ck_assert_int_eq(table.frames.items[0].state, FRAME_NAMED);
	stack_table_deinit(&table);
}
END_TEST

/* As a sample in `image` names it; its index. */
static uint32_t put_place(struct stack_table *table, uint64_t id, uint32_t image, uint64_t offset)
{
	struct record r = record(id, ABI_SPACE_USER, 1, (uint64_t)ABI_FRAME(image, offset));

	stack_table_put(table, &r.stack, NULL);
	return stack_table_index(table, id);
}

static const char *name_of(const struct stack_table *table, uint32_t stack)
{
	const struct frame *frame = frame_of(table, stack, 0);

	if (frame->state != FRAME_NAMED)
		return NULL;
	ck_assert_uint_eq(frame->name_count, 1);
	return strtab_get(&table->strings, table->names.items[frame->first_name].name);
}

/* Other places of a function have the answer that the first one got, also when that is gone. */
START_TEST(a_function_is_asked_for_once)
{
	struct stack_table table;
	struct frame_name name;
	uint32_t at;

	stack_table_init(&table, 100);
	put_place(&table, 1, 7, 0x1010);
	put_place(&table, 2, 7, 0x2010);
	ck_assert_uint_eq(table.new_frames.count, 2);
	stack_table_string(&table, "of_no_use");
	name = (struct frame_name){.name = stack_table_string(&table, "parse")};
	stack_table_name(&table, table.new_frames.items[0], &name, 1, 0x1000);
	stack_table_learn(&table, table.new_frames.items[0], 0x1000, 0x100);
	stack_table_name(&table, table.new_frames.items[1], NULL, 0, 0x2000);
	stack_table_learn(&table, table.new_frames.items[1], 0x2000, 0x100);
	vec_clear(&table.new_frames);
	ck_assert_str_eq(name_of(&table, put_place(&table, 3, 7, 0x10ff)), "parse");
	at = put_place(&table, 4, 7, 0x2020);
	ck_assert_int_eq(frame_of(&table, at, 0)->state, FRAME_UNNAMED);
	ck_assert_uint_eq(frame_of(&table, at, 0)->start, 0x2000);
	ck_assert_uint_eq(table.unresolved, 0);
	put_place(&table, 5, 7, 0x1100);
	put_place(&table, 6, 8, 0x1010);
	ck_assert_uint_eq(table.new_frames.count, 2);
	stack_table_sift(&table, NULL, NULL);
	ck_assert_str_eq(name_of(&table, put_place(&table, 7, 7, 0x1020)), "parse");
	ck_assert_uint_eq(table.new_frames.count, 0);
	/* Its debug file has come. */
	stack_table_ask_image_again(&table, 7);
	ck_assert_uint_eq(table.new_frames.count, 1);
	put_place(&table, 8, 7, 0x1030);
	ck_assert_uint_eq(table.new_frames.count, 2);
	ck_assert_uint_eq(table.unresolved, 2);
	stack_table_deinit(&table);
}
END_TEST

/* What has inlined functions is not the same at other places. */
START_TEST(only_what_is_the_same_is_learned)
{
	struct stack_table table;
	struct frame_name names[2] = {0};

	stack_table_init(&table, 100);
	put_place(&table, 1, 7, 0x1010);
	stack_table_learn(&table, 0, 0x1000, 0x100); /* without an answer */
	stack_table_name(&table, 0, names, 2, 0x1000);
	stack_table_learn(&table, 0, 0x1000, 0x100);
	stack_table_learn(&table, 77, 0x1000, 0x100);
	vec_clear(&table.new_frames);
	put_place(&table, 2, 7, 0x1020);
	ck_assert_uint_eq(table.new_frames.count, 1);
	stack_table_deinit(&table);
}
END_TEST

START_TEST(limits_hold_and_are_counted)
{
	struct stack_table table;
	uint32_t generation;

	stack_table_init(&table, 10);
	generation = table.generation;
	for (uint64_t id = 1; id <= 40; id++)
		ck_assert_uint_ne(stack_table_index(&table, id), STACK_NONE);
	ck_assert(stack_table_full(&table));
	ck_assert_uint_eq(stack_table_index(&table, 41), STACK_NONE);
	ck_assert_uint_eq(table.refused, 1);
	stack_table_sift(&table, NULL, NULL);
	ck_assert_uint_ne(table.generation, generation);
	ck_assert_uint_eq(table.refused, 1); /* what was counted stays counted */
	ck_assert_uint_eq(stack_table_index(&table, 41), 0);
	stack_table_deinit(&table);
}
END_TEST

/* Those that somebody needs go on, names and all; the others, and what was asked of them, do
 * not. */
START_TEST(what_is_needed_is_kept)
{
	struct record one = record(11, ABI_SPACE_KERNEL, 2, (uint64_t)0xffffffff81000010,
				   (uint64_t)0xffffffff81000020);
	struct record other = record(12, ABI_SPACE_KERNEL, 2, (uint64_t)0xffffffff81000010,
				     (uint64_t)0xffffffff81000030);
	const bool keep[] = {false, true, true};
	uint32_t moved[3], generation;
	struct frame_name name = {.line = 7};
	struct stack_table table;

	stack_table_init(&table, 100);
	stack_table_put(&table, &one.stack, NULL);
	stack_table_put(&table, &other.stack, NULL);
	stack_table_index(&table, 13); /* awaited */
	generation = table.generation;
	name.name = stack_table_string(&table, "of_no_use");
	name.name = stack_table_string(&table, "schedule");
	stack_table_name(&table, table.frame_ids.items[0], &name, 1, 0);
	ck_assert_uint_eq(table.unresolved, 2);
	stack_table_sift(&table, keep, moved);
	ck_assert_uint_ne(table.generation, generation);
	ck_assert_uint_eq(moved[0], STACK_NONE);
	ck_assert_uint_eq(moved[1], 0);
	ck_assert_uint_eq(moved[2], 1);
	ck_assert_uint_eq(table.given_up, 1);
	ck_assert_uint_eq(table.stacks.count, 2);
	ck_assert_int_eq(table.stacks.items[0].state, STACK_READY);
	ck_assert_int_eq(table.stacks.items[1].state, STACK_AWAITED);
	ck_assert_uint_eq(frame_of(&table, 0, 0)->offset, 0xffffffff81000010);
	ck_assert_int_eq(frame_of(&table, 0, 0)->state, FRAME_NAMED);
	ck_assert_str_eq(strtab_get(&table.strings,
				    table.names.items[frame_of(&table, 0, 0)->first_name].name),
			 "schedule");
	ck_assert_uint_eq(table.names.items[frame_of(&table, 0, 0)->first_name].line, 7);
	/* That of the kept stack that had no name yet is asked for anew. */
	ck_assert_uint_eq(table.unresolved, 1);
	ck_assert_uint_eq(table.new_frames.count, 1);
	ck_assert_uint_eq(table.frames.items[table.new_frames.items[0]].offset, 0xffffffff8100002f);
	ck_assert_uint_eq(stack_table_index(&table, 12), 0);
	stack_table_deinit(&table);
}
END_TEST

/* Whose walk or whose mappings are still awaited goes on waiting. */
START_TEST(what_waits_is_kept)
{
	struct record raw = record(11, ABI_SPACE_USER, 1, (uint64_t)0x1010);
	struct record walked = record(12, ABI_SPACE_USER, 1, (uint64_t)ABI_FRAME(7, 0x20));
	struct mapping m = {0x1000, 0x3000, 0, 9, false};
	const bool keep[] = {true, true};
	struct process_table processes;
	struct stack_table table;
	struct process *p;
	uint32_t moved[2];

	process_table_init(&processes, 10, 0);
	stack_table_init(&table, 100);
	p = process(&processes, MAPS_ASKED);
	stack_table_put(&table, &raw.stack, p);
	ck_assert(stack_table_expect(&table, 12));
	ck_assert_uint_eq(table.raw, 2);
	stack_table_sift(&table, keep, moved);
	ck_assert_uint_eq(table.raw, 2);
	ck_assert_int_eq(table.stacks.items[moved[0]].state, STACK_RAW);
	ck_assert_int_eq(table.stacks.items[moved[1]].state, STACK_LATE);
	ck_assert_int_eq(mapping_set_own(&p->maps), 0);
	mapping_set_insert(p->maps, &m);
	p->maps_state = MAPS_KNOWN;
	stack_table_mapped(&table, p);
	stack_table_put(&table, &walked.stack, p);
	ck_assert_uint_eq(frame_of(&table, moved[0], 0)->image, 9);
	ck_assert_uint_eq(frame_of(&table, moved[1], 0)->image, 7);
	ck_assert_uint_eq(table.raw, 0);
	stack_table_deinit(&table);
	process_table_deinit(&processes);
}
END_TEST

START_TEST(what_nobody_names_gets_old)
{
	struct stack_table table;

	stack_table_init(&table, 100);
	stack_table_index(&table, 11);
	stack_table_index(&table, 12);
	ck_assert_uint_eq(stack_table_aged(&table, 1), 0);
	table.epoch++;
	stack_table_index(&table, 12);
	ck_assert_uint_eq(stack_table_aged(&table, 1), 1);
	ck_assert(stack_aged(&table, &table.stacks.items[0], 1));
	table.epoch += 2;
	ck_assert_uint_eq(stack_table_aged(&table, 3), 1);
	ck_assert_uint_eq(stack_table_aged(&table, 2), 2);
	stack_table_deinit(&table);
}
END_TEST

/* What a damaged capture could hold. */
START_TEST(count_beyond_the_record_is_cut)
{
	struct stack_table table;
	struct record r = record(11, ABI_SPACE_KERNEL, 2, (uint64_t)0xffffffff81000010,
				 (uint64_t)0xffffffff81000020);

	r.stack.count = 500;
	stack_table_init(&table, 100);
	stack_table_put(&table, &r.stack, NULL);
	ck_assert_uint_eq(table.stacks.items[0].count, 2);
	stack_table_deinit(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stack_table");

	SUITE_CASE(suite, "stacks", addresses_become_places_in_files,
		   places_from_the_kernel_side_stay, nowhere_is_nowhere, callers_by_their_calls,
		   a_sample_may_come_before_its_stack, raw_until_the_mappings_are_known,
		   count_beyond_the_record_is_cut);
	SUITE_CASE(suite, "names", names_come_once, a_function_is_asked_for_once,
		   only_what_is_the_same_is_learned);
	SUITE_CASE(suite, "limits", limits_hold_and_are_counted, what_is_needed_is_kept,
		   what_waits_is_kept, what_nobody_names_gets_old);
	return suite_main(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Raw stacks against a source whose walks lack what the test says.
 */
#include "daemon/raw_stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"

#define IMAGE 5u
#define SECOND 1000000000ULL

struct fake {
	struct source source;
	struct unwinder unwinder;
	struct raw_stacks stacks;
	struct process_table processes;
	struct process *process;
	uint32_t lacks; /* 0: nothing */
	unsigned int walks, last_walks, done;
	uint8_t reason; /* of the last one done */
	const struct mapping_set *maps; /* likewise: what it was walked with */
};

static struct fake fake;

static bool fake_walk(struct source *source, const struct abi_raw *raw,
		      const struct mapping_set *maps, bool last, struct host_stack *ret,
		      uint32_t *ret_lacks)
{
	(void)source;
	fake.walks++;
	fake.last_walks += last;
	if (fake.lacks && !last) {
		*ret_lacks = fake.lacks;
		return false;
	}
	fake.maps = maps;
	ret->stack = (struct abi_stack){.hdr = raw->hdr, .id = raw->id};
	ret->stack.hdr.reason = fake.lacks ? ABI_REASON_EVICTED : ABI_REASON_COMPLETE;
	return true;
}

static void on_done(void *context, struct process *process, const struct abi_stack *stack)
{
	(void)context;
	ck_assert_ptr_eq(process, fake.process);
	fake.done++;
	fake.reason = stack->hdr.reason;
}

static const struct source_ops ops = {.walk = fake_walk};

static void begin(void)
{
	const struct abi_fork fork = {.hdr = {.time = 1}, .pid = 10, .tid = 10};
	bool is_new;

	fake = (struct fake){.source.ops = &ops};
	process_table_init(&fake.processes, 100, SECOND);
	fake.process = process_table_fork(&fake.processes, &fork, &is_new);
	ck_assert_ptr_nonnull(fake.process);
	fake.process->maps_state = MAPS_KNOWN;
	if (!fake.process->maps)
		fake.process->maps = mapping_set_create();
	unwinder_init(&fake.unwinder, &fake.source, NULL, NULL);
}

static void end(void)
{
	raw_stacks_deinit(&fake.stacks);
	process_table_deinit(&fake.processes);
	unwinder_deinit(&fake.unwinder);
}

/* The table of IMAGE is in this state. */
static void table(enum table_state state)
{
	while (fake.unwinder.tables.count <= IMAGE)
		ck_assert_int_eq(vec_push(&fake.unwinder.tables, (struct unwinder_table){0}), 0);
	fake.unwinder.tables.items[IMAGE].state = state;
}

static int put(uint32_t bytes)
{
	struct abi_raw *raw = calloc(1, sizeof(*raw) + bytes);
	int r;

	*raw = (struct abi_raw){.hdr = {.type = ABI_RAW}, .id = 77, .pid = 10, .bytes = bytes};
	raw->hdr.size = (uint16_t)(sizeof(*raw) + bytes);
	r = raw_stacks_put(&fake.stacks, raw, fake.process, 0);
	free(raw);
	return r;
}

static void walk(uint64_t now, bool last)
{
	const struct raw_stacks_walk how = {.source = &fake.source,
					    .unwinder = &fake.unwinder,
					    .now = now,
					    .last = last,
					    .done = on_done};

	raw_stacks_walk(&fake.stacks, &how);
}

START_TEST(at_once_where_nothing_lacks)
{
	ck_assert_int_eq(put(64), 0);
	walk(1, false);
	ck_assert_uint_eq(fake.done, 1);
	ck_assert_ptr_eq(fake.maps, fake.process->maps);
	ck_assert_uint_eq(fake.stacks.results[ABI_REASON_COMPLETE], 1);
	ck_assert_uint_eq(fake.stacks.items.count, 0);
	ck_assert_uint_eq(fake.stacks.bytes, 0);
}
END_TEST

START_TEST(waits_for_its_table)
{
	table(TABLE_ASKED);
	fake.lacks = IMAGE;
	ck_assert_int_eq(put(64), 0);
	walk(1, false);
	walk(2, false);
	ck_assert_uint_eq(fake.done, 0);
	/* While its table is being made, nobody walks in vain. */
	ck_assert_uint_eq(fake.walks, 1);
	table(TABLE_LOADED);
	fake.lacks = 0;
	walk(3, false);
	ck_assert_uint_eq(fake.done, 1);
	ck_assert_uint_eq(fake.reason, ABI_REASON_COMPLETE);
}
END_TEST

START_TEST(a_table_that_never_comes)
{
	table(TABLE_ASKED);
	fake.lacks = IMAGE;
	ck_assert_int_eq(put(64), 0);
	walk(1, false);
	walk(10 * SECOND, false);
	ck_assert_uint_eq(fake.done, 1);
	ck_assert_uint_eq(fake.reason, ABI_REASON_EVICTED);
	/* One that is said to be there, and is lacking all the same: no endless loop. */
	table(TABLE_LOADED);
	ck_assert_int_eq(put(64), 0);
	walk(1, false);
	ck_assert_uint_eq(fake.done, 2);
	/* Failed: at once. */
	table(TABLE_FAILED);
	ck_assert_int_eq(put(64), 0);
	walk(1, false);
	ck_assert_uint_eq(fake.done, 3);
	ck_assert_uint_eq(fake.last_walks, 3);
}
END_TEST

START_TEST(waits_for_mappings)
{
	struct mapping_set *maps = fake.process->maps;

	fake.process->maps = NULL;
	fake.process->maps_state = MAPS_ASKED;
	ck_assert_int_eq(put(64), 0);
	walk(1, false);
	ck_assert_uint_eq(fake.walks, 0);
	fake.process->maps = maps;
	fake.process->maps_state = MAPS_KNOWN;
	walk(2, false);
	ck_assert_uint_eq(fake.done, 1);
	ck_assert_ptr_eq(fake.maps, maps);
	/* Without them in the end, if need be. */
	fake.process->maps_state = MAPS_ASKED;
	ck_assert_int_eq(put(64), 0);
	walk(3, true);
	ck_assert_uint_eq(fake.done, 2);
	ck_assert_ptr_null(fake.maps);
}
END_TEST

START_TEST(keeps_the_mappings_of_its_time)
{
	struct mapping_set *then = mapping_set_ref(fake.process->maps);

	ck_assert_int_eq(put(64), 0);
	mapping_set_unref(fake.process->maps);
	fake.process->maps = mapping_set_create(); /* exec */
	walk(1, false);
	ck_assert_ptr_eq(fake.maps, then);
	mapping_set_unref(then);
}
END_TEST

START_TEST(bounded)
{
	unsigned int kept = 0;

	table(TABLE_ASKED);
	fake.lacks = IMAGE;
	while (!put(60000))
		kept++;
	ck_assert_uint_gt(kept, 100);
	ck_assert_uint_le(fake.stacks.bytes, 32u << 20);
	ck_assert_int_eq(put(60000), -ENOSPC);
	walk(1, true);
	ck_assert_uint_eq(fake.done, kept);
	ck_assert_int_eq(put(60000), 0);
}
END_TEST

START_TEST(not_whole)
{
	struct abi_raw raw = {.hdr = {.size = sizeof(raw)}, .bytes = 8};

	ck_assert_int_eq(raw_stacks_put(&fake.stacks, &raw, fake.process, 0), -EINVAL);
	raw.hdr.size = sizeof(raw) - 8;
	raw.bytes = 0;
	ck_assert_int_eq(raw_stacks_put(&fake.stacks, &raw, fake.process, 0), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("raw_stacks");
	TCase *tcase = tcase_create("raw_stacks");

	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, at_once_where_nothing_lacks);
	tcase_add_test(tcase, waits_for_its_table);
	tcase_add_test(tcase, a_table_that_never_comes);
	tcase_add_test(tcase, waits_for_mappings);
	tcase_add_test(tcase, keeps_the_mappings_of_its_time);
	tcase_add_test(tcase, bounded);
	tcase_add_test(tcase, not_whole);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}

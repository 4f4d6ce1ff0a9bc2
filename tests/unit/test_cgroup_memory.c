/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/cgroup_memory.h"

#include <stdio.h>
#include <string.h>

#include "daemon/cgroup_table.h"
#include "tests/unit/suite.h"

struct notes {
	uint64_t count, bytes;
	char last[64];
};

static void note(void *context, const struct cgroup_memory_row *row)
{
	struct notes *notes = context;

	notes->count++;
	notes->bytes += row->bytes;
	snprintf(notes->last, sizeof(notes->last), "%s", row->kind.name);
	ck_assert_str_eq(row->kind.group, "cgroups");
}

/* Paths are there already: no cgroup file system is asked. */
static void know(struct cgroup_table *paths, uint64_t id, const char *path)
{
	ck_assert_int_eq(
		hashmap_put(&paths->by_id, id, strtab_add(&paths->paths, path, strlen(path))), 0);
}

static struct notes look(struct cgroup_memory *memory, struct cgroup_table *paths, uint64_t id,
			 uint64_t bytes, uint64_t now)
{
	struct notes notes = {0};

	cgroup_memory_begin(memory);
	cgroup_memory_add(memory, paths, id, bytes, now);
	cgroup_memory_add(memory, paths, id, bytes, now);
	cgroup_memory_add(memory, paths, 0, 1000, now);
	cgroup_memory_end(memory, now, note, &notes);
	return notes;
}

START_TEST(processes_of_a_cgroup_are_added_up)
{
	struct cgroup_memory memory = {0};
	struct cgroup_table paths;
	struct notes notes;

	cgroup_table_init(&paths);
	know(&paths, 7, "/a.slice/b.service");
	notes = look(&memory, &paths, 7, 5 << 20, NSEC_PER_SEC);
	ck_assert_uint_eq(notes.count, 1);
	ck_assert_uint_eq(notes.bytes, 10 << 20);
	ck_assert_str_eq(notes.last, "/a.slice/b.service");
	/* Not changed: once in ten seconds only. */
	notes = look(&memory, &paths, 7, (5 << 20) + 1000, 2 * NSEC_PER_SEC);
	ck_assert_uint_eq(notes.count, 0);
	notes = look(&memory, &paths, 7, 5 << 20, 12 * NSEC_PER_SEC);
	ck_assert_uint_eq(notes.count, 1);
	notes = look(&memory, &paths, 7, 6 << 20, 13 * NSEC_PER_SEC);
	ck_assert_uint_eq(notes.count, 1);
	cgroup_memory_deinit(&memory);
	cgroup_table_deinit(&paths);
}
END_TEST

START_TEST(an_empty_one_is_noted_once_more_and_forgotten)
{
	struct cgroup_memory memory = {0};
	struct cgroup_table paths;
	struct notes notes;

	cgroup_table_init(&paths);
	know(&paths, 7, "/a");
	know(&paths, 8, "/b");
	look(&memory, &paths, 7, 5 << 20, NSEC_PER_SEC);
	notes = look(&memory, &paths, 8, 5 << 20, 2 * NSEC_PER_SEC);
	ck_assert_uint_eq(notes.count, 2); /* one has come, one is empty */
	ck_assert_uint_eq(notes.bytes, 10 << 20);
	look(&memory, &paths, 8, 5 << 20, 3 * NSEC_PER_SEC);
	ck_assert_uint_eq(memory.rows.count, 2);
	look(&memory, &paths, 8, 5 << 20, 2 * NSEC_PER_SEC + CGROUP_MEMORY_KEEP_NS);
	ck_assert_uint_eq(memory.rows.count, 1);
	notes = look(&memory, &paths, 8, 9 << 20, 3 * NSEC_PER_SEC + CGROUP_MEMORY_KEEP_NS);
	ck_assert_uint_eq(notes.count, 1);
	ck_assert_str_eq(notes.last, "/b");
	cgroup_memory_deinit(&memory);
	cgroup_table_deinit(&paths);
}
END_TEST

START_TEST(more_than_there_is_room_for_are_one)
{
	struct cgroup_memory memory = {0};
	struct cgroup_table paths;
	struct notes notes = {0};

	cgroup_table_init(&paths);
	cgroup_memory_begin(&memory);
	for (uint64_t id = 1; id <= CGROUP_MEMORY_MAX + 10; id++) {
		know(&paths, id, "/x");
		cgroup_memory_add(&memory, &paths, id, 1 << 20, NSEC_PER_SEC);
	}
	cgroup_memory_end(&memory, NSEC_PER_SEC, note, &notes);
	ck_assert_uint_eq(memory.others, 10);
	ck_assert_uint_eq(notes.count, CGROUP_MEMORY_MAX + 1);
	ck_assert_uint_eq(notes.bytes, (CGROUP_MEMORY_MAX + 10ull) << 20);
	cgroup_memory_deinit(&memory);
	cgroup_table_deinit(&paths);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cgroup_memory");

	SUITE_CASE(suite, "cgroup_memory", processes_of_a_cgroup_are_added_up,
		   an_empty_one_is_noted_once_more_and_forgotten,
		   more_than_there_is_room_for_are_one);
	return suite_main(suite);
}

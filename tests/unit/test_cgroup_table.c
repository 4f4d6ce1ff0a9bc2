/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Real cgroups, made for the test (root, and a cgroup2 mount).
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/cgroup_table.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

static struct cgroup_table table;
static char made[400];

static void set_up(void)
{
	cgroup_table_init(&table);
}

static void tear_down(void)
{
	cgroup_table_deinit(&table);
	if (made[0])
		rmdir(made);
}

START_TEST(ids_are_paths)
{
	struct stat st;
	char name[64];

	ck_assert_int_eq(stat(table.root, &st), 0);
	ck_assert_str_eq(cgroup_table_path(&table, st.st_ino), "/");
	snprintf(name, sizeof(name), "/perfd-test-%d.service", getpid());
	snprintf(made, sizeof(made), "%s%s", table.root, name);
	ck_assert_int_eq(mkdir(made, 0755), 0);
	ck_assert_int_eq(stat(made, &st), 0);
	ck_assert_str_eq(cgroup_table_path(&table, st.st_ino), name);
	/* Gone, and still known by its name. */
	ck_assert_int_eq(rmdir(made), 0);
	made[0] = '\0';
	ck_assert_str_eq(cgroup_table_path(&table, st.st_ino), name);
	ck_assert_uint_eq(table.unknown, 0);
}
END_TEST

START_TEST(what_is_not_there_has_no_path)
{
	ck_assert_str_eq(cgroup_table_path(&table, 0), "");
	ck_assert_str_eq(cgroup_table_path(&table, UINT64_MAX), "");
	ck_assert_str_eq(cgroup_table_path(&table, UINT64_MAX), "");
	ck_assert_uint_eq(table.unknown, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cgroup_table");
	TCase *tc = tcase_create("cgroup_table");
	bool can;

	cgroup_table_init(&table);
	can = table.mount >= 0 && access(table.root, W_OK) == 0 && geteuid() == 0;
	cgroup_table_deinit(&table);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	workshop_add(tc, can, "needs root and a writable cgroup2 mount", ids_are_paths);
	tcase_add_test(tc, what_is_not_there_has_no_path);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/cpus.h"

#include <errno.h>
#include <unistd.h>

#include "tests/unit/suite.h"

START_TEST(lists)
{
	struct cpus cpus;

	ck_assert_int_eq(cpus_parse("0-2,64,100-101\n", &cpus), 0);
	for (uint32_t cpu = 0; cpu < 200; cpu++)
		ck_assert_int_eq(cpus_has(&cpus, cpu),
				 cpu <= 2 || cpu == 64 || cpu == 100 || cpu == 101);
	ck_assert(!cpus_has(&cpus, CPUS_MAX));
	ck_assert_int_eq(cpus_parse("", &cpus), 0);
	ck_assert(!cpus_has(&cpus, 0));
}
END_TEST

START_TEST(what_is_no_list)
{
	const char *const wrong[] = {"x", "1-", "2-1", "1;2", "-1", "99999999", "1,,2"};
	struct cpus cpus = {.bits = {5}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_int_eq(cpus_parse(wrong[i], &cpus), -EINVAL);
	ck_assert_uint_eq(cpus.bits[0], 5); /* unchanged */
}
END_TEST

START_TEST(this_machine_has_one)
{
	struct cpus cpus;

	int fd = cpus_online_open();

	ck_assert_int_eq(cpus_online(&cpus), 0);
	ck_assert_uint_ne(cpus.bits[0], 0);
	ck_assert_int_ge(fd, 0);
	for (int i = 0; i < 2; i++) { /* each time from its beginning */
		struct cpus again = {0};

		ck_assert_int_eq(cpus_online_read(fd, &again), 0);
		ck_assert_mem_eq(&again, &cpus, sizeof(cpus));
	}
	close(fd);
	ck_assert_int_eq(cpus_online_read(-ENOENT, &cpus), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpus");

	SUITE_CASE(suite, "cpus", lists, what_is_no_list, this_machine_has_one);
	return suite_main(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/strbuf.h"
#include "symbolizer/kallsyms.h"
#include "tests/unit/workshop.h"

static const char small[] = "0000000000000000 A fixed_percpu_data\n"
			    "0000000000031000 A irq_stack\n"
			    "ffffffff81000000 T _stext\n"
			    "ffffffff81000000 T startup_64\n"
			    "ffffffff81000100 t local_helper\n"
			    "ffffffff81000100 T global_twin\n"
			    "ffffffff81000200 W weak_one\n"
			    "ffffffff81000300 T __ia32_sys_read\n"
			    "ffffffff81000300 T __x64_sys_read\n"
			    "ffffffff81000400 T last_of_text\n"
			    "ffffffff81000500 T _etext\n"
			    "ffffffff81800000 D some_data\n"
			    "ffffffff82000000 T _sinittext\n"
			    "ffffffff82000000 T init_function\n"
			    "ffffffff82000100 T _einittext\n"
			    "ffffffffc0001000 t ext4_read\t[ext4]\n"
			    "ffffffffc0001080 r ext4_table\t[ext4]\n"
			    "ffffffffc0002000 t xfs_read\t[xfs]\n"
			    "ffffffffc0300000 t bpf_prog_6deef7357e7b4530_count\t[bpf]\n";

static void load(struct kallsyms *list, const char *text)
{
	int fd = workshop_text(text, strlen(text));
	struct error error = {0};

	ck_assert_msg(!kallsyms_init(list, fd, &error), "%s", error.text);
	close(fd);
}

static void expect(const struct kallsyms *list, uint64_t address, const char *name,
		   const char *module)
{
	const char *got_module = "?";
	const char *got = kallsyms_find(list, address, &got_module);

	if (!name) {
		ck_assert_msg(!got, "%llx has the name %s", (unsigned long long)address, got);
		return;
	}
	ck_assert_msg(got != NULL, "%llx has no name", (unsigned long long)address);
	ck_assert_str_eq(got, name);
	ck_assert_str_eq(got_module, module);
}

START_TEST(names_the_function_around)
{
	struct kallsyms list;

	load(&list, small);
	ck_assert(!list.restricted);
	expect(&list, 0xffffffff81000000, "startup_64", "");
	expect(&list, 0xffffffff810000ff, "startup_64", "");
	expect(&list, 0xffffffff81000100, "global_twin", "");
	expect(&list, 0xffffffff81000204, "weak_one", "");
	expect(&list, 0xffffffff81000301, "__x64_sys_read", "");
	expect(&list, 0xffffffff810004ff, "last_of_text", "");
	expect(&list, 0xffffffff82000050, "init_function", "");
	kallsyms_deinit(&list);
}
END_TEST

START_TEST(modules_and_bpf_programs)
{
	struct kallsyms list;

	load(&list, small);
	expect(&list, 0xffffffffc0001010, "ext4_read", "ext4");
	expect(&list, 0xffffffffc0002fff, "xfs_read", "xfs");
	expect(&list, 0xffffffffc0300123, "bpf_prog_6deef7357e7b4530_count", "bpf");
	kallsyms_deinit(&list);
}
END_TEST

START_TEST(no_name_outside_of_code)
{
	struct kallsyms list;

	load(&list, small);
	expect(&list, 0, NULL, NULL);
	expect(&list, 0x31000, NULL, NULL);
	expect(&list, 0xffffffff80ffffff, NULL, NULL);
	expect(&list, 0xffffffff81000500, NULL, NULL); /* _etext */
	expect(&list, 0xffffffff81800000, NULL, NULL); /* data */
	expect(&list, 0xffffffff82000100, NULL, NULL); /* _einittext */
	expect(&list, 0xffffffffc0001080, NULL, NULL); /* a module's data */
	/* Beyond the reach of the last one. */
	expect(&list, 0xffffffffc0300000 + KALLSYMS_REACH_MAX, NULL, NULL);
	expect(&list, UINT64_MAX, NULL, NULL);
	kallsyms_deinit(&list);
}
END_TEST

START_TEST(order_does_not_matter)
{
	struct kallsyms list;

	load(&list, "ffffffffc0002000 t b\t[m]\nffffffffc0001000 t a\t[m]\n"
		    "ffffffffc0003000 t c\t[m]");
	expect(&list, 0xffffffffc0001fff, "a", "m");
	expect(&list, 0xffffffffc0002000, "b", "m");
	expect(&list, 0xffffffffc0003001, "c", "m");
	kallsyms_deinit(&list);
}
END_TEST

START_TEST(zeros_mean_restricted)
{
	struct kallsyms list;

	load(&list, "0000000000000000 T _stext\n0000000000000000 t helper\n");
	ck_assert(list.restricted);
	ck_assert_uint_eq(list.count, 0);
	expect(&list, 0xffffffff81000000, NULL, NULL);
	kallsyms_deinit(&list);
}
END_TEST

START_TEST(damage_is_named_by_line)
{
	static const char *const damaged[] = {
		"ffffffff81000000 T a\nnot a line\n",
		"ffffffff81000000 T a\nffffffff81000000\n",
		"ffffffff81000000 T a\nffffffff81000000 7 a\n",
		"ffffffff81000000 T a\nffffffff81000000ffff T a\n",
		"ffffffff81000000 T a\nffffffff81000000 T \n",
		"ffffffff81000000 T a\n\n",
	};

	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		int fd = workshop_text(damaged[i], strlen(damaged[i]));
		struct error error = {0};
		struct kallsyms list;

		ck_assert_int_eq(kallsyms_init(&list, fd, &error), -EBADMSG);
		ck_assert_msg(strstr(error.text, "line 2 "), "%s", error.text);
		close(fd);
	}
}
END_TEST

START_TEST(empty_is_an_error)
{
	struct error error = {0};
	struct kallsyms list;
	int fd = workshop_text("", 0);

	ck_assert_int_eq(kallsyms_init(&list, fd, &error), -EBADMSG);
	close(fd);
}
END_TEST

/* 150,000 symbols: every one found, in less memory than 8 MB. */
START_TEST(many_symbols_stay_small)
{
	struct strbuf text = {0};
	struct kallsyms list;
	char name[64];

	for (unsigned i = 0; i < 150000; i++)
		strbuf_printf(&text, "%016llx t some_kernel_function_%u\n",
			      0xffffffff81000000ULL + i * 16ULL, i);
	ck_assert_int_eq(strbuf_error(&text), 0);
	load(&list, strbuf_text(&text));
	for (unsigned i = 0; i < 150000; i += 7) {
		snprintf(name, sizeof(name), "some_kernel_function_%u", i);
		expect(&list, 0xffffffff81000000ULL + i * 16ULL + i % 16, name, "");
	}
	ck_assert_uint_lt(kallsyms_memory(&list), 8 << 20);
	kallsyms_deinit(&list);
	strbuf_deinit(&text);
}
END_TEST

/* Whatever this machine shows: restricted, or with names for its own text. */
START_TEST(this_kernels_list)
{
	int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	struct error error = {0};
	struct kallsyms list;
	const char *module;

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(!kallsyms_init(&list, fd, &error), "%s", error.text);
	close(fd);
	if (!list.restricted) {
		ck_assert_uint_gt(list.count, 1000);
		ck_assert_uint_ne(list.text_start, 0);
		ck_assert_ptr_nonnull(kallsyms_find(&list, list.text_start + 4096, &module));
		ck_assert_uint_lt(kallsyms_memory(&list), 16 << 20);
	}
	kallsyms_deinit(&list);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kallsyms");
	TCase *tcase = tcase_create("kallsyms");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, names_the_function_around);
	tcase_add_test(tcase, modules_and_bpf_programs);
	tcase_add_test(tcase, no_name_outside_of_code);
	tcase_add_test(tcase, order_does_not_matter);
	tcase_add_test(tcase, zeros_mean_restricted);
	tcase_add_test(tcase, damage_is_named_by_line);
	tcase_add_test(tcase, empty_is_an_error);
	tcase_add_test(tcase, many_symbols_stay_small);
	workshop_add(tcase, access("/proc/kallsyms", R_OK) == 0, "/proc/kallsyms cannot be read",
		     this_kernels_list);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

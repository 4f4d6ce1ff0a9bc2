/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Unwind tables by way of the worker: what arrives is what the file says, large
 * ones whole; and what becomes of files and workers that fail at it.
 */
#include <check.h>
#include <signal.h>

#include "symbolizer/cfi.h"
#include "symbolizer/unwind_table.h"
#include "symbolizer/vdso.h"
#include "tests/unit/suite.h"
#include "tests/unit/symbolizer_fixture.h"

#define LLVM "/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1"

static struct workshop shop;

struct tables {
	struct answers answers;
	struct strbuf bytes; /* of the last one */
};

static void on_table(void *context, int error, const char *text, const void *table, size_t size)
{
	struct tables *tables = context;

	take(&tables->answers, error, text);
	strbuf_clear(&tables->bytes);
	strbuf_append(&tables->bytes, table, size);
}

static int ask(struct symbolizer *symbolizer, uint32_t image, struct tables *tables)
{
	ck_assert_int_eq(symbolizer_unwind(symbolizer, image, 0, on_table, tables), 0);
	wait_for(symbolizer, &tables->answers, tables->answers.total + 1);
	return tables->answers.error;
}

static void tables_deinit(struct tables *tables)
{
	strbuf_deinit(&tables->bytes);
}

/* The same as when it is made here. */
static void check_table(int fd, const struct tables *tables)
{
	struct unwind_table table = {0};
	struct strbuf bytes = {0};
	struct elf_image image;
	struct error error = {0};

	ck_assert_int_eq(elf_image_init(&image, fd, &error), 0);
	ck_assert_msg(!cfi_build(&image, &error, NULL, &table), "%s", error.text);
	ck_assert_int_eq(unwind_table_encode(&table, &bytes), 0);
	ck_assert_uint_eq(bytes.length, tables->bytes.length);
	ck_assert(!memcmp(bytes.data, tables->bytes.data, bytes.length));
	strbuf_deinit(&bytes);
	unwind_table_deinit(&table);
	elf_image_deinit(&image);
}

static void through_the_worker(int fd, size_t size_min)
{
	struct symbolizer *symbolizer = create(&plain);
	struct tables tables = {0};

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(add(symbolizer, 1, dup(fd), NULL), 0);
	ck_assert_msg(!ask(symbolizer, 1, &tables), "%s", tables.answers.text);
	ck_assert_uint_ge(tables.bytes.length, size_min);
	check_table(fd, &tables);
	close(fd);
	tables_deinit(&tables);
	symbolizer_destroy(symbolizer);
}

START_TEST(libc)
{
	through_the_worker(open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC), 100000);
}
END_TEST

START_TEST(a_table_of_megabytes)
{
	through_the_worker(open(LLVM, O_RDONLY | O_CLOEXEC), 4000000);
}
END_TEST

START_TEST(vdso)
{
	through_the_worker(vdso_image_open(), 100);
}
END_TEST

START_TEST(stripped_without_frame_pointers)
{
	char path[256];

	workshop_build(&shop, "stripped", ".c",
		       "int f(int n) { return n < 2 ? n : f(n - 1) + f(n - 2); }\n"
		       "int main(int c, char **v) { (void)v; return f(c); }\n",
		       "-O2 -fomit-frame-pointer -s", path);
	through_the_worker(open(path, O_RDONLY | O_CLOEXEC), 100);
}
END_TEST

START_TEST(files_that_have_none)
{
	struct symbolizer *symbolizer = create(&plain);
	struct tables tables = {0};
	char path[256];

	ck_assert_int_eq(symbolizer_unwind(symbolizer, 1, 0, on_table, &tables), -ENOENT);
	workshop_build(&shop, "bare", ".s",
		       "pop %rax\n ret\n.section .note.GNU-stack,\"\",@progbits\n",
		       "-shared -nostdlib", path);
	ck_assert_int_eq(add(symbolizer, 1, open(path, O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(ask(symbolizer, 1, &tables), -ENODATA);
	ck_assert_ptr_nonnull(strstr(tables.answers.text, "no call frame information"));
	ck_assert_uint_eq(tables.bytes.length, 0);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 0);
	/* Dropped before its turn comes. */
	ck_assert_int_eq(symbolizer_unwind(symbolizer, 1, 0, on_table, &tables), 0);
	symbolizer_drop_image(symbolizer, 1);
	wait_for(symbolizer, &tables.answers, 2);
	ck_assert_int_eq(tables.answers.error, -ENOENT);
	tables_deinit(&tables);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* A worker that hangs over a table: the file keeps its names, and is not asked
 * for its table again. */
START_TEST(a_worker_that_hangs)
{
	struct symbolizer_config hasty = plain;
	struct symbolizer *symbolizer;
	struct tables tables = {0};
	struct answers answers;

	hasty.deadline_ns = 500 * NSEC_PER_MSEC;
	symbolizer = create(&hasty);
	ck_assert_int_eq(add(symbolizer, 1, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, HANG_SIGNAL), 0);
	ck_assert_int_eq(ask(symbolizer, 1, &tables), -EFAULT);
	ck_assert_ptr_nonnull(strstr(tables.answers.text, "deadline"));
	ck_assert_uint_eq(stats_of(symbolizer).quarantined, 1);
	ck_assert_int_eq(ask(symbolizer, 1, &tables), -EFAULT);
	name_of(symbolizer, 1, 0, &answers);
	ck_assert_int_eq(answers.error, 0);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 1);
	tables_deinit(&tables);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* Killed by somebody else in the midst of it: asked again, and answered. */
START_TEST(a_worker_that_is_killed)
{
	struct symbolizer *symbolizer = create(&plain);
	struct tables tables = {0};

	ck_assert_int_eq(add(symbolizer, 1, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, SIGKILL), 0);
	ck_assert_int_eq(ask(symbolizer, 1, &tables), 0);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 1);
	tables_deinit(&tables);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* Who was answered when: each request has a letter. */
struct turn {
	struct strbuf *order;
	char letter;
};

static void table_came(void *context, int error, const char *text, const void *table, size_t size)
{
	const struct turn *turn = context;

	(void)text;
	(void)table;
	ck_assert_int_eq(error, 0);
	ck_assert_uint_gt(size, 0);
	strbuf_putc(turn->order, turn->letter);
}

static void names_came(void *context, int error, const char *text,
		       const struct symbolizer_name *names, size_t count)
{
	const struct turn *turn = context;

	(void)text;
	(void)names;
	(void)count;
	ck_assert_int_eq(error, 0);
	strbuf_putc(turn->order, turn->letter);
}

static void ask_table(struct symbolizer *symbolizer, uint32_t image, uint32_t urgency,
		      struct turn *turn)
{
	ck_assert_int_eq(symbolizer_unwind(symbolizer, image, urgency, table_came, turn), 0);
}

static void ask_name(struct symbolizer *symbolizer, struct turn *turn)
{
	uint64_t offset = 0;

	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, names_came, turn), 0);
}

static void wait_turns(struct symbolizer *symbolizer, const struct strbuf *order, size_t count)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	while (order->length < count) {
		struct pollfd ready = {.fd = symbolizer_fd(symbolizer), .events = POLLIN};

		ck_assert_msg(clock_boot_ns() < until, "only %s came", strbuf_text(order));
		poll(&ready, 1, 250);
		symbolizer_dispatch(symbolizer);
	}
	ck_assert_uint_eq(symbolizer_pending(symbolizer), 0);
}

static struct symbolizer *with_images(uint32_t count)
{
	struct symbolizer *symbolizer = create(&plain);

	for (uint32_t id = 1; id <= count; id++)
		ck_assert_int_eq(add(symbolizer, id, vdso_image_open(), NULL), 0);
	return symbolizer;
}

/* Names before tables, urgent tables before others, equals as they came. */
START_TEST(the_order_of_requests)
{
	struct symbolizer *symbolizer = with_images(6);
	struct strbuf order = {0};
	struct turn turns[] = {{&order, 'a'}, {&order, 'b'}, {&order, 'c'}, {&order, 'd'},
			       {&order, 'e'}, {&order, 'f'}, {&order, 'n'}};

	ask_table(symbolizer, 1, 1, &turns[0]);
	ask_table(symbolizer, 2, 5, &turns[1]);
	ask_table(symbolizer, 3, UINT32_MAX, &turns[2]);
	ask_name(symbolizer, &turns[6]);
	ask_table(symbolizer, 4, 5, &turns[3]);
	ask_table(symbolizer, 5, 0, &turns[4]);
	ask_table(symbolizer, 6, 0, &turns[5]);
	ask_name(symbolizer, &turns[6]);
	ck_assert_uint_eq(symbolizer_pending(symbolizer), 8);
	symbolizer_hurry(symbolizer, 6, 7);
	symbolizer_hurry(symbolizer, 3, 0); /* never less than before */
	wait_turns(symbolizer, &order, 8);
	ck_assert_str_eq(strbuf_text(&order), "nncfbdae");
	strbuf_deinit(&order);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* A stream of names does not keep a table waiting for ever. */
START_TEST(a_table_among_many_names)
{
	struct symbolizer *symbolizer = with_images(1);
	struct strbuf order = {0};
	struct turn name = {&order, 'n'}, table = {&order, 't'};
	const char *at;

	ask_table(symbolizer, 1, 0, &table);
	ask_table(symbolizer, 1, 0, &table);
	for (int i = 0; i < 3 * SYMBOLIZER_OVERTAKEN_MAX; i++)
		ask_name(symbolizer, &name);
	wait_turns(symbolizer, &order, 3 * SYMBOLIZER_OVERTAKEN_MAX + 2);
	at = strchr(strbuf_text(&order), 't');
	ck_assert_int_eq(at - order.data, SYMBOLIZER_OVERTAKEN_MAX);
	at = strchr(at + 1, 't');
	ck_assert_int_eq(at - order.data, 2 * SYMBOLIZER_OVERTAKEN_MAX + 1);
	strbuf_deinit(&order);
	symbolizer_destroy(symbolizer);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("symbolizer_unwind");
	TCase *tcase = tcase_create("worker");
	bool compiler = workshop_has_compiler();
	int r;

	symbolizer_be_worker(argc, argv);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	workshop_add(tcase, !access("/lib/x86_64-linux-gnu/libc.so.6", R_OK), "needs Debian's libc",
		     libc);
	workshop_add(tcase, !access(LLVM, R_OK), "needs " LLVM, a_table_of_megabytes);
	tcase_add_test(tcase, vdso);
	workshop_add(tcase, compiler, "needs gcc", stripped_without_frame_pointers);
	workshop_add(tcase, compiler, "needs gcc", files_that_have_none);
	tcase_add_test(tcase, a_worker_that_hangs);
	tcase_add_test(tcase, a_worker_that_is_killed);
	tcase_add_test(tcase, the_order_of_requests);
	tcase_add_test(tcase, a_table_among_many_names);
	suite_add_tcase(suite, tcase);
	r = suite_main(suite);
	workshop_close(&shop);
	return r;
}

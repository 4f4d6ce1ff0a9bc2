/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This process is the Java machine: its memory has one in miniature (jvm_image.h),
 * which a real worker reads by /proc/PID/mem.
 */
#include "daemon/jvm.h"

#include <sys/mman.h>
#include <unistd.h>

#include "bpf/jvm.h"
#include "tests/unit/jvm_image.h"
#include "tests/unit/suite.h"
#include "tests/unit/symbolizer_fixture.h"

struct fake {
	struct source source;
	struct process process;
	struct jvm_layout layout; /* as the kernel side has it */
	uint32_t told, forgotten;
	uint32_t pid; /* of the last of either */
	int refuse; /* -errno of the kernel side */
};

static struct jvm_image image;
static uint8_t *shown; /* where it is mapped */
static struct fake fake;
static struct jvm_table table;
static struct symbolizer *worker;
static struct openers *openers;
static const char *const opener_argv[] = {"test", "--opener", NULL};
static const struct openers_config opening = {
	.deadline_ns = PATIENCE_NS, .program = "/proc/self/exe", .argv = opener_argv};

/* What was put into the image lies in this process's memory from here on. */
static void show(void)
{
	memcpy(shown, &image.bytes[JVM_BASE], JVM_END - JVM_BASE);
}

static int set_jvm(struct source *source, uint32_t pid, const struct jvm_layout *layout)
{
	(void)source;
	fake.pid = pid;
	if (!layout) {
		fake.forgotten++;
		return 0;
	}
	fake.told++;
	fake.layout = *layout;
	return fake.refuse;
}

static const struct source_ops ops = {.set_jvm = set_jvm};
static const struct source_ops recorded = {.name = "nothing lives here"};

static void begin(void)
{
	struct error error;

	jvm_image_init(&image);
	show();
	fake = (struct fake){.source = {.ops = &ops},
			     .process = {.references = 1,
					 .pid = (uint32_t)getpid(),
					 .exec_id = 42,
					 .exec_id_known = true}};
	worker = create(&plain);
	ck_assert_int_eq(openers_create(&opening, &error, &openers), 0);
	jvm_table_init(&table, &fake.source, worker, openers);
}

static void end(void)
{
	jvm_table_deinit(&table);
	symbolizer_destroy(worker);
	openers_destroy(openers);
	ck_assert_uint_eq(fake.process.references, 1);
}

static void maps(const char *path)
{
	const struct image library = {.path = (char *)path};

	jvm_table_mapped(&table, &fake.process, &library, JVM_CODE, JVM_CODE - JVM_BASE);
}

/* Until the table has what it wants, or gives up. */
static void answered(void)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS, ahead = 0;

	while (!fake.told && !table.failed && clock_boot_ns() < until) {
		openers_dispatch(openers);
		symbolizer_dispatch(worker);
		/* Its clock runs faster than ours: it waits longer and longer. */
		jvm_table_flush(&table, clock_boot_ns() + (ahead += NSEC_PER_SEC));
		usleep(1000);
	}
}

START_TEST(a_machine_is_told)
{
	maps("/opt/jdk/lib/server/libjvm.so");
	maps("/opt/jdk/lib/server/libjvm.so"); /* its second mapping */
	answered();
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.pid, (uint32_t)getpid());
	ck_assert_uint_eq(fake.layout.exec_id, 42);
	ck_assert_uint_eq(fake.layout.low, JVM_LOW);
	ck_assert_uint_eq(table.known, 1);
	jvm_table_flush(&table, clock_boot_ns());
	ck_assert_uint_eq(fake.forgotten, 0);
	fake.process.end = 1;
	jvm_table_flush(&table, clock_boot_ns());
	ck_assert_uint_eq(fake.forgotten, 1);
	ck_assert_uint_eq(table.known, 0);
	ck_assert_uint_eq(table.items.count, 0);
}
END_TEST

START_TEST(others_are_not_asked)
{
	maps("/usr/lib/libjvm.so.old");
	maps("/usr/lib/notlibjvm.so");
	maps("libjvm.so"); /* no file has such a path */
	ck_assert_uint_eq(table.items.count, 0);
	fake.source.ops = &recorded;
	maps("/opt/jdk/lib/server/libjvm.so");
	ck_assert_uint_eq(table.items.count, 0);
}
END_TEST

START_TEST(one_that_starts_is_asked_again)
{
	jvm_put(&image, JVM_STATICS, 0, 8); /* no heaps yet */
	show();
	maps("/opt/jdk/lib/server/libjvm.so");
	for (int i = 0; i < 50 && (openers_pending(openers) || symbolizer_pending(worker)); i++) {
		openers_dispatch(openers);
		symbolizer_dispatch(worker);
		usleep(10000);
	}
	ck_assert_uint_eq(fake.told, 0);
	ck_assert_uint_eq(table.failed, 0);
	jvm_put(&image, JVM_STATICS, JVM_ARRAY, 8);
	show();
	answered();
	ck_assert_uint_eq(fake.told, 1);
}
END_TEST

START_TEST(one_that_says_nothing_is_given_up)
{
	image.bytes[JVM_TEXTS] = 'x'; /* no CodeCache::_heaps */
	show();
	maps("/opt/jdk/lib/server/libjvm.so");
	answered();
	ck_assert_uint_eq(fake.told, 0);
	ck_assert_uint_eq(table.failed, 1);
	jvm_table_flush(&table, UINT64_MAX);
	ck_assert_uint_eq(symbolizer_pending(worker), 0);
}
END_TEST

START_TEST(no_room_in_the_kernel)
{
	fake.refuse = -E2BIG;
	maps("/opt/jdk/lib/server/libjvm.so");
	answered();
	ck_assert_uint_eq(table.known, 0);
	ck_assert_uint_eq(table.failed, 1);
}
END_TEST

/* Its next program's machine is another one. */
START_TEST(an_exec_between)
{
	maps("/opt/jdk/lib/server/libjvm.so");
	answered();
	fake.process.execs++;
	fake.process.exec_id++;
	fake.told = 0;
	maps("/opt/jdk/lib/server/libjvm.so");
	answered();
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.layout.exec_id, 43);
	jvm_table_flush(&table, clock_boot_ns());
	ck_assert_uint_eq(table.items.count, 1);
	ck_assert_uint_eq(table.known, 1);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("jvm");
	TCase *tcase = tcase_create("table");

	symbolizer_be_worker(argc, argv);
	shown = mmap((void *)(uintptr_t)JVM_BASE, JVM_END - JVM_BASE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (shown == MAP_FAILED) {
		puts("# SKIP the suite: vm.mmap_min_addr is above 65536");
		return 77;
	}
	tcase_add_checked_fixture(tcase, begin, end);
	tcase_add_test(tcase, a_machine_is_told);
	tcase_add_test(tcase, others_are_not_asked);
	tcase_add_test(tcase, one_that_starts_is_asked_again);
	tcase_add_test(tcase, one_that_says_nothing_is_given_up);
	tcase_add_test(tcase, no_room_in_the_kernel);
	tcase_add_test(tcase, an_exec_between);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whose mappings are read when, by real openers and a real worker.
 */
#include <check.h>
#include <unistd.h>

#include "daemon/resolver.h"
#include "tests/unit/suite.h"
#include "tests/unit/symbolizer_fixture.h"

#define PROCESSES 60

static struct config config;
static struct resolver resolver;
static struct image_table images;
static struct stack_table stacks;
static struct process_table processes;
static struct process crowd[PROCESSES]; /* all of them this one, to the kernel */
static unsigned mapped;

static void on_mapped(void *context, struct process *process)
{
	(void)context;
	ck_assert_int_eq(process->maps_state, MAPS_KNOWN);
	mapped++;
}

static void setup(void)
{
	struct error error = {0};

	config_init(&config);
	image_table_init(&images, 256, 64);
	stack_table_init(&stacks, 1024);
	process_table_init(&processes, 64, 0);
	resolver = (struct resolver){.stacks = &stacks,
				     .images = &images,
				     .processes = &processes,
				     .on_mapped = on_mapped};
	ck_assert_msg(!resolver_init(&resolver, &config, "/proc/self/exe", &error), "%s",
		      error.text);
	mapped = 0;
	for (int i = 0; i < PROCESSES; i++)
		crowd[i] = (struct process){.references = 1, .pid = (uint32_t)getpid()};
}

static void teardown(void)
{
	resolver_deinit(&resolver);
	for (int i = 0; i < PROCESSES; i++) {
		ck_assert_uint_eq(crowd[i].references, 1);
		mapping_set_unref(crowd[i].maps);
	}
	process_table_deinit(&processes);
	stack_table_deinit(&stacks);
	image_table_deinit(&images);
}

static void turn(void)
{
	struct pollfd ready[] = {
		{.fd = symbolizer_fd(resolver.symbolizer), .events = POLLIN},
		{.fd = openers_fd(resolver.openers), .events = POLLIN},
	};

	poll(ready, 2, 100);
	openers_dispatch(resolver.openers);
	symbolizer_dispatch(resolver.symbolizer);
}

static void want(int from, int until)
{
	for (int i = from; i < until; i++)
		resolver_want_maps(&resolver, &crowd[i], false);
}

/* Of those that wait; nobody is asked for while one that came before is not. Gives how many were.
 */
static int check_order(int count)
{
	int asked = 0;

	while (asked < count && crowd[asked].maps_state != MAPS_UNKNOWN)
		asked++;
	for (int i = asked; i < count; i++)
		ck_assert_msg(crowd[i].maps_state == MAPS_UNKNOWN, "%d before %d", i, asked);
	return asked;
}

/* Processes that begin all the time do not keep the older ones from being looked at. */
START_TEST(who_waits_longest_is_first)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;
	int wanted = 20;

	want(0, wanted);
	ck_assert_int_eq(check_order(wanted), 0);
	resolver_flush(&resolver);
	ck_assert_int_gt(check_order(wanted), 0);
	ck_assert_int_lt(check_order(wanted), wanted);
	while (mapped < PROCESSES) {
		ck_assert(clock_boot_ns() < until);
		if (wanted < PROCESSES && check_order(wanted) > wanted - 10) {
			want(wanted, wanted + 20);
			wanted += 20;
		}
		turn();
		resolver_flush(&resolver);
		check_order(wanted);
	}
	for (int i = 0; i < PROCESSES; i++)
		ck_assert_ptr_nonnull(crowd[i].maps);
}
END_TEST

/* One that somebody attached to does not stand in the line, nor is it asked for twice. */
START_TEST(who_is_wanted_now_is_asked_for_at_once)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	want(0, 20);
	resolver_want_maps(&resolver, &crowd[19], true);
	ck_assert_int_eq(crowd[19].maps_state, MAPS_ASKED);
	while (mapped < 20) {
		ck_assert(clock_boot_ns() < until);
		resolver_flush(&resolver);
		turn();
	}
	resolver_flush(&resolver);
	ck_assert_uint_eq(resolver.maps_under_way, 0);
	ck_assert_uint_eq(mapped, 20);
}
END_TEST

/* Its end comes while some wait: whoever holds them lets go of them (teardown() looks). */
START_TEST(an_end_while_some_wait)
{
	want(0, PROCESSES);
	resolver_flush(&resolver);
	turn();
	ck_assert_int_lt(check_order(PROCESSES), PROCESSES);
}
END_TEST

/* Of a file that is ready, as the kernel is, names are asked for when somebody waits for them. */
START_TEST(names_wait_for_who_wants_them)
{
	struct {
		struct abi_stack stack;
		uint64_t frame;
	} record = {.stack = {.hdr = {.type = ABI_STACK, .size = sizeof(record)},
			      .id = 7,
			      .space = ABI_SPACE_KERNEL,
			      .count = 1},
		    .frame = 0xffffffff81000010};
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	stack_table_put(&stacks, &record.stack, NULL);
	resolver.at_leisure = true;
	resolver_flush(&resolver);
	ck_assert_uint_eq(stacks.new_frames.count, 1);
	ck_assert_uint_eq(symbolizer_pending(resolver.symbolizer), 0);
	resolver_flush_late(&resolver);
	ck_assert_uint_eq(stacks.new_frames.count, 0);
	ck_assert_uint_eq(symbolizer_pending(resolver.symbolizer), 1);
	while (stacks.unresolved) {
		ck_assert(clock_boot_ns() < until);
		turn();
	}
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("resolver");
	TCase *tcase = tcase_create("mappings");

	symbolizer_be_worker(argc, argv);
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, who_waits_longest_is_first);
	tcase_add_test(tcase, who_is_wanted_now_is_asked_for_at_once);
	tcase_add_test(tcase, an_end_while_some_wait);
	tcase_add_test(tcase, names_wait_for_who_wants_them);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker's life: killed, hung, taken over, not to be had; what it may do and
 * what it leaves behind.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "daemon/base/log.h"
#include "symbolizer/channel.h"
#include "symbolizer/client.h"
#include "symbolizer/process.h"
#include "symbolizer/vdso.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

static const char *const liar_argv[] = {"test", "--liar", NULL};

/* Somebody kills the worker in the midst of work: its replacement answers. */
START_TEST(a_worker_that_is_killed)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0};
	uint64_t offsets[64];
	int pid;

	for (size_t i = 0; i < 64; i++)
		offsets[i] = i * 4096;
	ck_assert_int_eq(add(symbolizer, 1, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(symbolizer_names(symbolizer, 1, offsets, 64, on_names, &answers),
				 0);
	wait_for(symbolizer, &answers, 1);
	for (unsigned kills = 0; kills < 3; kills++) {
		pid = stats_of(symbolizer).pid;
		ck_assert_int_gt(pid, 0);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(symbolizer_names(symbolizer, 1, offsets, 64, on_names, &answers),
				 0);
		wait_for(symbolizer, &answers, 301 + kills);
		ck_assert_int_ne(stats_of(symbolizer).pid, pid);
	}
	ck_assert_uint_eq(answers.bad, 0);
	ck_assert_uint_eq(answers.good, 303);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 3);
	ck_assert_uint_eq(stats_of(symbolizer).quarantined, 0);
	symbolizer_destroy(symbolizer);
	/* No zombie is left. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* A worker that hangs over a file: the file is to blame, the others are not. */
START_TEST(a_worker_that_hangs)
{
	struct symbolizer_config hasty = plain;
	struct symbolizer *symbolizer;
	struct answers bad = {0}, good = {0};
	uint64_t offset = 0;

	hasty.deadline_ns = 200 * NSEC_PER_MSEC;
	symbolizer = create(&hasty);
	ck_assert_int_eq(add(symbolizer, 1, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(add(symbolizer, 2, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, HANG_SIGNAL), 0);
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &bad), 0);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(symbolizer_names(symbolizer, 2, &offset, 1, on_names, &good), 0);
	ck_assert_uint_eq(symbolizer_pending(symbolizer), 21);
	wait_for(symbolizer, &good, 20);
	ck_assert_uint_eq(good.bad, 0);
	ck_assert_uint_eq(bad.total, 1);
	ck_assert_int_eq(bad.error, -EFAULT);
	ck_assert_msg(strstr(bad.text, "deadline"), "%s", bad.text);
	ck_assert_uint_eq(stats_of(symbolizer).quarantined, 1);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 1);
	/* And it stays so. */
	name_of(symbolizer, 1, 0, &bad);
	ck_assert_int_eq(bad.error, -EFAULT);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 1);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* Stopped by somebody, which no file can do: all is asked again of the next one. */
START_TEST(a_worker_that_is_stopped)
{
	struct symbolizer_config hasty = plain;
	struct symbolizer *symbolizer;
	struct answers answers = {0};
	uint64_t offset = 0;

	hasty.deadline_ns = 200 * NSEC_PER_MSEC;
	symbolizer = create(&hasty);
	ck_assert_int_eq(add(symbolizer, 1, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, SIGSTOP), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &answers),
				 0);
	wait_for(symbolizer, &answers, 3);
	ck_assert_uint_eq(answers.good, 3);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 1);
	ck_assert_uint_eq(stats_of(symbolizer).quarantined, 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

static void on_probes(void *context, int error, const char *text, const struct probe_points *points)
{
	(void)points;
	take(context, error, text);
}

/* One that takes long: the others are answered by a second worker meanwhile, and the
 * file stays with the first, which has it. */
START_TEST(a_file_that_is_slow)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers slow = {0}, quick = {0};
	uint64_t offset = 0, asked;
	int first, second;

	for (uint32_t id = 1; id <= 2; id++)
		ck_assert_int_eq(
			add(symbolizer, id, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	first = stats_of(symbolizer).pid;
	ck_assert_int_eq(kill(first, SIGSTOP), 0);
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &slow), 0);
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &slow), 0);
	asked = clock_boot_ns();
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(symbolizer_names(symbolizer, 2, &offset, 1, on_names, &quick), 0);
	wait_for(symbolizer, &quick, 20);
	ck_assert_uint_ge(clock_boot_ns() - asked, SYMBOLIZER_LATE_NS);
	ck_assert_uint_eq(quick.bad, 0);
	ck_assert_uint_eq(slow.total, 0);
	ck_assert_int_eq(stats_of(symbolizer).slow_pid, first);
	ck_assert_uint_eq(stats_of(symbolizer).slow_images, 1);
	ck_assert_uint_eq(stats_of(symbolizer).images, 2);
	second = stats_of(symbolizer).pid;
	ck_assert_int_ne(second, first);
	/* What comes now for the slow one delays nobody at all. */
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &slow), 0);
	name_of(symbolizer, 2, 0, &quick);
	ck_assert_int_eq(symbolizer_probes(symbolizer, 1, on_probes, &slow), 0);
	ck_assert_uint_eq(slow.total, 0);
	ck_assert_int_eq(kill(first, SIGCONT), 0);
	wait_for(symbolizer, &slow, 4);
	ck_assert_uint_eq(slow.good, 4);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 0);
	ck_assert_uint_eq(stats_of(symbolizer).quarantined, 0);

	/* A second slow one goes there too, and its worker's end harms nobody. */
	ck_assert_int_eq(add(symbolizer, 3, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	slow = quick = (struct answers){0};
	ck_assert_int_eq(kill(second, SIGSTOP), 0);
	ck_assert_int_eq(symbolizer_names(symbolizer, 3, &offset, 1, on_names, &slow), 0);
	ck_assert_int_eq(symbolizer_names(symbolizer, 2, &offset, 1, on_names, &quick), 0);
	wait_for(symbolizer, &quick, 1);
	wait_for(symbolizer, &slow, 1);
	ck_assert_uint_eq(quick.good + slow.good, 2);
	ck_assert_uint_eq(stats_of(symbolizer).slow_images, 2);
	ck_assert_int_eq(kill(stats_of(symbolizer).slow_pid, SIGKILL), 0);
	name_of(symbolizer, 1, 0, &slow);
	ck_assert_uint_eq(slow.good, 1);
	ck_assert_int_eq(symbolizer_add_image(symbolizer, 3, open("/bin/sh", O_RDONLY | O_CLOEXEC),
					      NULL, NULL),
			 -EEXIST);
	symbolizer_drop_image(symbolizer, 3);
	ck_assert_uint_eq(stats_of(symbolizer).slow_images, 1);
	symbolizer_destroy(symbolizer);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* Slow beyond the deadline: quarantined with a reason that people are shown. */
START_TEST(what_was_quarantined_is_told)
{
	struct symbolizer_config hasty = plain;
	struct answers bad = {0}, good = {0};
	const struct quarantined *entry;
	struct symbolizer *symbolizer;
	struct quarantine *quarantine;
	uint64_t offset = 0;

	hasty.deadline_ns = NSEC_PER_SEC;
	symbolizer = create(&hasty);
	quarantine = symbolizer_quarantine(symbolizer);
	ck_assert_uint_eq(quarantine_count(quarantine), 0);
	for (uint32_t id = 1; id <= 2; id++)
		ck_assert_int_eq(
			add(symbolizer, id, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, HANG_SIGNAL), 0);
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &bad), 0);
	ck_assert_int_eq(symbolizer_names(symbolizer, 2, &offset, 1, on_names, &good), 0);
	wait_for(symbolizer, &good, 1);
	ck_assert_uint_eq(good.good, 1);
	ck_assert_uint_eq(bad.total, 0);
	wait_for(symbolizer, &bad, 1);
	ck_assert_int_eq(bad.error, -EFAULT);
	ck_assert_uint_eq(quarantine_count(quarantine), 1);
	entry = quarantine_get(quarantine, 0);
	ck_assert_uint_eq(entry->image, 1);
	ck_assert_ptr_nonnull(strstr(entry->why, "deadline"));
	ck_assert_uint_gt(entry->when_ns, 0);
	/* A bound, and the newest first. */
	for (uint32_t i = 0; i < QUARANTINE_MAX + 10; i++)
		quarantine_add(quarantine, 100 + i, "test", "why");
	ck_assert_uint_eq(quarantine_count(quarantine), QUARANTINE_MAX);
	ck_assert_uint_eq(quarantine_get(quarantine, 0)->image, 100 + QUARANTINE_MAX + 9);
	ck_assert_uint_eq(quarantine_get(quarantine, QUARANTINE_MAX - 1)->image, 110);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* Programs that are no worker: an error, not a wait for ever. */
START_TEST(no_worker_to_be_had)
{
	static const char *const programs[] = {"/nonexistent/program", "/bin/true"};
	struct symbolizer_config config = plain;
	struct symbolizer *symbolizer;
	struct answers answers = {0};
	uint64_t address = 0;

	config.program = programs[_i];
	symbolizer = create(&config);
	ck_assert_int_eq(symbolizer_kernel_names(symbolizer, &address, 1, on_names, &answers), 0);
	wait_for(symbolizer, &answers, 1);
	ck_assert_int_eq(answers.error, -EPIPE);
	ck_assert_msg(strstr(answers.text, _i ? "exit code" : "cannot be executed"), "%s",
		      answers.text);
	symbolizer_destroy(symbolizer);
}
END_TEST

static unsigned open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

START_TEST(nothing_is_left_open)
{
	unsigned before = open_descriptors();
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0};
	uint64_t offset = 0;

	for (uint32_t id = 1; id < 20; id++)
		add(symbolizer, id,
		    id % 2 ? vdso_image_open() : open("/proc/self/status", O_RDONLY), NULL);
	/* Some are under way at the end. */
	for (unsigned i = 0; i < 10; i++)
		symbolizer_names(symbolizer, 1, &offset, 1, on_names, &answers);
	symbolizer_maps(symbolizer, open("/proc/self/maps", O_RDONLY), NULL, NULL);
	symbolizer_destroy(symbolizer);
	ck_assert_uint_eq(open_descriptors(), before);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

static void status_line(int pid, const char *key, char *value, size_t size)
{
	char path[64], line[256];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = fopen(path, "r");
	ck_assert_ptr_nonnull(status);
	value[0] = '\0';
	while (fgets(line, sizeof(line), status)) {
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			snprintf(value, size, "%s", line + strlen(key) + 2);
	}
	fclose(status);
	value[strcspn(value, "\n")] = '\0';
}

START_TEST(the_worker_has_no_rights)
{
	struct symbolizer *symbolizer = create(&plain);
	char value[128];
	int pid;

	ck_assert_int_eq(add(symbolizer, 1, vdso_image_open(), NULL), 0);
	pid = stats_of(symbolizer).pid;
	status_line(pid, "Uid", value, sizeof(value));
	ck_assert_str_eq(value, "65534\t65534\t65534\t65534");
	status_line(pid, "Groups", value, sizeof(value));
	ck_assert_uint_eq(strspn(value, " "), strlen(value));
	status_line(pid, "CapEff", value, sizeof(value));
	ck_assert_str_eq(value, "0000000000000000");
	status_line(pid, "CapBnd", value, sizeof(value));
	ck_assert_str_eq(value, "0000000000000000");
	status_line(pid, "NoNewPrivs", value, sizeof(value));
	ck_assert_str_eq(value, "1");
	status_line(pid, "Seccomp", value, sizeof(value));
	ck_assert_str_eq(value, "2");
	symbolizer_destroy(symbolizer);
}
END_TEST

/* The daemon dies without a word: the worker must not stay. */
START_TEST(the_worker_goes_with_its_parent)
{
	int report[2], worker = 0;
	pid_t parent;

	/* So that this process inherits the orphan and can wait for it. */
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	ck_assert_int_eq(pipe2(report, O_CLOEXEC), 0);
	parent = fork();
	if (!parent) {
		struct symbolizer *symbolizer = create(&plain);

		add(symbolizer, 1, vdso_image_open(), NULL);
		worker = stats_of(symbolizer).pid;
		if (write(report[1], &worker, sizeof(worker)) != sizeof(worker))
			_exit(1);
		raise(SIGKILL);
	}
	ck_assert_int_eq(read(report[0], &worker, sizeof(worker)), sizeof(worker));
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
	ck_assert_int_gt(worker, 0);
	/* The time limit of the test is the bound. */
	ck_assert_int_eq(waitpid(worker, NULL, 0), worker);
	close(report[0]);
	close(report[1]);
}
END_TEST

/* What a deadline goes by on a busy machine: whether a worker computes, and how much it could. */
START_TEST(a_worker_that_computes)
{
	int go[2];
	uint64_t before, after, until = clock_boot_ns() + PATIENCE_NS;
	pid_t waits;
	char byte;

	ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
	waits = fork();
	if (!waits) {
		_exit(read(go[0], &byte, 1) != 1);
	}
	while (worker_process_starves(waits, UINT64_MAX))
		ck_assert(clock_boot_ns() < until);
	ck_assert(worker_process_starves(getpid(), UINT64_MAX));
	ck_assert(!worker_process_starves(getpid(), 1));
	ck_assert(worker_process_cpu(getpid(), &before));
	do {
		ck_assert(clock_boot_ns() < until);
		ck_assert(worker_process_cpu(getpid(), &after));
	} while (after < before + NSEC_PER_MSEC);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	ck_assert_int_eq(waitpid(waits, NULL, 0), waits);
	ck_assert(!worker_process_starves(waits, UINT64_MAX));
	ck_assert(!worker_process_cpu(waits, &after));
	close(go[0]);
	close(go[1]);
}
END_TEST

/* A worker that was taken over and says what it likes. What it is asked tells
 * it which lie to tell: the id of the image is the number of the lie. */
static int liar_main(void)
{
	/* An image without damage and build id; one that is in further files. */
	static const uint8_t blank[39] = {0}, apart[39] = {[37] = 1};
	static const uint8_t garbage[64] = {0xff, 0xff, 0xff, 0xff, 1, 2, 3};
	struct channel_in in;

	channel_in_init(&in);
	while (channel_receive(SYMBOLIZER_WORKER_FD, &in, false) == 1) {
		struct channel_out out = {.header = {.id = in.header.id, .kind = in.header.kind},
					  .fd = -1};
		uint8_t hello[8] = {WIRE_VERSION, 0, 0, 0, 0x3f};
		uint32_t image = 0;

		if (in.payload.length >= 4)
			memcpy(&image, in.payload.data, 4);
		out.payload = garbage;
		out.size = sizeof(garbage);
		if (in.header.kind == WIRE_HELLO) {
			out.payload = hello;
			out.size = sizeof(hello);
		} else if (in.header.kind == WIRE_IMAGE_OPEN && image >= 10) {
			out.payload = image >= 20 ? apart : blank;
			out.size = sizeof(blank);
		} else if (image % 10 == 1) {
			out.header.id++;
		} else if (image % 10 == 2) {
			out.header.kind = 200;
		} else if (image % 10 == 3) {
			out.size = 3;
		} else if (image % 10 == 4) {
			out.header.error = -5;
			out.payload = "a\nforged\001line";
			out.size = 13;
		} else if (image % 10 == 5) {
			out.fd = 0;
		} else if (image % 10 == 6) {
			_exit(3);
		}
		channel_send(SYMBOLIZER_WORKER_FD, &out);
		channel_in_clear(&in);
	}
	return 0;
}

START_TEST(a_worker_that_lies)
{
	struct symbolizer_config config = plain;
	struct symbolizer *symbolizer;
	struct answers answers;
	char self[256] = "";

	ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
	config.argv = liar_argv;
	symbolizer = create(&config);
	for (uint32_t lie = 1; lie <= 27; lie++) {
		int r;

		if (lie % 10 == 0 || lie % 10 > 7)
			continue;
		r = add(symbolizer, lie, vdso_image_open(), &answers);
		if (lie > 10) {
			ck_assert_int_eq(r, 0);
			name_of(symbolizer, lie, 0, &answers);
			r = answers.error;
		}
		if (lie % 10 == 4) {
			ck_assert_int_eq(r, -5);
			ck_assert_str_eq(answers.text, "a?forged?line");
		} else {
			ck_assert_msg(r == -EFAULT, "lie %u: %d %s", lie, r, answers.text);
		}
	}
	symbolizer_destroy(symbolizer);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("symbolizer_worker");
	TCase *tcase = tcase_create("symbolizer_worker");
	SRunner *runner;
	int failed;

	symbolizer_be_worker(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "--liar"))
		return liar_main();
	log_init("test_symbolizer_worker", LOG_LEVEL_ERROR);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_worker_that_is_killed);
	tcase_add_test(tcase, a_worker_that_hangs);
	tcase_add_test(tcase, a_worker_that_is_stopped);
	tcase_add_test(tcase, a_worker_that_is_stopped);
	tcase_add_test(tcase, a_file_that_is_slow);
	tcase_add_test(tcase, what_was_quarantined_is_told);
	tcase_add_loop_test(tcase, no_worker_to_be_had, 0, 2);
	tcase_add_test(tcase, nothing_is_left_open);
	workshop_add(tcase, !geteuid(), "not root", the_worker_has_no_rights);
	tcase_add_test(tcase, the_worker_goes_with_its_parent);
	tcase_add_test(tcase, a_worker_that_lies);
	tcase_add_test(tcase, a_worker_that_computes);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Real opener processes: what they open and refuse, that one which hangs or dies
 * delays nobody else, and that what they say is not believed. The suite's own
 * program is the opener; "--false-opener" is one that misbehaves, by the path that
 * it is asked for.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "symbolizer/openers.h"
#include "symbolizer/parcel.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

#define PATIENCE_NS (20 * NSEC_PER_SEC)

static const char *const real_argv[] = {"test", "--opener", NULL};
static const char *const false_argv[] = {"test", "--false-opener", NULL};
static struct workshop shop;
static struct openers *openers;

/* ---- an opener that misbehaves ---- */

static void say(int fd, const void *bytes, size_t size, int descriptor)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (descriptor >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
	}
	sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void reply_to(uint32_t id, int error, int descriptor, bool about)
{
	struct opener_reply reply = {
		.id = id, .error = error, .about = about, .device = makedev(0, 77), .file.fd = -1};
	struct strbuf bytes = {0};

	opener_reply_encode(&reply, &bytes);
	say(OPENERS_FD, bytes.data, bytes.length, descriptor);
	strbuf_deinit(&bytes);
}

static void misbehave(const struct opener_request_in *in)
{
	bool alone = false;

	for (size_t i = 0; i < in->care.avoid_count; i++)
		alone |= in->avoid[i] == makedev(0, 77);
	if (!strcmp(in->path, "/hangs")) {
		reply_to(in->id, 0, -1, true);
		pause();
	} else if (!strcmp(in->path, "/slow")) {
		usleep(400000);
		reply_to(in->id, -ENOENT, -1, false);
	} else if (!strcmp(in->path, "/dies")) {
		_exit(9);
	} else if (!strcmp(in->path, "/garbage")) {
		say(OPENERS_FD, "garbage", 7, -1);
	} else if (!strcmp(in->path, "/other")) {
		reply_to(in->id + 77, -ENOENT, -1, false);
	} else if (!strcmp(in->path, "/no-file")) {
		reply_to(in->id, 0, -1, false);
	} else if (!strcmp(in->path, "/no-parcel")) {
		reply_to(in->id, 0, STDERR_FILENO, false);
	} else if (!strcmp(in->path, "/file-and-error")) {
		reply_to(in->id, -ENOENT, STDERR_FILENO, false);
	} else {
		reply_to(in->id, alone ? -EHOSTDOWN : -ENOENT, -1, false);
	}
}

static int false_opener_main(void)
{
	static struct opener_request_in in;
	char bytes[OPENER_REQUEST_MAX];
	ssize_t n;

	while ((n = recv(OPENERS_FD, bytes, sizeof(bytes), 0)) > 0) {
		if (opener_request_decode(bytes, (size_t)n, &in) < 0)
			return 1;
		misbehave(&in);
	}
	return 0;
}

/* ---- asking ---- */

struct answer {
	unsigned count;
	int error, parcel;
	char text[512];
	struct opener_file file;
	uint64_t when;
};

static void on_file(void *context, int error, const char *text, struct opener_file *file)
{
	struct answer *answer = context;

	answer->count++;
	answer->error = error;
	answer->when = clock_boot_ns();
	snprintf(answer->text, sizeof(answer->text), "%s", text);
	answer->parcel = -1;
	if (file) {
		answer->file = *file;
		answer->parcel = TAKE_FD(file->fd);
	}
}

static void begin(const char *const *argv, uint64_t deadline_ns)
{
	const struct openers_config config = {
		.deadline_ns = deadline_ns, .program = "/proc/self/exe", .argv = argv};
	struct error error;

	ck_assert_int_eq(openers_create(&config, &error, &openers), 0);
}

static void finish(void)
{
	openers_destroy(openers);
	openers = NULL;
}

static void wait_for(const struct answer *answer, unsigned count)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	while (answer->count < count) {
		struct pollfd ready = {.fd = openers_fd(openers), .events = POLLIN};

		ck_assert_uint_lt(clock_boot_ns(), until);
		poll(&ready, 1, 1000);
		openers_dispatch(openers);
	}
}

static struct answer ask(const struct opener_request *request)
{
	struct answer answer = {.parcel = -1};

	ck_assert_int_eq(openers_open(openers, request, on_file, &answer), 0);
	wait_for(&answer, 1);
	return answer;
}

static struct answer ask_path(const char *path)
{
	struct opener_request request = {.kind = OPENER_PATH, .path = path};

	return ask(&request);
}

/* What lies in the parcel is to be read. */
static void reads(int parcel, const char *content)
{
	char got[64] = "";
	int fd;

	ck_assert(parcel_is(parcel));
	ck_assert_int_lt(read(parcel, got, 0), 1);
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(parcel_open(parcel, &fd), 0);
		ck_assert_int_eq(pread(fd, got, sizeof(got), 0), strlen(content));
		ck_assert_int_eq(memcmp(got, content, strlen(content)), 0);
		close(fd);
	}
	close(parcel);
}

START_TEST(a_file_by_its_path_and_by_its_mapping)
{
	struct opener_request request = {.kind = OPENER_MAPPED, .pid = getpid()};
	struct answer answer;
	char path[256];
	struct stat st;
	void *map;
	int fd;

	workshop_path(&shop, "file", path);
	workshop_write(path, "content", 7);
	begin(real_argv, NSEC_PER_SEC);
	answer = ask_path(path);
	ck_assert_msg(!answer.error, "%s", answer.text);
	reads(answer.parcel, "content");

	fd = open(path, O_RDONLY | O_CLOEXEC);
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	close(fd);
	request.start = (uint64_t)(uintptr_t)map;
	request.end = request.start + 4096;
	request.path = path;
	request.id = (struct opener_identity){major(st.st_dev), minor(st.st_dev), st.st_ino};
	answer = ask(&request);
	ck_assert_msg(!answer.error, "%s", answer.text);
	ck_assert_uint_eq(answer.file.inode, st.st_ino);
	ck_assert_uint_eq(answer.file.dev_minor, minor(st.st_dev));
	ck_assert_int_eq(answer.file.roots, st.st_uid == 0 && !(st.st_mode & 022));
	reads(answer.parcel, "content");

	request.id.inode++;
	answer = ask(&request);
	ck_assert_int_eq(answer.error, -ESTALE);
	munmap(map, 4096);
	unlink(path);
	finish();
}
END_TEST

START_TEST(what_is_no_file_does_not_block)
{
	struct opener_request request = {.kind = OPENER_MAPPED, .pid = getpid()};
	char fifo[256];

	workshop_path(&shop, "fifo", fifo);
	ck_assert_int_eq(mkfifo(fifo, 0666), 0);
	begin(real_argv, 20 * NSEC_PER_SEC);
	ck_assert_int_eq(ask_path(fifo).error, -ENOEXEC);
	ck_assert_int_eq(ask_path("/dev/zero").error, -ENOEXEC);
	ck_assert_int_eq(ask_path("/dev/tty").error, -ENOEXEC);
	ck_assert_int_eq(ask_path("/tmp").error, -ENOEXEC);
	ck_assert_int_eq(ask_path("/no/such/file").error, -ENOENT);
	request.path = fifo;
	ck_assert_int_eq(ask(&request).error, -ENOEXEC);
	unlink(fifo);
	finish();
}
END_TEST

START_TEST(files_of_a_process)
{
	struct opener_request maps = {.kind = OPENER_MAPS, .pid = getpid()};
	struct opener_request memory = {.kind = OPENER_MEMORY, .pid = getpid()};
	struct opener_request map = {.kind = OPENER_PERF_MAP, .pid = getpid()};
	struct opener_request debug = {
		.kind = OPENER_DEBUG, .pid = getpid(), .build_id = {1, 2}, .build_id_size = 2};
	static const char here[] = "here";
	struct answer answer;
	char text[8] = "", path[64];
	int fd;

	begin(real_argv, NSEC_PER_SEC);
	answer = ask(&maps);
	ck_assert_msg(!answer.error, "%s", answer.text);
	ck_assert_int_eq(parcel_open(answer.parcel, &fd), 0);
	ck_assert_int_gt(read(fd, text, sizeof(text)), 0);
	close(fd);
	close(answer.parcel);
	answer = ask(&memory);
	ck_assert_msg(!answer.error, "%s", answer.text);
	ck_assert_int_eq(parcel_open(answer.parcel, &fd), 0);
	ck_assert_int_eq(pread(fd, text, 5, (off_t)(uintptr_t)here), 5);
	ck_assert_str_eq(text, here);
	close(fd);
	close(answer.parcel);
	ck_assert_int_eq(ask(&debug).error, -ENOENT);
	ck_assert_int_eq(ask(&map).error, -ENOENT);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	workshop_write(path, "1000 10 name\n", 13);
	answer = ask(&map);
	unlink(path);
	ck_assert_msg(!answer.error, "%s", answer.text);
	reads(answer.parcel, "1000 10 name\n");
	maps.pid = 0x3fffffff;
	ck_assert_int_eq(ask(&maps).error, -ENOENT);
	finish();
}
END_TEST

static atomic_bool racing;

/* A file, a pipe, and a link to another file take turns under one name. */
static void *race(void *context)
{
	const char *path = context;
	char file[256], fifo[256], link[256];

	workshop_path(&shop, "a-file", file);
	workshop_path(&shop, "a-fifo", fifo);
	workshop_path(&shop, "a-link", link);
	while (racing) {
		workshop_write(file, "right", 5);
		rename(file, path);
		mkfifo(fifo, 0666);
		rename(fifo, path);
		(void)!symlink("/etc/passwd", link);
		rename(link, path);
	}
	return NULL;
}

START_TEST(a_race_gives_a_file_or_an_error)
{
	struct opener_request request = {.kind = OPENER_PATH};
	pthread_t thread;
	char path[256];

	workshop_path(&shop, "raced", path);
	workshop_write(path, "right", 5);
	request.path = path;
	begin(real_argv, 20 * NSEC_PER_SEC);
	racing = true;
	ck_assert_int_eq(pthread_create(&thread, NULL, race, path), 0);
	for (int i = 0; i < 500; i++) {
		struct answer answer = ask(&request);
		struct stat st;
		int fd;

		if (answer.error)
			continue;
		ck_assert_int_eq(parcel_open(answer.parcel, &fd), 0);
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert(S_ISREG(st.st_mode));
		close(fd);
		close(answer.parcel);
	}
	racing = false;
	pthread_join(thread, NULL);
	unlink(path);
	finish();
}
END_TEST

START_TEST(killed_at_any_time)
{
	struct answer answers[200] = {0}, last;
	struct opener_request request = {.kind = OPENER_PATH, .path = "/bin/sh"};
	struct openers_stats stats;

	begin(real_argv, 20 * NSEC_PER_SEC);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(openers_open(openers, &request, on_file, &answers[i]), 0);
		openers_get_stats(openers, &stats);
		if (i % 20 == 0 && stats.pid)
			kill(stats.pid, SIGKILL);
		openers_dispatch(openers);
	}
	for (int i = 0; i < 200; i++) {
		wait_for(&answers[i], 1);
		ck_assert_msg(!answers[i].error, "%d: %s", i, answers[i].text);
		close(answers[i].parcel);
	}
	openers_get_stats(openers, &stats);
	ck_assert_uint_gt(stats.restarts, 0);
	ck_assert_uint_eq(openers_pending(openers), 0);
	last = ask_path("/bin/sh");
	ck_assert_int_eq(last.error, 0);
	close(last.parcel);
	finish();
}
END_TEST

START_TEST(one_that_hangs_delays_nobody)
{
	struct opener_request hanging = {.kind = OPENER_PATH, .path = "/hangs"};
	struct opener_request other = {.kind = OPENER_PATH, .path = "/other-file"};
	struct answer hung = {0}, behind[40] = {0}, later;
	uint64_t asked = clock_boot_ns();
	struct openers_stats stats;

	begin(false_argv, 2 * NSEC_PER_SEC);
	ck_assert_int_eq(openers_open(openers, &hanging, on_file, &hung), 0);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(openers_open(openers, &other, on_file, &behind[i]), 0);
	for (int i = 0; i < 40; i++) {
		wait_for(&behind[i], 1);
		ck_assert_int_eq(behind[i].error, -ENOENT);
	}
	ck_assert_uint_eq(hung.count, 0);
	ck_assert_uint_lt(clock_boot_ns() - asked, 2 * NSEC_PER_SEC);
	wait_for(&hung, 1);
	ck_assert_int_eq(hung.error, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(hung.text, "/hangs"));
	ck_assert_uint_ge(hung.when - asked, 2 * NSEC_PER_SEC);
	later = ask(&other); /* and its file system is left alone from now on */
	ck_assert_int_eq(later.error, -EHOSTDOWN);
	openers_get_stats(openers, &stats);
	ck_assert_uint_eq(stats.timeouts, 1);
	ck_assert_uint_eq(stats.left_alone, 1);
	finish();
}
END_TEST

START_TEST(one_that_is_slow_goes_on)
{
	struct opener_request slow = {.kind = OPENER_PATH, .path = "/slow"};
	struct opener_request other = {.kind = OPENER_PATH, .path = "/any"};
	struct answer first = {0}, behind[3] = {0};
	struct openers_stats stats;

	begin(false_argv, 20 * NSEC_PER_SEC);
	ck_assert_int_eq(openers_open(openers, &slow, on_file, &first), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(openers_open(openers, &other, on_file, &behind[i]), 0);
	wait_for(&first, 1);
	for (int i = 0; i < 3; i++) {
		wait_for(&behind[i], 1);
		ck_assert_uint_eq(behind[i].count, 1);
	}
	ck_assert_int_eq(ask(&other).error, -ENOENT);
	openers_get_stats(openers, &stats);
	ck_assert_uint_eq(stats.restarts, 0);
	finish();
}
END_TEST

START_TEST(what_it_says_is_not_believed)
{
	static const char *const lies[] = {"/dies",    "/garbage",   "/other",
					   "/no-file", "/no-parcel", "/file-and-error"};
	struct answer answer;

	begin(false_argv, 20 * NSEC_PER_SEC);
	answer = ask_path(lies[_i]);
	ck_assert_int_lt(answer.error, 0);
	ck_assert_int_eq(answer.parcel, -1);
	ck_assert_int_eq(ask_path("/harmless").error, -ENOENT);
	finish();
}
END_TEST

START_TEST(none_can_be_started)
{
	struct openers_config config = {
		.deadline_ns = NSEC_PER_SEC, .program = "/no/such/program", .argv = real_argv};
	struct error error;
	struct answer answer;

	ck_assert_int_eq(openers_create(&config, &error, &openers), 0);
	answer = ask_path("/bin/sh");
	ck_assert(answer.error == -EPIPE || answer.error == -EFAULT);
	finish();
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("openers");
	TCase *tcase = tcase_create("openers");
	int failed;

	if (argc > 1 && !strcmp(argv[1], "--opener"))
		return openers_opener_main(OPENERS_FD);
	if (argc > 1 && !strcmp(argv[1], "--false-opener"))
		return false_opener_main();
	log_init("test_openers", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_file_by_its_path_and_by_its_mapping);
	tcase_add_test(tcase, what_is_no_file_does_not_block);
	tcase_add_test(tcase, files_of_a_process);
	tcase_add_test(tcase, a_race_gives_a_file_or_an_error);
	tcase_add_test(tcase, killed_at_any_time);
	tcase_add_test(tcase, one_that_hangs_delays_nobody);
	tcase_add_test(tcase, one_that_is_slow_goes_on);
	tcase_add_loop_test(tcase, what_it_says_is_not_believed, 0, 6);
	tcase_add_test(tcase, none_can_be_started);
	suite_add_tcase(suite, tcase);
	failed = suite_main(suite);
	workshop_close(&shop);
	return failed;
}

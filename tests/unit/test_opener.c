/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "symbolizer/opener.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

/* A child that has the file mapped, and waits for its end. */
struct holder {
	pid_t pid;
	int pipe_end;
	uint64_t start, end;
};

/* In the child, before it maps: where it lives. */
typedef void prepare(void);

static void holder_start(struct holder *holder, const char *path, prepare *before)
{
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	holder->pid = fork();
	if (!holder->pid) {
		uint64_t at = 0;
		void *map;
		char byte;
		int fd;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(in[1]);
		if (before)
			before();
		fd = open(path, O_RDONLY | O_CLOEXEC);
		map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
		at = map == MAP_FAILED ? 0 : (uint64_t)(uintptr_t)map;
		if (write(out[1], &at, sizeof(at)) != sizeof(at))
			_exit(1);
		_exit(read(in[0], &byte, 1) != 0);
	}
	close(in[0]);
	close(out[1]);
	holder->pipe_end = in[1];
	ck_assert_int_eq(read(out[0], &holder->start, 8), 8);
	ck_assert_uint_ne(holder->start, 0);
	holder->end = holder->start + 4096;
	close(out[0]);
}

static void holder_end(struct holder *holder)
{
	close(holder->pipe_end);
	ck_assert_int_eq(waitpid(holder->pid, NULL, 0), holder->pid);
}

static struct opener_identity identity_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (struct opener_identity){
		.dev_major = major(st.st_dev), .dev_minor = minor(st.st_dev), .inode = st.st_ino};
}

/* Opens, and compares what is in the file. */
static void expect(const struct holder *holder, bool mapping, const char *path,
		   const struct opener_identity *id, const char *content)
{
	struct error error = {0};
	char got[64] = "";
	int fd = -1;

	ck_assert_msg(!opener_open(holder ? holder->pid : 0, mapping ? holder->start : 0,
				   mapping ? holder->end : 0, path, id, &error, &fd),
		      "%s", error.text);
	ck_assert_int_gt(read(fd, got, sizeof(got) - 1), 0);
	ck_assert_str_eq(got, content);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
}

static void refuse(pid_t pid, const char *path, const struct opener_identity *id, int code,
		   const char *word)
{
	struct error error = {0};
	int fd = -7;

	ck_assert_int_eq(opener_open(pid, 0, 0, path, id, &error, &fd), code);
	ck_assert_int_eq(fd, -7);
	ck_assert_msg(strstr(error.text, word), "%s", error.text);
}

static void new_file(const char *name, const char *content, char path[256])
{
	workshop_path(&shop, name, path);
	workshop_write(path, content, strlen(content));
}

START_TEST(a_living_process)
{
	struct opener_identity id;
	struct holder holder;
	char path[256];

	new_file("living", "living", path);
	id = identity_of(path);
	holder_start(&holder, path, NULL);
	expect(&holder, false, path, &id, "living");
	expect(&holder, false, path, NULL, "living");
	holder_end(&holder);
	/* Gone: the path is still good. */
	expect(&holder, false, path, &id, "living");
	expect(NULL, false, path, &id, "living");
}
END_TEST

START_TEST(a_deleted_file)
{
	struct opener_identity id;
	struct holder holder;
	char path[256], listed[300];

	new_file("gone", "deleted", path);
	id = identity_of(path);
	holder_start(&holder, path, NULL);
	ck_assert_int_eq(unlink(path), 0);
	snprintf(listed, sizeof(listed), "%s (deleted)", path);
	expect(&holder, true, listed, &id, "deleted");
	expect(&holder, true, path, NULL, "deleted");
	refuse(holder.pid, listed, &id, -ENOENT, "No such file");
	/* Another one in its place is not taken for it. */
	new_file("other", "another", listed);
	ck_assert_int_eq(rename(listed, path), 0);
	expect(&holder, true, path, &id, "deleted");
	id.inode += 1000000;
	refuse(holder.pid, path, &id, -ESTALE, "another file");
	holder_end(&holder);
}
END_TEST

static char inner_path[256];

static void own_namespace(void)
{
	FILE *file;

	/* A folder that only this process sees so. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", shop.folder, "tmpfs", 0, "mode=755") < 0)
		_exit(3);
	file = fopen(inner_path, "w");
	if (!file || fputs("inside", file) < 0 || fclose(file) || symlink("/etc/passwd", "link"))
		_exit(4);
}

START_TEST(another_mount_namespace)
{
	struct holder holder;

	new_file("inner", "outside", inner_path);
	ck_assert_int_eq(chdir(shop.folder), 0);
	holder_start(&holder, inner_path, own_namespace);
	expect(&holder, false, inner_path, NULL, "inside");
	expect(&holder, true, inner_path, NULL, "inside");
	expect(NULL, false, inner_path, NULL, "outside");
	holder_end(&holder);
}
END_TEST

static void own_root(void)
{
	/* From now on "/jailed" is shop.folder/jailed, and "/escape" a link out. */
	if (chroot(shop.folder) < 0 || chdir("/") < 0)
		_exit(3);
}

START_TEST(links_stay_below_the_root)
{
	struct holder holder;
	char path[256], link[256];

	new_file("jailed", "jailed", path);
	workshop_path(&shop, "escape", link);
	ck_assert_int_eq(symlink("/jailed", link), 0);
	holder_start(&holder, "/escape", own_root);
	expect(&holder, false, "/escape", NULL, "jailed");
	expect(&holder, false, "/../../jailed", NULL, "jailed");
	holder_end(&holder);
}
END_TEST

/* Time limit of the test: 30 s; an open that blocks would take for ever. */
START_TEST(what_is_no_regular_file)
{
	char path[256];

	workshop_path(&shop, "fifo", path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	refuse(getpid(), path, NULL, -ENOEXEC, "regular");
	refuse(getpid(), "/dev/null", NULL, -ENOEXEC, "regular");
	refuse(getpid(), "/", NULL, -ENOEXEC, "regular");
	refuse(0, path, NULL, -ENOEXEC, "regular");
	new_file("empty", "", path);
	refuse(getpid(), path, NULL, -ENOEXEC, "empty");
}
END_TEST

START_TEST(names_of_no_file)
{
	static const char *const names[] = {"",
					    "[heap]",
					    "[vdso]",
					    "//anon",
					    "anon_inode:[io]",
					    "relative/path",
					    "/memfd:x",
					    "/SYSV00000000 (deleted)"};
	char longer[8192];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		refuse(getpid(), names[i], NULL, -ENOENT, "no file");
	memset(longer, '/', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	refuse(getpid(), longer, NULL, -ENAMETOOLONG, "too long");
}
END_TEST

START_TEST(a_process_that_never_was)
{
	char path[256];

	new_file("lonely", "lonely", path);
	refuse(0x7ffffff0, "/nonexistent/file", NULL, -ENOENT, "process is gone");
	expect(&(struct holder){.pid = 0x7ffffff0}, false, path, NULL, "lonely");
}
END_TEST

/* overlayfs and btrfs: the device of a mapping is not that of stat(2). */
START_TEST(the_device_may_differ)
{
	struct opener_identity id;
	char path[256];

	new_file("layered", "layered", path);
	id = identity_of(path);
	id.dev_minor ^= 0x55;
	expect(NULL, false, path, &id, "layered");
	id.inode += 1;
	refuse(0, path, &id, -ESTALE, "another file");
}
END_TEST

START_TEST(the_program_itself)
{
	char self[256] = "", target[64], listed[300];
	struct opener_identity id = identity_of("/proc/self/exe");
	struct error error = {0};
	struct stat st;
	int fd = -1;

	ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
	/* Its path leads nowhere, but the inode is that of the program. */
	snprintf(listed, sizeof(listed), "/nonexistent%s (deleted)", self);
	ck_assert_msg(!opener_open(getpid(), 0, 0, listed, &id, &error, &fd), "%s", error.text);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_ino, id.inode);
	close(fd);
	snprintf(target, sizeof(target), "/nonexistent/program");
	refuse(getpid(), target, NULL, -ENOENT, "below its root");
}
END_TEST

static bool has_map_files(void)
{
	DIR *folder = opendir("/proc/self/map_files");
	struct dirent *entry;
	bool can = false;

	while (folder && (entry = readdir(folder))) {
		int fd = openat(dirfd(folder), entry->d_name, O_PATH | O_CLOEXEC);

		if (entry->d_name[0] != '.' && fd >= 0)
			can = true;
		if (fd >= 0)
			close(fd);
	}
	if (folder)
		closedir(folder);
	return can;
}

int main(void)
{
	Suite *suite = suite_create("opener");
	TCase *tcase = tcase_create("opener");
	bool map_files = has_map_files(), root = !geteuid();
	SRunner *runner;
	int failed;

	workshop_open(&shop);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, a_living_process);
	workshop_add(tcase, map_files, "/proc/PID/map_files is not permitted", a_deleted_file);
	workshop_add(tcase, root && map_files, "not root", another_mount_namespace);
	workshop_add(tcase, root, "not root", links_stay_below_the_root);
	tcase_add_test(tcase, what_is_no_regular_file);
	tcase_add_test(tcase, names_of_no_file);
	tcase_add_test(tcase, a_process_that_never_was);
	tcase_add_test(tcase, the_device_may_differ);
	tcase_add_test(tcase, the_program_itself);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

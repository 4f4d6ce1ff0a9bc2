/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In a child that entered the sandbox: what it may do goes on, and each thing
 * it may not ends it by SIGSYS or is refused.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "daemon/base/log.h"
#include "symbolizer/sandbox.h"
#include "tests/unit/workshop.h"

#define WENT_WELL 42
#define WAS_REFUSED 43
#define NO_SECCOMP 44

/* What it is called with: a descriptor of a text, and of a pipe. */
typedef bool attempt(int text, int pipe_end);

/* 0: done, else the signal or exit code. */
static int in_sandbox(attempt *try, uint64_t memory_bytes)
{
	int text = workshop_text("text", 4), ends[2], status = 0;
	pid_t pid;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		struct sandbox_config config = {
			.keep_fd = 3, .memory_bytes = memory_bytes, .cpu_seconds = 1};
		uint32_t layers;

		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		dup2(text, 3);
		layers = sandbox_enter(&config);
		if (!(layers & SANDBOX_SECCOMP))
			_exit(NO_SECCOMP);
		_exit(try(3, ends[1]) ? WENT_WELL : WAS_REFUSED);
	}
	close(text);
	close(ends[0]);
	close(ends[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	return WEXITSTATUS(status);
}

static bool reads(int text, int pipe_end)
{
	char bytes[4];
	struct stat st;

	(void)pipe_end;
	return pread(text, bytes, 4, 0) == 4 && !memcmp(bytes, "text", 4) &&
	       lseek(text, 0, SEEK_SET) == 0 && read(text, bytes, 4) == 4 &&
	       fstat(text, &st) == 0 && st.st_size == 4;
}

static bool allocates(int text, int pipe_end)
{
	void *large = malloc(16 << 20), *small = malloc(100);

	(void)text;
	(void)pipe_end;
	if (!large || !small)
		return false;
	memset(large, 1, 16 << 20);
	large = realloc(large, 64 << 20);
	free(large);
	free(small);
	return true;
}

static bool writes_stderr(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	return write(STDERR_FILENO, "", 0) == 0;
}

START_TEST(what_it_may)
{
	static attempt *const attempts[] = {reads, allocates, writes_stderr};

	ck_assert_int_eq(in_sandbox(attempts[_i], 0), WENT_WELL);
}
END_TEST

static bool opens(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool forks(int text, int pipe_end)
{
	pid_t pid;

	(void)text;
	(void)pipe_end;
	pid = fork();
	if (!pid)
		_exit(0);
	return pid > 0;
}

static bool executes(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	execl("/bin/true", "true", NULL);
	return false;
}

static bool makes_socket(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool kills(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	return kill(getppid(), 0) == 0;
}

static bool maps_code(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED;
}

static bool protects_code(int text, int pipe_end)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)text;
	(void)pipe_end;
	return mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool traces(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	return syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, getpid(), 0, 0) == 0;
}

static bool unlimits(int text, int pipe_end)
{
	struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

	(void)text;
	(void)pipe_end;
	return setrlimit(RLIMIT_AS, &none) == 0;
}

START_TEST(what_it_may_not)
{
	static attempt *const attempts[] = {opens,     forks,         executes, makes_socket, kills,
					    maps_code, protects_code, traces,   unlimits};

	ck_assert_int_eq(in_sandbox(attempts[_i], 0), -SIGSYS);
}
END_TEST

static bool other_descriptors_are_closed(int text, int pipe_end)
{
	(void)text;
	return fcntl(pipe_end, F_GETFD) < 0 && errno == EBADF;
}

START_TEST(keeps_only_its_descriptor)
{
	ck_assert_int_eq(in_sandbox(other_descriptors_are_closed, 0), WENT_WELL);
}
END_TEST

static bool grows(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	return malloc(512 << 20) != NULL;
}

START_TEST(memory_has_a_limit)
{
	ck_assert_int_eq(in_sandbox(grows, 0), WENT_WELL);
	ck_assert_int_eq(in_sandbox(grows, 256 << 20), WAS_REFUSED);
}
END_TEST

static bool burns(int text, int pipe_end)
{
	(void)text;
	(void)pipe_end;
	for (volatile unsigned long i = 0;; i++)
		;
	return false;
}

START_TEST(cpu_time_has_a_limit)
{
	ck_assert_int_eq(in_sandbox(burns, 0), -SIGXCPU);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
	char text[128], small[8];

	sandbox_missing(SANDBOX_ALL, text, sizeof(text));
	ck_assert_str_eq(text, "");
	sandbox_missing(SANDBOX_ALL & ~(SANDBOX_LANDLOCK | SANDBOX_SECCOMP), text, sizeof(text));
	ck_assert_str_eq(text, "landlock, seccomp");
	sandbox_missing(0, small, sizeof(small));
	ck_assert_uint_lt(strlen(small), sizeof(small));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *tcase = tcase_create("sandbox");
	bool limits = true;
	SRunner *runner;
	int failed;

#if defined(__SANITIZE_ADDRESS__)
	limits = false;
#endif
	log_init("test_sandbox", LOG_LEVEL_ERROR);
	tcase_set_timeout(tcase, 30);
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0) {
		tcase_add_loop_test(tcase, what_it_may, 0, 3);
		tcase_add_loop_test(tcase, what_it_may_not, 0, 9);
		tcase_add_test(tcase, keeps_only_its_descriptor);
	} else {
		workshop_skip("what_it_may", "seccomp filters are not to be had here");
		workshop_skip("what_it_may_not", "seccomp filters are not to be had here");
		workshop_skip("keeps_only_its_descriptor", "seccomp filters are not to be had");
	}
	workshop_add(tcase, limits, "AddressSanitizer needs all the address space",
		     memory_has_a_limit);
	tcase_add_test(tcase, cpu_time_has_a_limit);
	tcase_add_test(tcase, what_is_missing_is_named);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

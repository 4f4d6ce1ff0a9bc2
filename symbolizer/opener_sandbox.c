/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/opener_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "symbolizer/call_filter.h"
#include "symbolizer/sandbox.h"

#define NOBODY 65534
#define EXIT_OSERR 71
#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

static bool have(cap_t caps, cap_value_t cap)
{
	cap_flag_value_t value = CAP_CLEAR;

	return !cap_get_flag(caps, cap, CAP_PERMITTED, &value) && value == CAP_SET;
}

/* Those of the daemon's that are needed. */
static cap_t needed(void)
{
	cap_t now = cap_get_proc(), keep = cap_init();
	cap_value_t list[3];
	int count = 0;

	if (!now || !keep)
		_exit(EXIT_OSERR);
	if (have(now, CAP_SYS_PTRACE))
		list[count++] = CAP_SYS_PTRACE;
	if (have(now, CAP_DAC_READ_SEARCH))
		list[count++] = CAP_DAC_READ_SEARCH;
	if (have(now, CAP_CHECKPOINT_RESTORE))
		list[count++] = CAP_CHECKPOINT_RESTORE;
	else if (have(now, CAP_SYS_ADMIN))
		list[count++] = CAP_SYS_ADMIN;
	if (count && (cap_set_flag(keep, CAP_PERMITTED, count, list, CAP_SET) < 0 ||
		      cap_set_flag(keep, CAP_EFFECTIVE, count, list, CAP_SET) < 0))
		_exit(EXIT_OSERR);
	cap_free(now);
	return keep;
}

static void become_nobody(cap_t keep)
{
	if (geteuid() || !have(keep, CAP_DAC_READ_SEARCH))
		return;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		log_warning_errno(-errno, "opener: it cannot become uid %d", NOBODY);
}

static void drop_privileges(void)
{
	cap_t keep = needed(), now;

	sandbox_drop_bounding_set();
	become_nobody(keep);
	if (cap_set_proc(keep) < 0 || !(now = cap_get_proc()) || cap_compare(now, keep)) {
		log_error("opener: it keeps capabilities that it must not have");
		_exit(EXIT_OSERR);
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	cap_free(keep);
	cap_free(now);
}

static void set_limits(void)
{
	struct rlimit none = {0, 0}, files;

	setrlimit(RLIMIT_CORE, &none);
	/* Also how many files may be in parcels. */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Files for reading only (openat2's flags lie in memory, which no filter sees: that it
 * cannot write is for the rights to say); sockets only to itself; no code. */
static const struct call_rule calls[] = {
	CALL(openat2),
	CALL(statx),
	CALL(newfstatat),
	CALL(fstat),
	CALL(fstatfs),
	CALL(readlink),
	CALL(readlinkat),
	CALL(read),
	CALL(lseek),
	CALL(close),
	CALL(recvfrom),
	CALL(sendmsg),
	CALL(write),
	CALL(writev),
	CALL(munmap),
	CALL(mremap),
	CALL(brk),
	CALL(madvise),
	CALL(futex),
	CALL(getrandom),
	CALL(clock_gettime),
	CALL(exit),
	CALL(exit_group),
	CALL(rt_sigreturn),
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(restart_syscall),
	CALL(getpid),
	CALL(gettid),
	CALL(sigaltstack),
	CALL_WHERE(openat, 2, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND, O_RDONLY),
	CALL_WHERE(socketpair, 0, CALL_INT, AF_UNIX),
	CALL_WHERE(mmap, 2, PROT_EXEC, 0),
	CALL_WHERE(mprotect, 2, PROT_EXEC, 0),
};

static void enter_seccomp(void)
{
	const struct call_rule to_itself = CALL_WHERE(tgkill, 0, CALL_INT, (uint64_t)getpid());
	const struct call_rules tables[] = {CALL_RULES(calls), {&to_itself, 1}};
	int r = call_filter_enter(tables, 2);

	if (r < 0)
		log_warning_errno(r, "opener: seccomp is refused (CONFIG_SECCOMP_FILTER, or a "
				     "container's rules)");
}

void opener_sandbox_enter(int keep_fd)
{
	struct rlimit none = {0, 0};

	sandbox_close_others(keep_fd);
	set_limits();
	drop_privileges();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		log_warning_errno(-errno, "opener: no_new_privs is refused");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* After the change of user, which takes it off. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &none);
	enter_seccomp();
}

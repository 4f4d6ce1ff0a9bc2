/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/opener_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
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

static int allow_calls(scmp_filter_ctx filter)
{
	static const int calls[] = {
		SCMP_SYS(openat2),
		SCMP_SYS(statx),
		SCMP_SYS(newfstatat),
		SCMP_SYS(fstat),
		SCMP_SYS(fstatfs),
		SCMP_SYS(readlink),
		SCMP_SYS(readlinkat),
		SCMP_SYS(read),
		SCMP_SYS(lseek),
		SCMP_SYS(close),
		SCMP_SYS(recvfrom),
		SCMP_SYS(sendmsg),
		SCMP_SYS(write),
		SCMP_SYS(writev),
		SCMP_SYS(munmap),
		SCMP_SYS(mremap),
		SCMP_SYS(brk),
		SCMP_SYS(madvise),
		SCMP_SYS(futex),
		SCMP_SYS(getrandom),
		SCMP_SYS(clock_gettime),
		SCMP_SYS(exit),
		SCMP_SYS(exit_group),
		SCMP_SYS(rt_sigreturn),
		SCMP_SYS(rt_sigaction),
		SCMP_SYS(rt_sigprocmask),
		SCMP_SYS(restart_syscall),
		SCMP_SYS(getpid),
		SCMP_SYS(gettid),
		SCMP_SYS(sigaltstack),
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !r; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

/* Files for reading only (openat2's flags lie in memory, which no filter sees: that it
 * cannot write is for the rights to say); sockets only to itself; no code. */
static int allow_conditional(scmp_filter_ctx filter)
{
	const scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
	int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				 SCMP_A2(SCMP_CMP_MASKED_EQ, writing, O_RDONLY));

	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
				     SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	return r;
}

static void enter_seccomp(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? 0 : -ENOMEM;

	if (!r)
		r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!r)
		r = allow_calls(filter);
	if (!r)
		r = allow_conditional(filter);
	if (!r)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
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

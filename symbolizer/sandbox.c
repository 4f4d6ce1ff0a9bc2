/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "symbolizer/call_filter.h"

#define NOBODY 65534
#define EXIT_OSERR 71

/* The sanitizers' shadow takes terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__)
#define LIMIT_MEMORY false
#else
#define LIMIT_MEMORY true
#endif

static const char *const layer_names[] = {"limits",       "capabilities", "user id",
					  "no_new_privs", "landlock",     "seccomp"};
_Static_assert((1 << (sizeof(layer_names) / sizeof(layer_names[0]))) - 1 == SANDBOX_ALL,
	       "a name for each layer");

/* The number is that of x86_64 and of all generic tables. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

void sandbox_ignore_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

void sandbox_close_others(int keep)
{
	unsigned first = STDERR_FILENO + 1;

	if (keep >= (int)first) {
		if (keep > (int)first)
			syscall(SYS_close_range, first, (unsigned)keep - 1, 0);
		first = (unsigned)keep + 1;
	}
	if (!syscall(SYS_close_range, first, ~0U, 0))
		return;
	/* Before 5.9: all of perfd's descriptors are close-on-exec anyway. */
	for (int fd = STDERR_FILENO + 1; fd < 4096; fd++) {
		if (fd != keep)
			close(fd);
	}
}

static int limit(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit now, want;

	if (getrlimit(resource, &now) < 0)
		return -errno;
	want.rlim_cur = want.rlim_max = value < now.rlim_max ? value : now.rlim_max;
	return setrlimit(resource, &want) < 0 ? -errno : 0;
}

/* One second between the signal that tells what it was, and the one that does not. */
static int limit_cpu(uint32_t seconds)
{
	struct rlimit want = {.rlim_cur = seconds, .rlim_max = seconds + 1}, now;

	if (getrlimit(RLIMIT_CPU, &now) < 0)
		return -errno;
	if (now.rlim_max < want.rlim_max)
		return 0;
	return setrlimit(RLIMIT_CPU, &want) < 0 ? -errno : 0;
}

static uint32_t set_limits(const struct sandbox_config *config)
{
	int r = 0;

	if (config->memory_bytes && LIMIT_MEMORY)
		r = limit(RLIMIT_AS, config->memory_bytes);
	if (!r && config->cpu_seconds)
		r = limit_cpu(config->cpu_seconds);
	if (!r)
		r = limit(RLIMIT_CORE, 0);
	if (!r)
		r = limit(RLIMIT_NOFILE, SANDBOX_DESCRIPTORS_MAX);
	if (r < 0)
		log_warning_errno(r, "sandbox: the limits of the worker could not be set");
	return r < 0 ? 0 : SANDBOX_LIMITS;
}

/* The bounding set needs CAP_SETPCAP; without it there is none to lose by exec,
 * which no_new_privs and seccomp forbid as well. */
void sandbox_drop_bounding_set(void)
{
	for (int cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return;
	}
}

static uint32_t become_nobody(void)
{
	if (geteuid() && getuid())
		return SANDBOX_NOBODY;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0) {
		log_warning_errno(-errno, "sandbox: the worker cannot become uid %d", NOBODY);
		return 0;
	}
	return SANDBOX_NOBODY;
}

static uint32_t drop_capabilities(void)
{
	cap_t none = cap_init();
	int r = none ? cap_set_proc(none) : -1;
	cap_t now = cap_get_proc();

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (r < 0 || !now || cap_compare(now, none)) {
		log_error("sandbox: the worker keeps capabilities: it must not parse anything");
		_exit(EXIT_OSERR);
	}
	cap_free(none);
	cap_free(now);
	return SANDBOX_NO_CAPABILITIES;
}

static uint32_t no_new_privileges(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		log_warning_errno(-errno, "sandbox: no_new_privs is refused");
		return 0;
	}
	return SANDBOX_NO_NEW_PRIVS;
}

/* A rule set that handles every access right the kernel knows and allows
 * nothing. The structure is <linux/landlock.h>'s, written out so that building
 * needs no new headers: the kernel takes shorter ones, and says -E2BIG for
 * fields it does not know. */
static uint32_t enter_landlock(void)
{
	static const uint64_t fs_rights[] = {/* by ABI version, from 1 */
					     (1ULL << 13) - 1, (1ULL << 14) - 1, (1ULL << 15) - 1,
					     (1ULL << 15) - 1, (1ULL << 16) - 1};
	struct {
		uint64_t fs, net, scoped;
	} ruleset = {0};
	size_t size = sizeof(uint64_t);
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1U), r;
	int fd;

	if (abi < 1) {
		log_info("sandbox: no Landlock here (kernel 5.13 and lsm=landlock): seccomp alone "
			 "keeps the worker from files");
		return 0;
	}
	ruleset.fs = fs_rights[abi > 5 ? 4 : abi - 1];
	if (abi >= 4) {
		ruleset.net = 3; /* bind and connect over TCP */
		size = 2 * sizeof(uint64_t);
	}
	if (abi >= 6) {
		ruleset.scoped = 3; /* abstract sockets, signals */
		size = 3 * sizeof(uint64_t);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0U);
	r = fd < 0 ? -1 : syscall(SYS_landlock_restrict_self, fd, 0U);
	if (r < 0)
		log_warning_errno(-errno, "sandbox: Landlock is refused");
	if (fd >= 0)
		close(fd);
	return r < 0 ? 0 : SANDBOX_LANDLOCK;
}

/* Memory may be had, but not executed; newfstatat() only as glibc's fstat(). */
static const struct call_rule calls[] = {
	CALL(read),
	CALL(pread64),
	CALL(write),
	CALL(writev),
	CALL(recvmsg),
	CALL(sendmsg),
	CALL(close),
	CALL(fstat),
	CALL(lseek),
	CALL(munmap),
	CALL(mremap),
	CALL(brk),
	CALL(madvise),
	CALL(futex),
	CALL(clock_gettime),
	CALL(exit),
	CALL(exit_group),
	CALL(poll),
	CALL(ppoll),
	CALL(rt_sigreturn),
	CALL(rt_sigprocmask),
	CALL(rt_sigaction),
	CALL(getrandom),
	CALL(restart_syscall),
	CALL(sched_yield),
	CALL(getpid),
	CALL(gettid),
	CALL(sigaltstack),
	CALL(sysinfo), /* qsort() asks for it */
	CALL_WHERE(mmap, 2, PROT_EXEC, 0),
	CALL_WHERE(mprotect, 2, PROT_EXEC, 0),
	CALL_WHERE(newfstatat, 3, CALL_INT, AT_EMPTY_PATH),
	/* libelf asks whether its descriptor is one. */
	CALL_WHERE(fcntl, 1, CALL_INT, F_GETFD),
	CALL_WHERE(fcntl, 1, CALL_INT, F_GETFL),
};

static const struct call_rule serving_calls[] = {
	CALL(accept),
	CALL(accept4),
	CALL(recvfrom),
	CALL(sendto),
	CALL(setsockopt),
	CALL(getsockopt),
	CALL(getsockname),
	CALL(getpeername),
	CALL(shutdown),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_ctl),
	CALL_WHERE(fcntl, 1, CALL_INT, F_SETFL),
	CALL_WHERE(fcntl, 1, CALL_INT, F_SETFD),
};

static uint32_t enter_seccomp(bool serves)
{
	/* An abort() may end this process; no signal may go elsewhere. */
	const struct call_rule to_itself = CALL_WHERE(tgkill, 0, CALL_INT, (uint64_t)getpid());
	const struct call_rules tables[] = {
		CALL_RULES(calls), {&to_itself, 1}, CALL_RULES(serving_calls)};
	int r = call_filter_enter(tables, serves ? 3 : 2);

	if (r < 0)
		log_warning_errno(r, "sandbox: seccomp is refused (CONFIG_SECCOMP_FILTER, or a "
				     "container's rules)");
	return r < 0 ? 0 : SANDBOX_SECCOMP;
}

uint32_t sandbox_enter(const struct sandbox_config *config)
{
	uint32_t layers = 0;

	if (config->keep_fd != SANDBOX_KEEP_ALL)
		sandbox_close_others(config->keep_fd);
	layers |= set_limits(config);
	sandbox_drop_bounding_set();
	layers |= become_nobody();
	layers |= drop_capabilities();
	layers |= no_new_privileges();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (config->die_with_parent)
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	layers |= enter_landlock();
	/* So late because stderr may be a file, and the warnings end with this. */
	signal(SIGXFSZ, SIG_IGN);
	if (limit(RLIMIT_FSIZE, 0) < 0)
		layers &= ~(uint32_t)SANDBOX_LIMITS;
	return layers | enter_seccomp(config->serves);
}

void sandbox_missing(uint32_t layers, char *text, uint32_t size)
{
	size_t at = 0;

	if (size)
		text[0] = '\0';
	for (size_t i = 0; i < sizeof(layer_names) / sizeof(layer_names[0]); i++) {
		if (!(layers & 1U << i) && at < size)
			at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "",
					       layer_names[i]);
	}
}

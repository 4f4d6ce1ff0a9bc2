/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/tracee.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/tracee_private.h"

#ifndef NT_X86_SHSTK
#define NT_X86_SHSTK 0x204
#endif
/* The kernel's own, which no program sees (include/linux/errno.h). */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516
#ifndef PTRACE_GET_RSEQ_CONFIGURATION /* Linux 5.13, glibc 2.34 */
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#define RSEQ_SEQUENCE 8 /* of struct rseq: where its sequence is described; 0: in none */
#define POLL_NS (NSEC_PER_MSEC / 10)
#define CODE_64_BIT 0x33 /* __USER_CS */

static struct tracee_thread *find(struct tracee *tracee, pid_t tid)
{
	for (uint32_t i = 0; i < tracee->count; i++)
		if (tracee->threads[i].tid == tid)
			return &tracee->threads[i];
	return NULL;
}

static void forget(struct tracee *tracee, struct tracee_thread *thread)
{
	*thread = tracee->threads[--tracee->count];
}

/* Also one that is in the middle of it: the kernel has it in its lists still, and refuses it
 * as if it were not permitted (ptrace_attach() in kernel/ptrace.c: exit_state). */
static bool has_ended(pid_t pid, pid_t tid)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[256];
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return true;
	state = strrchr(line, ')'); /* a name may have any bytes */
	return state && state[1] && (state[2] == 'Z' || state[2] == 'X');
}

static int add(struct tracee *tracee, pid_t tid, struct error *error)
{
	if (tracee->count >= TRACEE_THREADS_MAX)
		return error_set(error, -E2BIG, "pid %d has more than %u threads", (int)tracee->pid,
				 TRACEE_THREADS_MAX);
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
		int r = -errno;

		if (r == -ESRCH || (r == -EPERM && has_ended(tracee->pid, tid)))
			return 0;
		return error_set(error, r == -EPERM ? -EBUSY : r,
				 "thread %d of pid %d cannot be stopped: %s (another debugger, or "
				 "not permitted)",
				 (int)tid, (int)tracee->pid, strerror(-r));
	}
	tracee->threads[tracee->count++] = (struct tracee_thread){.tid = tid};
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 0;
}

/* Threads that are not known yet; their number, or -errno. */
static int add_new(struct tracee *tracee, struct error *error)
{
	char path[64];
	const struct dirent *entry;
	int added = 0, r = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)tracee->pid);
	folder = opendir(path);
	if (!folder)
		return error_set(error, -ESRCH, "there is no process %d", (int)tracee->pid);
	while (!r && (entry = readdir(folder))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0 || find(tracee, tid))
			continue;
		r = add(tracee, tid, error);
		added++;
	}
	closedir(folder);
	return r < 0 ? r : added;
}

/* -EBUSY: the process was stopped by a signal. */
static int take_stop(struct tracee *tracee, struct tracee_thread *thread, int status,
		     struct error *error)
{
	int number = WSTOPSIG(status);

	if (status >> 16 == PTRACE_EVENT_STOP) {
		if (number != SIGTRAP)
			return error_set(error, -EBUSY,
					 "pid %d is stopped by a signal (%s): let it go on "
					 "(kill -CONT %d) and try again",
					 (int)tracee->pid, strsignal(number), (int)tracee->pid);
		thread->stopped = true;
	} else {
		/* On its way to a signal: let it have it, it stops after. */
		ptrace(PTRACE_CONT, thread->tid, NULL, status >> 16 ? 0L : (long)number);
	}
	return 0;
}

static int look(struct tracee *tracee, bool *ret_all, struct error *error)
{
	*ret_all = true;
	for (uint32_t i = 0; i < tracee->count;) {
		struct tracee_thread *thread = &tracee->threads[i];
		int status, r = 0;
		pid_t tid = 0;

		if (!thread->stopped)
			tid = waitpid(thread->tid, &status, __WALL | WNOHANG);
		if (tid < 0 || (tid > 0 && !WIFSTOPPED(status))) {
			forget(tracee, thread);
			continue;
		}
		if (tid > 0)
			r = take_stop(tracee, thread, status, error);
		if (r < 0)
			return r;
		*ret_all &= thread->stopped;
		i++;
	}
	return 0;
}

void tracee_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
}

static int wait_all(struct tracee *tracee, uint64_t deadline, struct error *error)
{
	bool all;
	int r;

	while (!(r = look(tracee, &all, error)) && !all) {
		if (clock_boot_ns() > deadline)
			return error_set(error, -ETIMEDOUT,
					 "a thread of pid %d does not stop: it waits for a device "
					 "or for a child of vfork()",
					 (int)tracee->pid);
		tracee_pause();
	}
	return r;
}

static int read_registers(struct tracee *tracee, struct error *error)
{
	for (uint32_t i = 0; i < tracee->count; i++) {
		struct tracee_thread *thread = &tracee->threads[i];
		uint64_t shadow[2];
		struct iovec area = {shadow, sizeof(shadow)};

		if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->registers) < 0)
			return error_set(error, -errno, "cannot read the registers of thread %d",
					 (int)thread->tid);
		if (thread->registers.cs != CODE_64_BIT)
			return error_set(error, -ENOTSUP,
					 "pid %d runs 32-bit code, which is not supported",
					 (int)tracee->pid);
		if (!ptrace(PTRACE_GETREGSET, thread->tid, NT_X86_SHSTK, &area))
			return error_set(error, -ENOTSUP,
					 "pid %d has a shadow stack, which forbids foreign calls",
					 (int)tracee->pid);
	}
	return tracee->count ? 0 : error_set(error, -ESRCH, "pid %d has ended", (int)tracee->pid);
}

int tracee_stop(pid_t pid, uint64_t deadline, struct error *error, struct tracee *ret)
{
	struct tracee tracee = {.pid = pid};
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	tracee.memory = open(path, O_RDONLY | O_CLOEXEC);
	if (tracee.memory < 0)
		return error_set(error, -errno, "cannot open %s: %s", path, strerror(errno));
	tracee.threads = calloc(TRACEE_THREADS_MAX, sizeof(*tracee.threads));
	r = tracee.threads ? 0 : error_set(error, -ENOMEM, "no memory for threads");
	/* Until a look finds no new ones: those that are stopped start none. */
	while (!r && (r = add_new(&tracee, error)) > 0)
		r = wait_all(&tracee, deadline, error);
	if (!r)
		r = read_registers(&tracee, error);
	if (r < 0)
		tracee_release(&tracee);
	else
		*ret = tracee;
	return r;
}

/* Signals that it would take now, by /proc: none of them may be kept waiting. */
static bool signal_waits(pid_t pid, pid_t tid)
{
	uint64_t pending = 0, blocked = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
	file = fopen(path, "re");
	if (!file)
		return true;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "SigPnd:", 7) || !strncmp(line, "ShdPnd:", 7))
			pending |= strtoull(line + 7, NULL, 16);
		else if (!strncmp(line, "SigBlk:", 7))
			blocked = strtoull(line + 7, NULL, 16);
	}
	fclose(file);
	return pending & ~blocked;
}

/* These give EINTR after any stop, signal or not (signal(7)). */
static bool is_not_restarted(long number)
{
	return number == SYS_epoll_wait || number == SYS_epoll_pwait ||
	       number == SYS_epoll_pwait2 || number == SYS_rt_sigtimedwait ||
	       number == SYS_io_getevents || number == SYS_semop || number == SYS_semtimedop;
}

void tracee_settle(const struct tracee *tracee, const struct tracee_thread *thread,
		   struct user_regs_struct *ret)
{
	struct user_regs_struct registers = thread->registers;
	long result = (long)registers.rax, number = (long)registers.orig_rax;

	registers.orig_rax = (uint64_t)-1;
	if (number >= 0 && (result == -ERESTARTSYS || result == -ERESTARTNOINTR ||
			    result == -ERESTARTNOHAND || result == -ERESTART_RESTARTBLOCK ||
			    (result == -EINTR && is_not_restarted(number) &&
			     !signal_waits(tracee->pid, thread->tid)))) {
		registers.rax =
			(uint64_t)(result == -ERESTART_RESTARTBLOCK ? SYS_restart_syscall : number);
		registers.rip -= SYSCALL_BYTES;
	}
	*ret = registers;
}

/* What the kernel restarts by itself is left to it. */
static void restart_call(const struct tracee *tracee, struct tracee_thread *thread)
{
	struct user_regs_struct settled;

	if ((long)thread->registers.rax != -EINTR || (long)thread->registers.orig_rax < 0)
		return;
	tracee_settle(tracee, thread, &settled);
	ptrace(PTRACE_SETREGS, thread->tid, NULL, &settled);
}

void tracee_release(struct tracee *tracee)
{
	for (uint32_t i = 0; i < tracee->count; i++) {
		struct tracee_thread *thread = &tracee->threads[i];

		/* One that does not stop is let go when this process ends. */
		if (!thread->stopped)
			continue;
		restart_call(tracee, thread);
		ptrace(PTRACE_DETACH, thread->tid, NULL, NULL);
	}
	free(tracee->threads);
	if (tracee->memory >= 0)
		close(tracee->memory);
	*tracee = (struct tracee){.memory = -1};
}

long tracee_system_call(const struct tracee_thread *thread)
{
	return (long)thread->registers.orig_rax;
}

bool tracee_in_sequence(const struct tracee *tracee, const struct tracee_thread *thread)
{
	uint64_t rseq[3] = {0}; /* struct ptrace_rseq_configuration: its address first */
	uint64_t sequence = 0;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, thread->tid, sizeof(rseq), rseq) < 0 || !rseq[0])
		return false;
	tracee_read(tracee, rseq[0] + RSEQ_SEQUENCE, &sequence, sizeof(sequence));
	return sequence != 0 && thread->registers.orig_rax == (uint64_t)-1;
}

size_t tracee_read(const struct tracee *tracee, uint64_t address, void *ret, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(tracee->memory, (char *)ret + done, size - done,
				  (off_t)(address + done));

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

int tracee_write(const struct tracee_thread *thread, uint64_t address, const void *bytes,
		 size_t size)
{
	for (size_t at = 0; at < size; at += sizeof(long)) {
		size_t n = size - at < sizeof(long) ? size - at : sizeof(long);
		long word;

		errno = 0;
		word = n < sizeof(long) ? ptrace(PTRACE_PEEKDATA, thread->tid, address + at, NULL)
					: 0;
		memcpy(&word, (const char *)bytes + at, n);
		if (errno || ptrace(PTRACE_POKEDATA, thread->tid, address + at, word) < 0)
			return -EFAULT;
	}
	return 0;
}

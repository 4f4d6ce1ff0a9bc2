/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The injector: see inject.h. It may hang with a process that hangs, and die: the daemon
 * goes on, and the kernel lets the process go.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bpf/unwind.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/inject.h"

#define STOP_NS NSEC_PER_SEC /* for all threads to stop */
#define PAUSE_FIRST_NS (2 * NSEC_PER_MSEC) /* between two tries; each longer than the last */
#define PAUSE_MAX_NS (100 * NSEC_PER_MSEC)
#define STACK_ALIGN 1024ULL
#define VERDICT_SECONDS 1 /* that the process stands still for it */

struct injector {
	int fd;
	struct inject_order order;
	int library; /* -1: none */
	struct tracee tracee;
	struct inject_result result;
};

/* What it needs of root's rights, and no more. */
static void drop_rights(void)
{
	static const cap_value_t needed[] = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
	cap_t caps = cap_init(), now = cap_get_proc();

	for (size_t i = 0; caps && now && i < sizeof(needed) / sizeof(needed[0]); i++) {
		cap_flag_value_t value = CAP_CLEAR;

		cap_get_flag(now, needed[i], CAP_PERMITTED, &value);
		cap_set_flag(caps, CAP_PERMITTED, 1, &needed[i], value);
		cap_set_flag(caps, CAP_EFFECTIVE, 1, &needed[i], value);
	}
	if (caps)
		cap_set_proc(caps);
	cap_free(caps);
	cap_free(now);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int receive_order(struct injector *injector)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec data = {&injector->order, sizeof(injector->order)};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	const struct cmsghdr *header;

	if (recvmsg(injector->fd, &message, MSG_CMSG_CLOEXEC) != sizeof(injector->order) ||
	    injector->order.kind != INJECT_ORDER)
		return -EPROTO;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&injector->library, CMSG_DATA(header), sizeof(int));
	return 0;
}

static void fill_registers(const struct user_regs_struct *from, struct abi_raw *raw)
{
	const uint64_t by_number[16] = {from->rax, from->rdx, from->rcx, from->rbx,
					from->rsi, from->rdi, from->rbp, from->rsp,
					from->r8,  from->r9,  from->r10, from->r11,
					from->r12, from->r13, from->r14, from->r15};

	memcpy(raw->registers, by_number, sizeof(raw->registers));
	raw->ip = from->rip;
	/* The walk reads in windows, which may begin below. */
	raw->address = from->rsp & ~(STACK_ALIGN - 1);
}

static int send_stack(struct injector *injector, const struct tracee_thread *thread)
{
	static union {
		struct inject_stack stack;
		uint8_t room[sizeof(struct inject_stack) + INJECT_STACK_BYTES];
	} packet;
	struct inject_stack *stack = &packet.stack;
	long result = (long)thread->registers.rax;
	size_t bytes;

	*stack = (struct inject_stack){
		.kind = INJECT_STACK,
		.tid = thread->tid,
		.system_call = tracee_system_call(thread),
		.wait_reason = result < 0 && result > -4096 ? (uint32_t)-result : 0};
	fill_registers(&thread->registers, &stack->raw);
	bytes = tracee_read(&injector->tracee, stack->raw.address, packet.room + sizeof(*stack),
			    INJECT_STACK_BYTES);
	stack->raw.bytes = (uint32_t)bytes & ~7u;
	stack->raw.pid = (uint32_t)injector->order.pid;
	stack->raw.hdr.type = ABI_RAW;
	stack->raw.hdr.size = (uint16_t)(sizeof(stack->raw) + stack->raw.bytes);
	return send(injector->fd, packet.room, sizeof(*stack) + stack->raw.bytes, MSG_NOSIGNAL) < 0
		       ? -errno
		       : 0;
}

/* --- whether it may be tried at all --------------------------------------------------- */

/* The number after NAME: in /proc/PID/status; the letter for State. */
static long status_field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	if (!at)
		return 0;
	at += strlen(name);
	at += strspn(at, " \t");
	return *at >= '0' && *at <= '9' ? strtol(at, NULL, 10) : *at;
}

static int read_file(pid_t pid, const char *name, void *bytes, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, bytes, size);
	return n < 0 ? -errno : (int)n;
}

/* A program that got rights by being executed: the loader marks it, for its own safety. */
static bool is_privileged(pid_t pid)
{
	uint64_t words[128] = {0};
	int n = read_file(pid, "auxv", words, sizeof(words));

	for (int i = 0; i + 1 < n / 8; i += 2)
		if (words[i] == AT_SECURE)
			return words[i + 1] != 0;
	return false;
}

static int check_process(pid_t pid, struct error *error)
{
	char text[4096];
	int n = read_file(pid, "status", text, sizeof(text) - 1);

	if (n <= 0)
		return error_set(error, -ESRCH, "there is no process %d any more", (int)pid);
	text[n] = 0;
	if (status_field(text, "\nTracerPid:"))
		return error_set(error, -EBUSY,
				 "pid %d is traced by pid %ld (a debugger, strace): nothing can be "
				 "put into it meanwhile",
				 (int)pid, status_field(text, "\nTracerPid:"));
	switch (status_field(text, "\nState:")) {
	case 'Z':
	case 'X':
		return error_set(error, -ESRCH, "pid %d has ended", (int)pid);
	case 'T':
		return error_set(error, -EBUSY,
				 "pid %d is stopped by a signal: let it go on (kill -CONT %d) and "
				 "try again",
				 (int)pid, (int)pid);
	default:
		break;
	}
	if (status_field(text, "\nSeccomp:") > 0)
		return error_set(error, -EPERM,
				 "pid %d runs under a seccomp filter, which may end it for the "
				 "system calls that loading a library takes",
				 (int)pid);
	if (is_privileged(pid))
		return error_set(error, -EPERM,
				 "pid %d is a set-user-id program or has capabilities of its file: "
				 "nothing is put into such",
				 (int)pid);
	return 0;
}

/* Does the process see the same file under that path, and may it read it? */
static bool sees_library(const struct injector *injector)
{
	char path[INJECT_PATH_MAX + 64];
	struct stat ours, theirs;

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)injector->order.pid,
		 injector->order.path);
	return *injector->order.path && injector->library >= 0 &&
	       !fstat(injector->library, &ours) && !stat(path, &theirs) &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino &&
	       (theirs.st_mode & S_IROTH);
}

/* --- rounds --------------------------------------------------------------------------------- */

/* The thread that may call, or NULL: not now. */
static int ask(struct injector *injector, struct tracee_thread **ret)
{
	struct inject_result question = {.kind = INJECT_ASK};
	struct inject_verdict verdict;
	int r = 0;

	*ret = NULL;
	for (uint32_t i = 0; !r && i < injector->tracee.count; i++)
		r = send_stack(injector, &injector->tracee.threads[i]);
	if (!r && send(injector->fd, &question, sizeof(question), MSG_NOSIGNAL) < 0)
		r = -errno;
	if (r < 0)
		return r;
	if (recv(injector->fd, &verdict, sizeof(verdict), 0) != sizeof(verdict))
		return errno == EAGAIN ? 0 : -EPIPE; /* late, or gone */
	if (verdict.tid == INJECT_GIVE_UP)
		return -ECANCELED;
	for (uint32_t i = 0; i < injector->tracee.count; i++)
		if (injector->tracee.threads[i].tid == verdict.tid)
			*ret = &injector->tracee.threads[i];
	return 0;
}

static int call(struct injector *injector, struct tracee_thread *thread, struct error *error)
{
	const struct inject_order *order = &injector->order;
	struct tracee_call what = {.dlopen = order->dlopen,
				   .dlsym = order->dlsym,
				   .dlerror = order->dlerror,
				   .system_call = order->system_call,
				   .function = order->function,
				   .flags = order->flags,
				   .symbol = order->symbol,
				   .other_symbol = order->other_symbol,
				   .path = *order->path ? order->path : NULL,
				   .library = injector->library};
	struct tracee_result result = {0};
	int r = tracee_call(&injector->tracee, thread, &what, error, &result);

	injector->result.result = result.result;
	injector->result.other = result.other;
	return r;
}

/* 1: done, 0: not now, or -errno. */
static int try(struct injector *injector, struct error *error)
{
	struct tracee_thread *thread = NULL;
	uint64_t began = clock_boot_ns();
	int r = tracee_stop(injector->order.pid, began + STOP_NS, error, &injector->tracee);

	injector->result.rounds++;
	if (!r)
		r = ask(injector, &thread);
	if (!r && thread && !tracee_in_sequence(&injector->tracee, thread)) {
		r = call(injector, thread, error);
		r = r ? r : 1;
	}
	if (injector->tracee.threads)
		tracee_release(&injector->tracee);
	injector->result.stopped_ns += clock_boot_ns() - began;
	return r;
}

static void inject(struct injector *injector)
{
	uint64_t until = clock_boot_ns() + injector->order.duration_ns;
	uint64_t pause = PAUSE_FIRST_NS;
	struct error error = {0};
	int r;

	r = check_process(injector->order.pid, &error);
	if (!sees_library(injector))
		*injector->order.path = 0;
	while (!r && !(r = try(injector, &error)) && clock_boot_ns() < until) {
		nanosleep(&(struct timespec){.tv_nsec = (long)pause}, NULL);
		pause = pause * 2 < PAUSE_MAX_NS ? pause * 2 : PAUSE_MAX_NS;
	}
	if (!r)
		r = error_set(&error, -EBUSY,
			      "its threads are in the allocator, the loader or the "
			      "C library at each look");
	injector->result.kind = INJECT_RESULT;
	injector->result.error = r < 0 ? r : 0;
	if (r < 0)
		snprintf(injector->result.text, sizeof(injector->result.text), "%s",
			 *error.text ? error.text : strerror(-r));
	(void)!send(injector->fd, &injector->result, sizeof(injector->result), MSG_NOSIGNAL);
}

int inject_main(int fd)
{
	struct injector injector = {.fd = fd, .library = -1, .tracee = {.memory = -1}};
	struct timeval patience = {.tv_sec = VERDICT_SECONDS};

	/* Its end is the daemon's business; a terminal's signals are not for it. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	drop_rights();
	if (receive_order(&injector))
		return EXIT_FAILURE;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	inject(&injector);
	return EXIT_SUCCESS;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A call goes in these steps, each of which leaves the thread able to go on without us:
 *
 *  1. The thread's state is written below its stack as a signal frame.
 *  2. System calls are made at libc's own `syscall` instruction, with that frame for a
 *     stack: memory for code, data and a stack of its own, and a place for the library.
 *  3. The code (below) is put there and run; it calls what it is to call, writes down
 *     what came of it, and ends with rt_sigreturn(2) of the frame.
 *  4. That last call is caught and not made: we put the state back ourselves, to the last
 *     bit, and the kernel's memory of an interrupted sleep stays as well.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/elf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/tracee_private.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif
#define AREA_BYTES (512u * 1024)
#define CODE_BYTES 4096u /* the first page; then the data, then the stack */
#define PATH_BYTES 512
#define SEARCH_BYTES 128 /* of syscall() */
#define RESTORER_REACH 0x800000u /* around syscall(), in libc */
#define STEP_NS (2 * NSEC_PER_SEC) /* for one system call */
#define ALONE_NS (NSEC_PER_SEC / 2) /* that the others wait for the call */
#define CALL_NS (10 * NSEC_PER_SEC)
/* Made at once, whatever the mask: their handlers must stay as they are. */
#define SYNCHRONOUS                                                                                \
	(1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1) | 1ULL << (SIGILL - 1) |                     \
	 1ULL << (SIGFPE - 1) | 1ULL << (SIGTRAP - 1))

/* What the code works on: its offsets are in the code below. */
struct call_data {
	uint64_t dlopen, dlsym, dlerror; /* 0, 8, 16 */
	uint64_t path, flags; /* 24, 32 */
	uint64_t symbol, other_symbol; /* 40, 48 */
	uint64_t library, function, result, other, words; /* 56 to 88: what came of it */
	uint64_t done, frame; /* 96, 104 */
	char path_text[PATH_BYTES];
	char symbol_text[64], other_text[64];
};
_Static_assert(offsetof(struct call_data, library) == 56, "the code's offsets");
_Static_assert(offsetof(struct call_data, frame) == 104, "the code's offsets");

/* rbx: the data. Runs on a stack of its own. */
extern const char tracee_code[], tracee_code_end[];
__asm__(".pushsection .rodata\n"
	".globl tracee_code\n"
	"tracee_code:\n"
	"	mov 64(%rbx), %rax\n" /* a function that is known */
	"	test %rax, %rax\n"
	"	jnz 1f\n"
	"	mov 24(%rbx), %rdi\n" /* library = dlopen(path, flags) */
	"	mov 32(%rbx), %rsi\n"
	"	call *0(%rbx)\n"
	"	mov %rax, 56(%rbx)\n"
	"	test %rax, %rax\n"
	"	jz 2f\n"
	"	mov %rax, %rdi\n" /* other = dlsym(library, other_symbol) */
	"	mov 48(%rbx), %rsi\n"
	"	call *8(%rbx)\n"
	"	mov %rax, 80(%rbx)\n"
	"	test %rax, %rax\n"
	"	jz 2f\n"
	"	mov 56(%rbx), %rdi\n" /* function = dlsym(library, symbol) */
	"	mov 40(%rbx), %rsi\n"
	"	call *8(%rbx)\n"
	"	mov %rax, 64(%rbx)\n"
	"	test %rax, %rax\n"
	"	jz 2f\n"
	"1:	call *%rax\n" /* result = function() */
	"	movslq %eax, %rax\n"
	"	mov %rax, 72(%rbx)\n"
	"	jmp 3f\n"
	"2:	mov 16(%rbx), %rax\n" /* words = dlerror() */
	"	test %rax, %rax\n"
	"	jz 3f\n"
	"	call *%rax\n"
	"	mov %rax, 88(%rbx)\n"
	"3:	movq $1, 96(%rbx)\n" /* done */
	"	mov 104(%rbx), %rsp\n" /* return to the frame's first word */
	"	ret\n"
	".globl tracee_code_end\n"
	"tracee_code_end:\n"
	".popsection\n");

struct calling {
	struct tracee *tracee;
	struct tracee_thread *thread;
	const struct tracee_call *call;
	struct tracee_state state; /* as it was found */
	uint64_t instruction; /* `syscall`, in libc */
	uint64_t restorer; /* code that calls rt_sigreturn, in libc */
	uint64_t frame; /* the state, below the thread's stack */
	uint64_t area; /* our memory; 0: none yet */
};

/* --- running a thread from stop to stop -------------------------------------------------- */

static int resume(const struct calling *calling, struct error *error)
{
	if (ptrace(PTRACE_SYSCALL, calling->thread->tid, NULL, NULL) < 0)
		return error_set(error, -ESRCH, "thread %d has ended", (int)calling->thread->tid);
	return 0;
}

/* 0: a system call begins or has ended; -EAGAIN: not yet; -EFAULT: the thread made a
 * fault, which it is not shown. */
static int take(const struct calling *calling, int status, struct error *error)
{
	int number = WSTOPSIG(status);

	if (!WIFSTOPPED(status))
		return error_set(error, -ESRCH, "thread %d has ended", (int)calling->thread->tid);
	if (number == (SIGTRAP | 0x80))
		return 0;
	if (status >> 16 == 0 && number < 64 && SYNCHRONOUS >> (number - 1) & 1)
		return error_set(error, -EFAULT, "a call in thread %d ended in: %s",
				 (int)calling->thread->tid, strsignal(number));
	/* Stopped by a shell's or debugger's signal: it has to wait. */
	resume(calling, error);
	return -EAGAIN;
}

static int await(const struct calling *calling, uint64_t deadline, struct error *error)
{
	int status, r;

	for (;;) {
		pid_t got = waitpid(calling->thread->tid, &status, __WALL | WNOHANG);

		if (got < 0)
			return error_set(error, -ESRCH, "thread %d has ended",
					 (int)calling->thread->tid);
		r = got ? take(calling, status, error) : -EAGAIN;
		if (r != -EAGAIN)
			return r;
		if (clock_boot_ns() > deadline)
			return -ETIMEDOUT;
		if (!got)
			tracee_pause();
	}
}

/* To the next beginning or end of a system call. */
static int step(const struct calling *calling, uint64_t deadline, struct error *error)
{
	int r = resume(calling, error);

	return r < 0 ? r : await(calling, deadline, error);
}

static long system_call(const struct calling *calling, long number, const uint64_t arguments[6],
			struct error *error)
{
	struct user_regs_struct registers = calling->state.registers;
	uint64_t deadline = clock_boot_ns() + STEP_NS;
	uint64_t mask = ~SYNCHRONOUS | calling->state.mask;
	int r;

	registers.rip = calling->instruction;
	registers.rsp = calling->frame;
	registers.rax = (uint64_t)number;
	registers.orig_rax = (uint64_t)-1;
	registers.rdi = arguments[0];
	registers.rsi = arguments[1];
	registers.rdx = arguments[2];
	registers.r10 = arguments[3];
	registers.r8 = arguments[4];
	registers.r9 = arguments[5];
	if (ptrace(PTRACE_SETREGS, calling->thread->tid, NULL, &registers) < 0)
		return error_set(error, -ESRCH, "thread %d has ended", (int)calling->thread->tid);
	/* From here on its end is the frame's, which has the mask as it was. */
	ptrace(PTRACE_SETSIGMASK, calling->thread->tid, sizeof(mask), &mask);
	r = step(calling, deadline, error); /* begins */
	if (!r)
		r = step(calling, deadline, error); /* has ended */
	if (r == -ETIMEDOUT)
		return error_set(error, r, "system call %ld in thread %d does not end", number,
				 (int)calling->thread->tid);
	if (r < 0)
		return r;
	ptrace(PTRACE_GETREGS, calling->thread->tid, NULL, &registers);
	return (long)registers.rax;
}

#define CALL(calling, error, number, ...)                                                          \
	system_call(calling, number, (const uint64_t[6]){__VA_ARGS__}, error)

/* --- preparing ------------------------------------------------------------------------------ */

/* The two pieces of libc's code that are needed, by their bytes. */
static int find_code(struct calling *calling, struct error *error)
{
	static const uint8_t restore[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
	static const uint8_t enter[] = {0x0f, 0x05};
	static uint8_t bytes[65536 + sizeof(restore)];
	uint64_t base = calling->call->system_call & ~0xfffULL;
	const uint8_t *found;
	size_t n;

	n = tracee_read(calling->tracee, calling->call->system_call, bytes, SEARCH_BYTES);
	found = memmem(bytes, n, enter, sizeof(enter));
	if (!found)
		return error_set(error, -ENOEXEC, "no system call instruction in libc's syscall()");
	calling->instruction = calling->call->system_call + (uint64_t)(found - bytes);
	/* Down from there, where it usually is, then up. */
	for (int up = 0; up < 2; up++)
		for (uint64_t far = 0; far < RESTORER_REACH; far += 65536) {
			uint64_t at = up ? base + far : base - far - 65536;

			n = tracee_read(calling->tracee, at, bytes, sizeof(bytes));
			found = memmem(bytes, n, restore, sizeof(restore));
			if (found) {
				calling->restorer = at + (uint64_t)(found - bytes);
				return 0;
			}
			if (!n)
				break;
		}
	return error_set(error, -ENOEXEC, "no code for the end of signal handlers in libc");
}

static int prepare(struct calling *calling, struct error *error)
{
	long area;
	int r = find_code(calling, error);

	if (!r)
		r = tracee_state_read(calling->tracee, calling->thread, error, &calling->state);
	if (r < 0)
		return r;
	r = tracee_frame_write(calling->thread, &calling->state, calling->restorer,
			       &calling->frame);
	if (r < 0)
		return error_set(error, r, "no room on the stack of thread %d",
				 (int)calling->thread->tid);
	if (ptrace(PTRACE_SETOPTIONS, calling->thread->tid, NULL, PTRACE_O_TRACESYSGOOD) < 0)
		return error_set(error, -errno, "cannot trace thread %d",
				 (int)calling->thread->tid);
	area = CALL(calling, error, SYS_mmap, 0, AREA_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
	if (area < 0 && area > -4096)
		return error_set(error, (int)area, "no memory in the process (mmap): %s",
				 strerror((int)-area));
	calling->area = (uint64_t)area;
	r = (int)CALL(calling, error, SYS_mprotect, calling->area, CODE_BYTES,
		      PROT_READ | PROT_EXEC);
	if (r < 0)
		return error_set(error, r, "no memory for code in the process (mprotect): %s",
				 strerror(-r));
	return 0;
}

/* Puts the thread back into the state that it was found in. */
static void put_back(struct calling *calling)
{
	struct error ignored = {0};

	if (calling->area)
		CALL(calling, &ignored, SYS_munmap, calling->area, AREA_BYTES);
	tracee_state_write(calling->thread, &calling->state);
	/* The registers are settled: nothing is left to restart. */
	calling->thread->registers = calling->state.registers;
}

/* --- the library ------------------------------------------------------------------------------ */

/* Gives the file to the process, as memory: *ret is its descriptor there. */
static int give_library(struct calling *calling, struct error *error, long *ret)
{
	static const char name[] = "libperfd-heap.so";
	uint64_t name_at = calling->area + CODE_BYTES;
	_cleanup_close_ int copy = -1;
	char path[64];
	struct stat st;
	off_t from = 0;
	long fd;

	if (tracee_write(calling->thread, name_at, name, sizeof(name)) < 0 ||
	    fstat(calling->call->library, &st) < 0)
		return error_set(error, -EFAULT, "the process's memory cannot be written");
	fd = CALL(calling, error, SYS_memfd_create, name_at, MFD_CLOEXEC | MFD_EXEC);
	if (fd == -EINVAL) /* before Linux 6.3 there is no such flag */
		fd = CALL(calling, error, SYS_memfd_create, name_at, MFD_CLOEXEC);
	if (fd < 0)
		return error_set(error, (int)fd,
				 "no place for the library in the process "
				 "(memfd_create): %s",
				 strerror((int)-fd));
	snprintf(path, sizeof(path), "/proc/%d/fd/%ld", (int)calling->tracee->pid, fd);
	copy = open(path, O_WRONLY | O_CLOEXEC);
	while (copy >= 0 && from < st.st_size)
		if (sendfile(copy, calling->call->library, &from, (size_t)(st.st_size - from)) <= 0)
			break;
	*ret = fd;
	if (copy < 0 || from < st.st_size)
		return error_set(error, -EIO, "the library cannot be given to the process: %s",
				 strerror(errno));
	return 0;
}

/* --- the call ------------------------------------------------------------------------------------
 */

/* The others have waited long enough: what the call waits for may be one of them. */
static void let_others_go(struct calling *calling)
{
	struct tracee others = *calling->tracee;
	struct tracee_thread here = *calling->thread;
	uint32_t kept = 0;

	if (others.count <= 1)
		return;
	/* tracee_release() takes the list; ours is then the one thread. */
	others.threads = calloc(others.count, sizeof(*others.threads));
	if (!others.threads)
		return;
	for (uint32_t i = 0; i < calling->tracee->count; i++)
		if (calling->tracee->threads[i].tid != here.tid)
			others.threads[kept++] = calling->tracee->threads[i];
	others.count = kept;
	others.memory = -1;
	tracee_release(&others);
	calling->tracee->threads[0] = here;
	calling->tracee->count = 1;
	calling->thread = &calling->tracee->threads[0];
}

/* At the last call of the code, the one that is not made? */
static bool at_end(const struct calling *calling, uint64_t data_at)
{
	struct user_regs_struct registers;
	uint64_t done = 0;

	tracee_read(calling->tracee, data_at + offsetof(struct call_data, done), &done,
		    sizeof(done));
	return done && !ptrace(PTRACE_GETREGS, calling->thread->tid, NULL, &registers) &&
	       registers.orig_rax == SYS_rt_sigreturn;
}

static int run_code(struct calling *calling, uint64_t data_at, struct error *error)
{
	uint64_t began = clock_boot_ns();
	struct user_regs_struct registers = calling->state.registers;
	int r = 0;

	registers.rip = calling->area;
	registers.rbx = data_at;
	registers.rsp = calling->area + AREA_BYTES - 64;
	registers.eflags &= ~0x500ULL; /* direction, single step */
	if (ptrace(PTRACE_SETREGS, calling->thread->tid, NULL, &registers) < 0)
		return error_set(error, -ESRCH, "thread %d has ended", (int)calling->thread->tid);
	while (!r && !at_end(calling, data_at)) {
		r = step(calling, began + (calling->tracee->count > 1 ? ALONE_NS : CALL_NS), error);
		if (r == -ETIMEDOUT && calling->tracee->count > 1) {
			let_others_go(calling);
			r = await(calling, began + CALL_NS, error);
		}
	}
	if (r == -ETIMEDOUT)
		return error_set(error, r,
				 "a call in the process does not end: it waits for something that "
				 "another of its threads holds; it goes on by itself");
	if (r < 0)
		return r;
	/* That call is not made, and as if behind a system call of libc's: whose end, should
	 * nobody be there to see to it, is once more the frame's. */
	ptrace(PTRACE_GETREGS, calling->thread->tid, NULL, &registers);
	registers.orig_rax = (uint64_t)-1;
	registers.rip = calling->instruction + SYSCALL_BYTES;
	registers.rsp = calling->frame;
	ptrace(PTRACE_SETREGS, calling->thread->tid, NULL, &registers);
	return step(calling, clock_boot_ns() + STEP_NS, error);
}

/* One run of the code; *data has what came of it. */
static int run(struct calling *calling, const char *path, uint32_t flags, struct error *error,
	       struct call_data *data)
{
	const struct tracee_call *call = calling->call;
	uint64_t at = calling->area + CODE_BYTES;
	int r;
	size_t code = (size_t)(tracee_code_end - tracee_code);

	*data = (struct call_data){
		.dlopen = call->dlopen,
		.dlsym = call->dlsym,
		.dlerror = call->dlerror,
		.function = call->function,
		.path = at + offsetof(struct call_data, path_text),
		.flags = flags,
		.symbol = at + offsetof(struct call_data, symbol_text),
		.other_symbol = at + offsetof(struct call_data, other_text),
		.frame = calling->frame,
	};
	snprintf(data->path_text, sizeof(data->path_text), "%s", path);
	snprintf(data->symbol_text, sizeof(data->symbol_text), "%s", call->symbol);
	snprintf(data->other_text, sizeof(data->other_text), "%s", call->other_symbol);
	if (tracee_write(calling->thread, calling->area, tracee_code, code) < 0 ||
	    tracee_write(calling->thread, at, data, sizeof(*data)) < 0)
		return error_set(error, -EFAULT, "the process's memory cannot be written");
	r = run_code(calling, at, error);
	if (!r && tracee_read(calling->tracee, at, data, sizeof(*data)) != sizeof(*data))
		r = error_set(error, -EFAULT, "the process's memory cannot be read");
	return r;
}

/* The loader's own words, which are the process's: for people, without control characters. */
static void quote(const struct calling *calling, const struct call_data *data, struct error *error)
{
	char words[200];
	size_t n = data->words ? tracee_read(calling->tracee, data->words, words, sizeof(words) - 1)
			       : 0;

	words[n] = 0;
	for (char *c = words; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	error_set(error, -ENOENT, "its loader refuses the library%s%s", *words ? ": " : "", words);
}

static int open_and_call(struct calling *calling, struct error *error, struct call_data *data)
{
	static const char soname[] = "libperfd-heap.so";
	const struct tracee_call *call = calling->call;
	char path[64];
	long fd = -1;
	int r;

	/* It may be there already; where its file is seen, its pages are shared. */
	r = run(calling, soname, call->flags | RTLD_NOLOAD, error, data);
	if (!r && !data->function && call->path)
		r = run(calling, call->path, call->flags, error, data);
	if (r || data->function || call->library < 0)
		return r;
	r = give_library(calling, error, &fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%ld", fd);
	if (!r)
		r = run(calling, path, call->flags, error, data);
	if (fd >= 0 && r != -ETIMEDOUT)
		CALL(calling, error, SYS_close, (uint64_t)fd);
	return r;
}

int tracee_call(struct tracee *tracee, struct tracee_thread *thread, const struct tracee_call *call,
		struct error *error, struct tracee_result *ret)
{
	struct calling calling = {.tracee = tracee, .thread = thread, .call = call};
	struct call_data data = {0};
	int r = prepare(&calling, error);

	if (!r)
		r = open_and_call(&calling, error, &data);
	if (r == -ETIMEDOUT) {
		/* The thread is in the middle of it and ends it without us. */
		calling.thread->stopped = false;
		return r;
	}
	if (!r && !data.function)
		quote(&calling, &data, error), r = -ENOENT;
	if (r != -ESRCH && calling.state.xstate_size)
		put_back(&calling);
	if (r < 0)
		return r;
	*ret = (struct tracee_result){.result = (int)data.result, .other = data.other};
	return 0;
}

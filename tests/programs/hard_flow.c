/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hard stacks, second part: control that goes unusual ways.
 */
#include "tests/programs/hard.h"

#include <ctype.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

/* --- signals ---------------------------------------------------------------------------- */

#define HANDLER_NS (4 * MS)
#define PAUSE_US 1000

static void arm(void)
{
	struct itimerval once = {.it_value.tv_usec = PAUSE_US};

	setitimer(ITIMER_REAL, &once, NULL);
}

KEEP static void on_signal(int number)
{
	(void)number;
	bottom(HANDLER_NS);
	arm();
}

KEEP static uint32_t short_call(uint32_t x)
{
	return x * 1664525u + 1013904223u;
}

/* Is hit anywhere: in its loop, in prologues, in libc, in a system call. */
KEEP static void interrupted(uint64_t ns)
{
	volatile uint32_t sink = 1;

	WHILE_BURNING(ns)
	sink = short_call(sink);
}

KEEP static void signal_middle(uint64_t ns)
{
	interrupted(ns);
	AFTER_CALL();
}

KEEP static void with_handler(uint64_t ns, int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};

	sigaction(SIGALRM, &action, NULL);
	arm();
	signal_middle(ns);
	signal(SIGALRM, SIG_IGN);
}

KEEP static void run_signal(uint64_t ns)
{
	with_handler(ns, 0);
	AFTER_CALL();
}

KEEP static void run_altstack(uint64_t ns)
{
	static char room[64 << 10];
	stack_t stack = {.ss_sp = room, .ss_size = sizeof(room)};

	sigaltstack(&stack, NULL);
	with_handler(ns, SA_ONSTACK);
	AFTER_CALL();
}

#ifdef __x86_64__
/* Its first instruction traps, so the byte before belongs to another function. */
void trap_at_start(void);
__asm__(".text\n"
	"	.p2align 4\n"
	"	.type before_trap, @function\n"
	"before_trap:\n"
	"	.cfi_startproc\n"
	"	push %rbx\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset 3, -16\n"
	"	call abort@PLT\n"
	"	.cfi_endproc\n"
	"	.size before_trap, . - before_trap\n"
	"	.globl trap_at_start\n"
	"	.type trap_at_start, @function\n"
	"trap_at_start:\n"
	"	.cfi_startproc\n"
	"	ud2\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size trap_at_start, . - trap_at_start\n");

KEEP static void on_trap(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	bottom(HANDLER_NS);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

KEEP static void run_trap(uint64_t ns)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	sigaction(SIGILL, &action, NULL);
	for (uint64_t done = 0; done < ns; done += HANDLER_NS)
		trap_at_start();
}
#endif

/* --- calls back, tail calls, calls that do not return --------------------------------------- */

KEEP static int compare(const void *a, const void *b)
{
	bottom(*(const uint64_t *)a);
	AFTER_CALL();
	return *(const uint64_t *)a > *(const uint64_t *)b;
}

KEEP static void run_qsort(uint64_t ns)
{
	uint64_t values[2] = {ns, ns};

	qsort(values, 2, sizeof(values[0]), compare);
	AFTER_CALL();
}

KEEP static void tail_target(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

KEEP static void tail_caller(uint64_t ns)
{
	tail_target(ns);
}

KEEP static void run_tail(uint64_t ns)
{
	tail_caller(ns);
	AFTER_CALL();
}

static jmp_buf out;

KEEP static _Noreturn void never_returns(uint64_t ns)
{
	bottom(ns);
	longjmp(out, 1);
}

/* The call is its last instruction: the return address lies behind its end. */
KEEP static _Noreturn void noreturn_caller(uint64_t ns)
{
	never_returns(ns);
}

KEEP static void run_noreturn(uint64_t ns)
{
	if (!setjmp(out))
		noreturn_caller(ns);
}

KEEP __attribute__((cold)) static void rare(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

/* Its rare part may lie elsewhere, as a piece of its own. */
KEEP static void split(uint64_t ns, volatile int *turns)
{
	for (int i = 0; i < *turns; i++)
		turns[1] += i;
	if (__builtin_expect(ns != 0, 0))
		rare(ns);
	turns[2] = 1;
}

KEEP static void run_split(uint64_t ns)
{
	volatile int turns[3] = {10, 0, 0};

	split(ns, turns);
}

#ifdef __GLIBC__
static ucontext_t outside, inside;
static uint64_t inside_ns;

KEEP static void coroutine(void)
{
	bottom(inside_ns);
	AFTER_CALL();
}

KEEP static void run_context(uint64_t ns)
{
	static char room[64 << 10];

	inside_ns = ns;
	getcontext(&inside);
	inside.uc_stack.ss_sp = room;
	inside.uc_stack.ss_size = sizeof(room);
	inside.uc_link = &outside;
	makecontext(&inside, coroutine, 0);
	swapcontext(&outside, &inside);
}
#endif

/* --- libc by the PLT, the vDSO, the kernel -----------------------------------------------------
 */

KEEP static void run_plt(uint64_t ns)
{
	volatile int sum = 0;

	WHILE_BURNING(ns)
	sum += (toupper)(call_ & 127);
	(void)sum;
}

KEEP static void run_vdso(uint64_t ns)
{
	struct timespec now;

	WHILE_BURNING(ns)
	clock_gettime(CLOCK_MONOTONIC, &now);
}

KEEP static void run_syscall(uint64_t ns)
{
	static char block[64 << 10];
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	for (uint64_t end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
	     cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end;)
		if (read(zero, block, sizeof(block)) < 0)
			break;
	close(zero);
}

KEEP static void touch(volatile char *room, size_t size)
{
	for (size_t i = 0; i < size; i += 4096)
		room[i] = 1;
}

KEEP static void run_page_faults(uint64_t ns)
{
	size_t size = 16 << 20;

	for (uint64_t end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
	     cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end;) {
		void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);

		if (room == MAP_FAILED)
			break;
		touch(room, size);
		munmap(room, size);
	}
}

/* --- code without a file, code with odd tables (hard_odd.S) --------------------------------------
 */

KEEP static void called_back(uint64_t ns)
{
	bottom(ns);
	AFTER_CALL();
}

#ifdef __x86_64__
KEEP static void run_jit(uint64_t ns)
{
	/* push %rbp; mov %rsp,%rbp; call *%rsi; pop %rbp; ret */
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd6, 0x5d, 0xc3};
	void *room = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void (*jitted)(uint64_t ns, void (*back)(uint64_t ns));

	if (room == MAP_FAILED)
		return;
	memcpy(room, code, sizeof(code));
	mprotect(room, 4096, PROT_READ | PROT_EXEC);
	memcpy(&jitted, &room, sizeof(jitted));
	jitted(ns, called_back);
	munmap(room, 4096);
}

/* Each turns a loop `turns` times in a frame whose rule is of the named kind. */
void odd_cfa_rax(uint64_t turns);
void odd_cfa_rbx(uint64_t turns);
void odd_cfa_r10(uint64_t turns);
void odd_cfa_r11(uint64_t turns);
void odd_cfa_saved(uint64_t turns);
void odd_ra_register(uint64_t turns);
void odd_rbp_register(uint64_t turns);
/* Frame pointers, and no rule at all. */
void odd_no_rule(uint64_t ns, void (*back)(uint64_t ns));

#define ODD(kind)                                                                                  \
	KEEP static void run_##kind(uint64_t ns)                                                   \
	{                                                                                          \
		for (uint64_t end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;                          \
		     cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end;)                                       \
			kind(20000);                                                               \
	}

ODD(odd_cfa_rax)
ODD(odd_cfa_rbx)
ODD(odd_cfa_r10)
ODD(odd_cfa_r11)
ODD(odd_cfa_saved)
ODD(odd_ra_register)
ODD(odd_rbp_register)

KEEP static void run_odd_no_rule(uint64_t ns)
{
	odd_no_rule(ns, called_back);
	AFTER_CALL();
}
#define ODD_CASE(kind)                                                                             \
	{                                                                                          \
#kind, run_##kind, #kind "|run_" #kind, "@main run_" #kind                         \
	}
#endif

#define HANDLED " with_handler signal_middle interrupted * on_signal bottom"

const struct hard_case hard_flow[] = {
	{"signal", run_signal, "bottom", "@main run_signal" HANDLED},
	{"altstack", run_altstack, "bottom", "@main run_altstack" HANDLED},
	{"qsort", run_qsort, "bottom", "@main run_qsort * compare bottom"},
	/* Whether there is a tail call is the compiler's to say. */
	{"tail", run_tail, "bottom",
	 "@main run_tail tail_target bottom / @main run_tail tail_caller tail_target "
	 "bottom"},
	{"noreturn", run_noreturn, "bottom",
	 "@main run_noreturn noreturn_caller never_returns bottom"},
	{"split", run_split, "bottom", "@main run_split split|split.cold rare bottom"},
#ifdef __GLIBC__
	{"context", run_context, "bottom", "@context coroutine bottom"},
#endif
	{"plt", run_plt, "run_plt", "@main run_plt"},
	{"vdso", run_vdso, "run_vdso", "@main run_vdso"},
	{"syscall", run_syscall, "run_syscall", "@main run_syscall"},
	{"page_faults", run_page_faults, "touch", "@main run_page_faults touch"},
#ifdef __x86_64__
	{"trap", run_trap, "bottom", "@main run_trap trap_at_start ? on_trap bottom"},
	{"jit", run_jit, "bottom", "@main run_jit ? called_back bottom"},
	ODD_CASE(odd_cfa_rax),
	ODD_CASE(odd_cfa_rbx),
	ODD_CASE(odd_cfa_r10),
	ODD_CASE(odd_cfa_r11),
	ODD_CASE(odd_cfa_saved),
	ODD_CASE(odd_ra_register),
	ODD_CASE(odd_rbp_register),
	{"odd_no_rule", run_odd_no_rule, "bottom",
	 "@main run_odd_no_rule odd_no_rule called_back bottom"},
#endif
	{0},
};

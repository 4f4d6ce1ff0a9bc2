/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The frame is that of arch/x86/include/asm/sigframe.h (struct rt_sigframe) and
 * arch/x86/include/uapi/asm/sigcontext.h (struct _fpx_sw_bytes): what rt_sigreturn(2)
 * reads is a stable interface.
 */
#include <cpuid.h>
#include <errno.h>
#include <linux/elf.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "daemon/tracee_private.h"

#define RED_ZONE 128
#define FP_MAGIC1 0x46505853u
#define FP_MAGIC2 0x46505845u
#define FP_SOFTWARE 464 /* where the legacy area has room for the kernel's words */
#define XSAVE_HEADER 512
#define XSAVE_AREAS_FROM 2
#define XSAVE_AREAS_TO 63
#define XSAVE_TILE_DATA 18 /* AMX: only a frame of a process that asked for it has it */
#define UC_FP_XSTATE 1
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4
#define SS_INVALID 0x7fff /* flags of a signal stack that rt_sigreturn leaves as it is */

struct software_bytes {
	uint32_t magic1;
	uint32_t extended_size;
	uint64_t features;
	uint32_t state_size;
	uint32_t padding[7];
};
_Static_assert(sizeof(struct software_bytes) == 48, "");

/* pretcode, then the kernel's struct ucontext, which has 8 bytes of signal mask where
 * glibc's has 128, then siginfo. */
struct frame {
	uint64_t restorer;
	uint64_t flags;
	uint64_t link;
	stack_t stack;
	uint64_t registers[23]; /* struct sigcontext: glibc's gregset_t */
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t mask;
	siginfo_t info;
};
_Static_assert(offsetof(struct frame, mask) - offsetof(struct frame, flags) ==
		       offsetof(ucontext_t, uc_sigmask),
	       "the kernel's ucontext");

int tracee_state_read(const struct tracee *tracee, const struct tracee_thread *thread,
		      struct error *error, struct tracee_state *ret)
{
	struct iovec area = {ret->xstate, sizeof(ret->xstate)};

	tracee_settle(tracee, thread, &ret->registers);
	if (ptrace(PTRACE_GETSIGMASK, thread->tid, sizeof(ret->mask), &ret->mask) < 0 ||
	    ptrace(PTRACE_GETREGSET, thread->tid, NT_X86_XSTATE, &area) < 0)
		return error_set(error, -errno, "cannot read the state of thread %d: %s",
				 (int)thread->tid, strerror(errno));
	ret->xstate_size = area.iov_len;
	return 0;
}

int tracee_state_write(const struct tracee_thread *thread, const struct tracee_state *state)
{
	struct iovec area = {(void *)(uintptr_t)state->xstate, state->xstate_size};
	uint64_t mask = state->mask;
	struct user_regs_struct registers = state->registers;

	/* The registers last: until then the frame puts all back. */
	if (ptrace(PTRACE_SETREGSET, thread->tid, NT_X86_XSTATE, &area) < 0 ||
	    ptrace(PTRACE_SETSIGMASK, thread->tid, sizeof(mask), &mask) < 0 ||
	    ptrace(PTRACE_SETREGS, thread->tid, NULL, &registers) < 0)
		return -errno;
	return 0;
}

/* Bytes of the vector registers in a frame of a process that has not asked for more. */
static size_t frame_xstate_size(size_t available)
{
	size_t size = XSAVE_HEADER + 64;
	unsigned int a, b, c, d;

	for (unsigned int i = XSAVE_AREAS_FROM; i < XSAVE_AREAS_TO; i++) {
		if (i == XSAVE_TILE_DATA || !__get_cpuid_count(0xd, i, &a, &b, &c, &d) || !a ||
		    (c & 1)) /* the kernel's own */
			continue;
		if (a + b > size && a + b <= available)
			size = a + b;
	}
	return size;
}

static void fill_registers(const struct user_regs_struct *from, uint64_t *to)
{
	to[REG_R8] = from->r8;
	to[REG_R9] = from->r9;
	to[REG_R10] = from->r10;
	to[REG_R11] = from->r11;
	to[REG_R12] = from->r12;
	to[REG_R13] = from->r13;
	to[REG_R14] = from->r14;
	to[REG_R15] = from->r15;
	to[REG_RDI] = from->rdi;
	to[REG_RSI] = from->rsi;
	to[REG_RBP] = from->rbp;
	to[REG_RBX] = from->rbx;
	to[REG_RDX] = from->rdx;
	to[REG_RAX] = from->rax;
	to[REG_RCX] = from->rcx;
	to[REG_RSP] = from->rsp;
	to[REG_RIP] = from->rip;
	to[REG_EFL] = from->eflags;
	to[REG_CSGSFS] = from->cs | from->ss << 48;
}

int tracee_frame_write(const struct tracee_thread *thread, const struct tracee_state *state,
		       uint64_t restorer, uint64_t *ret_stack)
{
	size_t size = frame_xstate_size(state->xstate_size);
	uint64_t fp = (state->registers.rsp - RED_ZONE - size - sizeof(uint32_t)) & ~63ULL;
	/* As at a function's entry: a word off 16. */
	uint64_t at = ((fp - sizeof(struct frame)) & ~15ULL) - 8;
	struct frame frame = {.restorer = restorer,
			      .flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
			      .stack = {.ss_flags = SS_INVALID},
			      .fpstate = fp,
			      .mask = state->mask};
	struct software_bytes software = {.magic1 = FP_MAGIC1,
					  .extended_size = (uint32_t)(size + sizeof(uint32_t)),
					  .state_size = (uint32_t)size};
	uint8_t bytes[XSTATE_MAX + sizeof(uint32_t)];
	uint32_t magic2 = FP_MAGIC2;

	memcpy(bytes, state->xstate, size);
	memcpy(&software.features, bytes + FP_SOFTWARE, sizeof(software.features));
	software.features &= ~(1ULL << XSAVE_TILE_DATA);
	memcpy(bytes + FP_SOFTWARE, &software, sizeof(software));
	memcpy(bytes + size, &magic2, sizeof(magic2));
	fill_registers(&state->registers, frame.registers);
	if (tracee_write(thread, fp, bytes, size + sizeof(magic2)) < 0 ||
	    tracee_write(thread, at, &frame, sizeof(frame)) < 0)
		return -EFAULT;
	*ret_stack = at;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Frames as hand-written code has them: the CFA in another register, in memory, the
 * return address in a register, rbp in a register, and a function without rules.
 * odd_X(rdi: turns) loops so often; odd_no_rule(rdi: ns, rsi: function) calls.
 */
#ifdef __x86_64__
	.text

#define BEGIN(name) .globl name; .type name, @function; .p2align 4; name:
#define END(name) .size name, . - name
#define LOOP 1: imul $1664525, %edx, %edx; dec %rdi; jnz 1b

/* As hand-written cryptography does: the old stack pointer in a scratch register. */
#define CFA_IN(name, reg)						  \
BEGIN(name)								; \
	.cfi_startproc							; \
	mov	%rsp, %reg						; \
	.cfi_def_cfa_register %reg					; \
	sub	$256, %rsp						; \
	and	$-64, %rsp						; \
	LOOP								; \
	mov	%reg, %rsp						; \
	.cfi_def_cfa_register %rsp					; \
	ret								; \
	.cfi_endproc							; \
END(name)

CFA_IN(odd_cfa_rax, rax)
CFA_IN(odd_cfa_r10, r10)
CFA_IN(odd_cfa_r11, r11)

BEGIN(odd_cfa_rbx)
	.cfi_startproc
	push	%rbx
	.cfi_def_cfa_offset 16
	.cfi_offset %rbx, -16
	mov	%rsp, %rbx
	.cfi_def_cfa_register %rbx
	and	$-64, %rsp
	sub	$128, %rsp
	LOOP
	mov	%rbx, %rsp
	.cfi_def_cfa_register %rsp
	pop	%rbx
	.cfi_def_cfa_offset 8
	.cfi_restore %rbx
	ret
	.cfi_endproc
END(odd_cfa_rbx)

/* The old stack pointer lies in the new frame. */
BEGIN(odd_cfa_saved)
	.cfi_startproc
	mov	%rsp, %rax
	.cfi_def_cfa_register %rax
	sub	$256, %rsp
	and	$-64, %rsp
	mov	%rax, 40(%rsp)
	/* DW_CFA_def_cfa_expression: DW_OP_breg7 40, DW_OP_deref, DW_OP_plus_uconst 8 */
	.cfi_escape 0x0f, 0x05, 0x77, 0x28, 0x06, 0x23, 0x08
	xor	%eax, %eax
	LOOP
	mov	40(%rsp), %rax
	.cfi_def_cfa %rax, 8
	mov	%rax, %rsp
	.cfi_def_cfa_register %rsp
	ret
	.cfi_endproc
END(odd_cfa_saved)

BEGIN(odd_ra_register)
	.cfi_startproc
	pop	%rcx
	.cfi_def_cfa_offset 0
	.cfi_register %rip, %rcx
	LOOP
	push	%rcx
	.cfi_def_cfa_offset 8
	.cfi_restore %rip
	ret
	.cfi_endproc
END(odd_ra_register)

BEGIN(odd_rbp_register)
	.cfi_startproc
	mov	%rbp, %r8
	.cfi_register %rbp, %r8
	mov	$-1, %rbp
	LOOP
	mov	%r8, %rbp
	.cfi_restore %rbp
	ret
	.cfi_endproc
END(odd_rbp_register)

BEGIN(odd_no_rule)
	push	%rbp
	mov	%rsp, %rbp
	call	*%rsi
	pop	%rbp
	ret
END(odd_no_rule)
#endif
	.section .note.GNU-stack, "", @progbits

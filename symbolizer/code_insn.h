/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One x86-64 instruction, reduced to what matters to unwinding: where the flow
 * goes, what becomes of the general registers, and what is written to memory by
 * way of one of them. Decoded by Zydis, the only place that knows it. Foreign
 * bytes: to be used in the worker only.
 *
 * Registers have their numbers in machine code: rax 0, rcx 1, rdx 2, rbx 3, rsp
 * 4, rbp 5, rsi 6, rdi 7, r8 to r15.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CODE_RAX = 0,
	CODE_RSP = 4,
	CODE_RBP = 5,
	CODE_RDI = 7,
	CODE_REGISTERS = 16,
	CODE_NO_REGISTER = 16
};

enum code_flow {
	CODE_NEXT,
	CODE_BRANCH, /* to `target`, or on */
	CODE_JUMP, /* to `target` */
	CODE_JUMP_FAR, /* by a register or memory */
	CODE_CALL, /* and back; `target` if `direct` */
	CODE_RETURN,
	CODE_STOP, /* ud2, hlt, int3 */
};

enum code_op {
	CODE_OTHER, /* all there is to know is in `written` and `stores` */
	CODE_PUSH, /* of register `source`, or of something else */
	CODE_POP, /* to register `reg`, or to somewhere else */
	CODE_MOVE, /* reg = source */
	CODE_ADD, /* reg = source + value: add, sub, lea, inc, dec */
	CODE_ALIGN, /* reg &= value, which clears low bits */
	CODE_ZERO, /* reg = 0 */
	CODE_LOAD, /* reg = [base + value] */
	CODE_STORE, /* [base + value] = source */
	CODE_LEAVE,
};

struct code_insn {
	uint8_t length;
	uint8_t flow; /* enum code_flow */
	uint8_t op; /* enum code_op */
	uint8_t reg, source, base; /* of the operation; CODE_NO_REGISTER */
	bool direct; /* there is a `target` */
	bool by_slot; /* CODE_JUMP_FAR: by a fixed place in memory, as a linker's stubs do */
	bool points; /* takes the address `target` */
	bool absolute; /* ... as a number: it may be one for its own sake */
	bool stores; /* writes `width` bytes at base + value; base CODE_NO_REGISTER: who knows where
		      */
	bool padding; /* nop, int3, or the zeros between sections */
	bool system_call;
	uint16_t width;
	uint16_t written; /* a bit for each register whose value is not known afterwards */
	int64_t value;
	uint64_t target; /* ELF address */
};

/* At most `size` bytes are looked at. False: no instruction, or cut off. */
bool code_insn_decode(const uint8_t *bytes, size_t size, uint64_t address, struct code_insn *ret);

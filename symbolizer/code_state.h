/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is known of a function's frame before one of its instructions, from what
 * the instructions before have done: which registers hold an address at a known
 * distance from the canonical frame address (CFA), and where the caller's rbp,
 * rbx and r12 to r15 are. Forward abstract interpretation; the rules that come out are those of
 * call frame information (bpf/unwind.h).
 *
 * A value is unknown unless every way to the instruction gives the same one, so
 * what is said is right on all of them. What it rests on besides: that a call
 * comes back with rsp as it was and rbx, rbp, r12 to r15 unchanged (System V ABI,
 * AMD64 supplement, 3.2.1), and that nobody writes to where those are saved by way of
 * an address that the function has lost sight of.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/unwind.h"
#include "symbolizer/code_insn.h"

enum code_base {
	CODE_UNKNOWN,
	CODE_CFA, /* CFA + offset */
	CODE_ALIGNED, /* what `and $-N`, or alloca, made of rsp, + offset; see `aligned` */
	CODE_CALLER, /* a register's at the function's entry; offset: its number */
	CODE_NULL, /* 0 */
};

struct code_value {
	int32_t offset;
	uint8_t base; /* enum code_base */
	uint8_t pad[3];
};

/* A place on the stack with something of use in it. */
struct code_slot {
	struct code_value at; /* CODE_CFA or CODE_ALIGNED */
	struct code_value value;
};

#define CODE_SLOTS_MAX 8u /* more are forgotten: six registers are saved once each */

struct code_state { /* all bytes are set: states are compared as such */
	struct code_value registers[CODE_REGISTERS];
	struct code_slot slots[CODE_SLOTS_MAX]; /* by place; unused ones are zero */
	uint32_t aligned; /* which instruction made CODE_ALIGNED: low bits of its address + 1 */
	uint8_t slot_count;
	bool called_system; /* a system call lies behind: clone(2) is one */
	bool outermost; /* nobody has called this code */
	uint8_t pad;
};

/* At a function's first instruction. */
void code_state_enter(struct code_state *state);
/* Makes it the state after the instruction at the address; of a call: after its return. */
void code_state_apply(struct code_state *state, const struct code_insn *insn, uint64_t address);
/* What two ways agree on. */
void code_state_meet(struct code_state *state, const struct code_state *other);
/* Distance from rsp up to the CFA; 0: not known. 8: as at the entry. */
int32_t code_state_depth(const struct code_state *state);
/* All bytes of the rule are set; UNWIND_CFA_NONE if too little is known. */
struct unwind_rule code_state_rule(const struct code_state *state);

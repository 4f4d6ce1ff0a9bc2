/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/cfi_expression.h"

#include <dwarf.h>
#include <stdbool.h>
#include <string.h>

#include "bpf/unwind.h"
#include "daemon/base/reader.h"
#include "symbolizer/leb128.h"

#define OPERATIONS_MAX 64
#define STACK_MAX 8
#define PLT_ENTRY_MASK 15 /* an entry has 16 bytes */
#define PLT_PUSH_SHIFT 3 /* what it pushes: 8 bytes */

/* What the stack holds, as far as it is known. All sums wrap, as DWARF's do. */
enum term_kind {
	TERM_CONSTANT, /* offset */
	TERM_REGISTER, /* reg + offset */
	TERM_DEREF, /* [reg + offset] + extra */
	TERM_PLT_SLOT, /* rip & 15 */
	TERM_PLT_PUSHED, /* (rip & 15) >= extra */
	TERM_PLT_BYTES, /* the same, times 8 */
	TERM_PLT, /* reg + offset + the same, times 8 */
};

struct term {
	enum term_kind kind;
	uint8_t reg;
	uint64_t offset, extra;
};

struct machine {
	struct reader reader;
	struct term stack[STACK_MAX];
	unsigned depth;
};

static bool push(struct machine *machine, struct term term)
{
	if (machine->depth == STACK_MAX)
		return false;
	machine->stack[machine->depth++] = term;
	return true;
}

static bool push_constant(struct machine *machine, uint64_t value)
{
	return push(machine, (struct term){.kind = TERM_CONSTANT, .offset = value});
}

static bool push_register(struct machine *machine, uint64_t reg, int64_t offset)
{
	return reg < UNWIND_REGISTERS && push(machine, (struct term){.kind = TERM_REGISTER,
								     .reg = (uint8_t)reg,
								     .offset = (uint64_t)offset});
}

static bool add_constant(struct term *term, uint64_t value)
{
	switch (term->kind) {
	case TERM_CONSTANT:
	case TERM_REGISTER:
	case TERM_PLT:
		term->offset += value;
		return true;
	case TERM_DEREF:
		term->extra += value;
		return true;
	default:
		return false;
	}
}

static bool dereference(struct machine *machine)
{
	struct term *top = machine->stack + machine->depth - 1;

	if (!machine->depth || top->kind != TERM_REGISTER)
		return false;
	top->kind = TERM_DEREF;
	top->extra = 0;
	return true;
}

/* a + b, where one is a constant; or rsp + offset and what a PLT entry pushed. */
static bool add(struct term *a, struct term b)
{
	if (b.kind == TERM_CONSTANT)
		return add_constant(a, b.offset);
	if (a->kind == TERM_CONSTANT) {
		uint64_t value = a->offset;

		*a = b;
		return add_constant(a, value);
	}
	if (a->kind == TERM_REGISTER && b.kind == TERM_PLT_BYTES) {
		a->kind = TERM_PLT;
		a->extra = b.extra;
		return true;
	}
	return false;
}

static bool is_constant(struct term term, uint64_t value)
{
	return term.kind == TERM_CONSTANT && term.offset == value;
}

/* Replaces the two at the top by what the operation makes of them. */
static bool binary(struct machine *machine, uint8_t opcode)
{
	struct term b, *a;

	if (machine->depth < 2)
		return false;
	b = machine->stack[--machine->depth];
	a = &machine->stack[machine->depth - 1];
	switch (opcode) {
	case DW_OP_plus:
		return add(a, b);
	case DW_OP_minus:
		return b.kind == TERM_CONSTANT && add_constant(a, -b.offset);
	case DW_OP_and:
		if (a->kind != TERM_REGISTER || a->reg != UNWIND_REGISTERS - 1 || a->offset ||
		    !is_constant(b, PLT_ENTRY_MASK))
			return false;
		a->kind = TERM_PLT_SLOT;
		return true;
	case DW_OP_ge:
		if (a->kind != TERM_PLT_SLOT || b.kind != TERM_CONSTANT ||
		    b.offset > PLT_ENTRY_MASK)
			return false;
		a->kind = TERM_PLT_PUSHED;
		a->extra = b.offset;
		return true;
	case DW_OP_shl:
		if (a->kind != TERM_PLT_PUSHED || !is_constant(b, PLT_PUSH_SHIFT))
			return false;
		a->kind = TERM_PLT_BYTES;
		return true;
	default:
		return false;
	}
}

/* False if the opcode is not one of a constant. */
static bool read_constant(struct reader *reader, uint8_t opcode, uint64_t *ret)
{
	switch (opcode) {
	case DW_OP_const1u:
		*ret = reader_u8(reader);
		return true;
	case DW_OP_const1s:
		*ret = (uint64_t)(int8_t)reader_u8(reader);
		return true;
	case DW_OP_const2u:
		*ret = reader_u16(reader);
		return true;
	case DW_OP_const2s:
		*ret = (uint64_t)(int16_t)reader_u16(reader);
		return true;
	case DW_OP_const4u:
		*ret = reader_u32(reader);
		return true;
	case DW_OP_const4s:
		*ret = (uint64_t)(int32_t)reader_u32(reader);
		return true;
	case DW_OP_constu:
		*ret = leb128_unsigned(reader);
		return true;
	case DW_OP_consts:
		*ret = (uint64_t)leb128_signed(reader);
		return true;
	default:
		*ret = (uint64_t)(opcode - DW_OP_lit0);
		return opcode >= DW_OP_lit0 && opcode <= DW_OP_lit31;
	}
}

static bool step(struct machine *machine)
{
	struct reader *reader = &machine->reader;
	uint8_t opcode = reader_u8(reader);
	uint64_t value;

	if (read_constant(reader, opcode, &value))
		return push_constant(machine, value);
	if (opcode >= DW_OP_breg0 && opcode <= DW_OP_breg31)
		return push_register(machine, opcode - DW_OP_breg0, leb128_signed(reader));
	switch (opcode) {
	case DW_OP_bregx:
		value = leb128_unsigned(reader);
		return push_register(machine, value, leb128_signed(reader));
	case DW_OP_plus_uconst:
		value = leb128_unsigned(reader);
		return machine->depth && add_constant(&machine->stack[machine->depth - 1], value);
	case DW_OP_deref:
		return dereference(machine);
	case DW_OP_nop:
		return true;
	default:
		return binary(machine, opcode);
	}
}

static enum cfi_expression_form form_of(const struct term *term)
{
	switch (term->kind) {
	case TERM_REGISTER:
		return CFI_EXPRESSION_LINEAR;
	case TERM_DEREF:
		return CFI_EXPRESSION_DEREF;
	case TERM_PLT:
		return term->reg == UNWIND_RSP ? CFI_EXPRESSION_PLT : CFI_EXPRESSION_OTHER;
	default:
		return CFI_EXPRESSION_OTHER;
	}
}

void cfi_expression_read(const void *bytes, size_t size, struct cfi_expression *ret)
{
	struct machine machine = {0};
	bool known = true;

	*ret = (struct cfi_expression){.first_opcode = size ? *(const uint8_t *)bytes : 0};
	reader_init(&machine.reader, bytes, size);
	for (int i = 0; i < OPERATIONS_MAX && known && reader_left(&machine.reader); i++)
		known = step(&machine);
	if (!known || !reader_ok(&machine.reader) || reader_left(&machine.reader) ||
	    machine.depth != 1)
		return;
	ret->form = form_of(&machine.stack[0]);
	ret->reg = machine.stack[0].reg;
	ret->offset = (int64_t)machine.stack[0].offset;
	ret->extra = (int64_t)machine.stack[0].extra;
}

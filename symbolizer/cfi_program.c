/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/cfi_program.h"

#include <dwarf.h>
#include <errno.h>
#include <stdbool.h>

#include "daemon/base/reader.h"
#include "symbolizer/leb128.h"

#define REMEMBERED_MAX 64 /* GCC and LLVM need one */

/* The two highest bits are an instruction, the others its operand. */
#define PRIMARY 0xc0
#define OPERAND 0x3f

/* Not in every dwarf.h. */
#define CFA_MIPS_ADVANCE_LOC8 0x1d
#define CFA_GNU_WINDOW_SAVE 0x2d /* no operand; of SPARC and ARM */
#define CFA_GNU_ARGS_SIZE 0x2e
#define CFA_GNU_NEGATIVE_OFFSET_EXTENDED 0x2f

struct machine {
	const struct cfi_section *section;
	const struct cfi_cie *cie;
	const struct cfi_run *run; /* NULL in a CIE */
	const struct cfi_state *initial; /* what DW_CFA_restore goes back to */
	struct reader reader; /* of the section as far as the program's end */
	struct cfi_state state;
	struct cfi_state remembered[REMEMBERED_MAX];
	unsigned depth;
	uint64_t location; /* ELF address of the row under way */
	bool unknown; /* an instruction that is not known was met */
	uint8_t opcode; /* the last one */
};

static void init(struct machine *machine, const struct cfi_section *section,
		 const struct cfi_bytes *program)
{
	machine->section = section;
	machine->depth = 0;
	machine->location = 0;
	machine->unknown = false;
	/* Offsets in the reader are offsets in the section. */
	reader_init(&machine->reader, section->bytes, (size_t)program->offset + program->size);
	machine->reader.at = program->offset;
}

/* Where the register's value is noted; NULL for one that is of no interest. */
static const struct cfi_value *column(const struct machine *machine, const struct cfi_state *state,
				      uint64_t reg)
{
	if (reg == machine->cie->ra_register)
		return &state->ra;
	if (reg == UNWIND_RBP)
		return &state->rbp;
	if (reg == UNWIND_RBX)
		return &state->saved[0];
	return reg >= UNWIND_R12 && reg <= UNWIND_R15 ? &state->saved[reg - UNWIND_R12 + 1] : NULL;
}

static struct cfi_value *own_column(struct machine *machine, uint64_t reg)
{
	return (struct cfi_value *)column(machine, &machine->state, reg);
}

static void set(struct machine *machine, uint64_t reg, struct cfi_value value)
{
	struct cfi_value *place = own_column(machine, reg);

	if (place)
		*place = value;
}

static void set_kind(struct machine *machine, uint64_t reg, enum cfi_value_kind kind)
{
	set(machine, reg, (struct cfi_value){.kind = kind});
}

/* Offsets are in units of the data alignment; a sum that wraps means nothing. */
static int64_t unfactor(const struct machine *machine, uint64_t factored)
{
	return (int64_t)(factored * (uint64_t)machine->cie->data_alignment);
}

static void set_offset(struct machine *machine, uint64_t reg, enum cfi_value_kind kind,
		       uint64_t factored)
{
	set(machine, reg, (struct cfi_value){.kind = kind, .number = unfactor(machine, factored)});
}

static void restore(struct machine *machine, uint64_t reg)
{
	struct cfi_value *place = own_column(machine, reg);

	if (!place)
		return;
	if (!machine->initial)
		place->kind = CFI_UNSET;
	else
		*place = *column(machine, machine->initial, reg);
}

static struct cfi_bytes read_block(struct machine *machine)
{
	struct reader *reader = &machine->reader;
	uint64_t size = leb128_unsigned(reader);
	struct cfi_bytes block = {.offset = (uint32_t)reader->at};

	if (reader_take(reader, size))
		block.size = (uint32_t)size;
	return block;
}

static void set_expression(struct machine *machine, enum cfi_value_kind kind)
{
	uint64_t reg = leb128_unsigned(&machine->reader);

	set(machine, reg, (struct cfi_value){.kind = kind, .expression = read_block(machine)});
}

static void set_cfa(struct machine *machine, uint64_t reg, int64_t offset)
{
	machine->state.cfa = (struct cfi_value){.kind = CFI_REGISTER, .reg = reg, .number = offset};
}

/* The half that is not said stays as it was, even from before an expression:
 * unwinders of GCC and LLVM do so, and assembler writers count on it. */
static void set_cfa_register(struct machine *machine, uint64_t reg)
{
	machine->state.cfa.kind = CFI_REGISTER;
	machine->state.cfa.reg = reg;
}

static void set_cfa_offset(struct machine *machine, int64_t offset)
{
	machine->state.cfa.number = offset;
}

static void set_cfa_expression(struct machine *machine)
{
	machine->state.cfa.kind = CFI_EXPRESSION;
	machine->state.cfa.expression = read_block(machine);
}

static void remember(struct machine *machine)
{
	if (machine->depth == REMEMBERED_MAX)
		reader_fail(&machine->reader, "too many states to remember");
	else
		machine->remembered[machine->depth++] = machine->state;
}

static void restore_state(struct machine *machine)
{
	if (!machine->depth)
		reader_fail(&machine->reader, "a state to go back to that was never remembered");
	else
		machine->state = machine->remembered[--machine->depth];
}

static int emit(struct machine *machine, uint64_t until)
{
	const struct cfi_run *run = machine->run;
	struct unwind_rule rule;
	uint64_t start = machine->location > run->from ? machine->location : run->from;

	if (until <= start || start >= run->to)
		return 0;
	if (machine->unknown)
		rule = cfi_rule_plain(UNWIND_CFA_UNSUPPORTED, machine->opcode);
	else
		cfi_rule_of_state(machine->section, &machine->state, run->cie->signal, &rule);
	return run->row(run->context, start, &rule);
}

static int move_to(struct machine *machine, uint64_t location)
{
	int r;

	if (!reader_ok(&machine->reader))
		return 0;
	if (!machine->run || location < machine->location) {
		reader_fail(&machine->reader, "an address that goes back, or in a CIE");
		return 0;
	}
	r = emit(machine, location);
	machine->location = location;
	return r;
}

static int advance(struct machine *machine, uint64_t delta)
{
	uint64_t bytes, location;

	if (__builtin_mul_overflow(delta, machine->cie->code_alignment, &bytes) ||
	    __builtin_add_overflow(machine->location, bytes, &location)) {
		reader_fail(&machine->reader, "an address beyond the address space");
		return 0;
	}
	return move_to(machine, location);
}

/* Instructions that say where a register was saved. */
static void step_register(struct machine *machine, uint8_t opcode)
{
	struct reader *reader = &machine->reader;
	uint64_t reg = leb128_unsigned(reader);

	switch (opcode) {
	case DW_CFA_offset_extended:
		set_offset(machine, reg, CFI_OFFSET, leb128_unsigned(reader));
		break;
	case DW_CFA_offset_extended_sf:
		set_offset(machine, reg, CFI_OFFSET, (uint64_t)leb128_signed(reader));
		break;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		set_offset(machine, reg, CFI_OFFSET, -leb128_unsigned(reader));
		break;
	case DW_CFA_val_offset:
		set_offset(machine, reg, CFI_VAL_OFFSET, leb128_unsigned(reader));
		break;
	case DW_CFA_val_offset_sf:
		set_offset(machine, reg, CFI_VAL_OFFSET, (uint64_t)leb128_signed(reader));
		break;
	case DW_CFA_register:
		set(machine, reg,
		    (struct cfi_value){.kind = CFI_REGISTER, .reg = leb128_unsigned(reader)});
		break;
	case DW_CFA_restore_extended:
		restore(machine, reg);
		break;
	case DW_CFA_undefined:
		set_kind(machine, reg, CFI_UNDEFINED);
		break;
	default: /* DW_CFA_same_value */
		set_kind(machine, reg, CFI_SAME);
	}
}

/* Those that define the CFA; false if it is none of them. */
static bool step_cfa(struct machine *machine, uint8_t opcode)
{
	struct reader *reader = &machine->reader;
	uint64_t reg;

	switch (opcode) {
	case DW_CFA_def_cfa:
		reg = leb128_unsigned(reader);
		set_cfa(machine, reg, (int64_t)leb128_unsigned(reader));
		return true;
	case DW_CFA_def_cfa_sf:
		reg = leb128_unsigned(reader);
		set_cfa(machine, reg, unfactor(machine, (uint64_t)leb128_signed(reader)));
		return true;
	case DW_CFA_def_cfa_register:
		set_cfa_register(machine, leb128_unsigned(reader));
		return true;
	case DW_CFA_def_cfa_offset:
		set_cfa_offset(machine, (int64_t)leb128_unsigned(reader));
		return true;
	case DW_CFA_def_cfa_offset_sf:
		set_cfa_offset(machine, unfactor(machine, (uint64_t)leb128_signed(reader)));
		return true;
	case DW_CFA_def_cfa_expression:
		set_cfa_expression(machine);
		return true;
	default:
		return false;
	}
}

/* DW_CFA_set_loc's address is encoded as the FDE's own in .eh_frame, where no
 * compiler uses it. */
static int set_location(struct machine *machine)
{
	if (machine->section->kind == CFI_DEBUG_FRAME)
		return move_to(machine, reader_u64(&machine->reader));
	machine->unknown = true;
	return 0;
}

static int step_extended(struct machine *machine, uint8_t opcode)
{
	struct reader *reader = &machine->reader;

	switch (opcode) {
	case DW_CFA_nop:
	case CFA_GNU_WINDOW_SAVE:
		return 0;
	case DW_CFA_set_loc:
		return set_location(machine);
	case DW_CFA_advance_loc1:
		return advance(machine, reader_u8(reader));
	case DW_CFA_advance_loc2:
		return advance(machine, reader_u16(reader));
	case DW_CFA_advance_loc4:
		return advance(machine, reader_u32(reader));
	case CFA_MIPS_ADVANCE_LOC8:
		return advance(machine, reader_u64(reader));
	case DW_CFA_remember_state:
		remember(machine);
		return 0;
	case DW_CFA_restore_state:
		restore_state(machine);
		return 0;
	case DW_CFA_expression:
		set_expression(machine, CFI_EXPRESSION);
		return 0;
	case DW_CFA_val_expression:
		set_expression(machine, CFI_VAL_EXPRESSION);
		return 0;
	case CFA_GNU_ARGS_SIZE: /* for landing pads only */
		leb128_unsigned(reader);
		return 0;
	case DW_CFA_offset_extended:
	case DW_CFA_offset_extended_sf:
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
	case DW_CFA_register:
	case DW_CFA_restore_extended:
	case DW_CFA_undefined:
	case DW_CFA_same_value:
		step_register(machine, opcode);
		return 0;
	default:
		machine->unknown = !step_cfa(machine, opcode);
		return 0;
	}
}

static int step(struct machine *machine)
{
	uint8_t byte = reader_u8(&machine->reader);

	machine->opcode = byte;
	switch (byte & PRIMARY) {
	case DW_CFA_advance_loc:
		return advance(machine, byte & OPERAND);
	case DW_CFA_offset:
		set_offset(machine, byte & OPERAND, CFI_OFFSET, leb128_unsigned(&machine->reader));
		return 0;
	case DW_CFA_restore:
		restore(machine, byte & OPERAND);
		return 0;
	default:
		return step_extended(machine, byte);
	}
}

static int damaged(const struct machine *machine, struct error *error)
{
	return error_set(error, -EINVAL, "section %s, offset 0x%zx: %s", machine->section->name,
			 machine->reader.bad_at, machine->reader.bad);
}

int cfi_program_start(const struct cfi_section *section, const struct cfi_cie *cie,
		      struct error *error, struct cfi_state *ret)
{
	struct machine machine = {.cie = cie};
	int r = 0;

	init(&machine, section, &cie->program);
	while (!r && !machine.unknown && reader_left(&machine.reader))
		r = step(&machine);
	if (!reader_ok(&machine.reader))
		return damaged(&machine, error);
	if (machine.unknown)
		return error_set(error, -EINVAL,
				 "section %s, offset 0x%zx: a CIE with the unknown instruction "
				 "0x%02x",
				 section->name, machine.reader.at - 1, machine.opcode);
	*ret = machine.state;
	return r;
}

int cfi_program_run(const struct cfi_run *run, struct error *error)
{
	struct machine machine; /* not cleared: the remembered states are large */
	int r = 0;

	machine.cie = run->cie;
	machine.run = run;
	machine.initial = run->start;
	machine.state = *run->start;
	init(&machine, run->section, &run->fde->program);
	machine.location = run->fde->start;
	while (!r && !machine.unknown && machine.location < run->to && reader_left(&machine.reader))
		r = step(&machine);
	if (!reader_ok(&machine.reader))
		return damaged(&machine, error);
	return r ? r : emit(&machine, run->to);
}

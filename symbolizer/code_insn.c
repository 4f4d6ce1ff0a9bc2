/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/code_insn.h"

#include <string.h>

#include <Zydis/Zydis.h>

#define WORD 64 /* bits of what push, pop and addresses have */

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* Of a 64-bit general register; CODE_NO_REGISTER for all others. */
static uint8_t number_of(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		return (uint8_t)(reg - ZYDIS_REGISTER_RAX);
	return CODE_NO_REGISTER;
}

static uint8_t register_of(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_REGISTER ? number_of(operand->reg.value)
							    : (uint8_t)CODE_NO_REGISTER;
}

static bool is_immediate(const ZydisDecodedOperand *operand)
{
	return operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static bool is_writing(const ZydisDecodedOperand *operand)
{
	return (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

/* [base + displacement] and nothing else; false for all other places. */
static bool place_of(const struct decoded *decoded, const ZydisDecodedOperand *operand,
		     uint8_t *base, int64_t *value)
{
	uint8_t number;

	if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    operand->mem.index != ZYDIS_REGISTER_NONE ||
	    operand->mem.segment == ZYDIS_REGISTER_FS || operand->mem.segment == ZYDIS_REGISTER_GS)
		return false;
	number = number_of(operand->mem.base);
	if (number == CODE_NO_REGISTER)
		return false;
	*base = number;
	*value = decoded->insn.raw.disp.size ? operand->mem.disp.value : 0;
	return true;
}

/* What the operands say by themselves, whatever the instruction is. */
static void note_writes(const struct decoded *decoded, struct code_insn *ret)
{
	for (ZyanU8 i = 0; i < decoded->insn.operand_count; i++) {
		const ZydisDecodedOperand *operand = &decoded->operands[i];
		uint8_t number;

		if (!is_writing(operand))
			continue;
		if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			number = number_of(ZydisRegisterGetLargestEnclosing(
				ZYDIS_MACHINE_MODE_LONG_64, operand->reg.value));
			if (number != CODE_NO_REGISTER)
				ret->written |= (uint16_t)(1u << number);
		} else if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
			   operand->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN) {
			ret->stores = true;
			ret->width = (uint16_t)((operand->size + 7) / 8);
			if (!place_of(decoded, operand, &ret->base, &ret->value))
				ret->base = CODE_NO_REGISTER;
		}
	}
}

static void set_target(const struct decoded *decoded, uint64_t address, struct code_insn *ret)
{
	const ZydisDecodedOperand *operand = &decoded->operands[0];
	ZyanU64 target;

	ret->direct =
		is_immediate(operand) && operand->imm.is_relative &&
		ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&decoded->insn, operand, address, &target));
	if (ret->direct)
		ret->target = target;
}

static void set_flow(const struct decoded *decoded, uint64_t address, struct code_insn *ret)
{
	switch (decoded->insn.meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		set_target(decoded, address, ret);
		/* xbegin goes on somewhere else only when its transaction fails. */
		ret->flow = ret->direct ? CODE_BRANCH : CODE_NEXT;
		return;
	case ZYDIS_CATEGORY_UNCOND_BR:
		set_target(decoded, address, ret);
		ret->flow = ret->direct ? CODE_JUMP : CODE_JUMP_FAR;
		ret->by_slot = decoded->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			       decoded->operands[0].mem.base == ZYDIS_REGISTER_RIP;
		return;
	case ZYDIS_CATEGORY_CALL:
		set_target(decoded, address, ret);
		ret->flow = CODE_CALL;
		return;
	case ZYDIS_CATEGORY_RET:
		ret->flow = CODE_RETURN;
		ret->written = 0; /* its state is that before it: nothing follows */
		return;
	case ZYDIS_CATEGORY_SYSRET:
		ret->flow = CODE_STOP;
		return;
	default:
		break;
	}
	switch (decoded->insn.mnemonic) {
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		ret->flow = CODE_STOP;
		return;
	default:
		return;
	}
}

/* The operation has its own word for what becomes of this register. */
static void set_op(struct code_insn *insn, enum code_op op, uint8_t reg)
{
	insn->op = (uint8_t)op;
	insn->reg = reg;
	if (reg != CODE_NO_REGISTER)
		insn->written &= (uint16_t) ~(1u << reg);
}

static void set_push(const struct decoded *decoded, struct code_insn *ret)
{
	if (decoded->insn.operand_width != WORD)
		return;
	set_op(ret, CODE_PUSH, CODE_RSP);
	ret->stores = false; /* state_push() knows where */
	ret->source = register_of(&decoded->operands[0]);
}

/* `pop rsp` is nothing that anybody writes: its rsp stays unknown. */
static void set_pop(const struct decoded *decoded, struct code_insn *ret)
{
	uint8_t reg = register_of(&decoded->operands[0]);

	if (decoded->insn.operand_width != WORD || reg == CODE_RSP)
		return;
	ret->written &= (uint16_t) ~(1u << CODE_RSP);
	set_op(ret, CODE_POP, reg);
}

static void set_move(const struct decoded *decoded, struct code_insn *ret)
{
	const ZydisDecodedOperand *to = &decoded->operands[0], *from = &decoded->operands[1];
	uint8_t reg = register_of(to), source = register_of(from);

	if (is_immediate(from) && to->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		ret->points = ret->absolute = true;
		ret->target = from->imm.value.u;
	} else if (reg != CODE_NO_REGISTER && source != CODE_NO_REGISTER) {
		set_op(ret, CODE_MOVE, reg);
		ret->source = source;
	} else if (reg != CODE_NO_REGISTER && place_of(decoded, from, &ret->base, &ret->value)) {
		set_op(ret, CODE_LOAD, reg);
	} else if (source != CODE_NO_REGISTER && ret->stores && ret->base != CODE_NO_REGISTER) {
		set_op(ret, CODE_STORE, CODE_NO_REGISTER);
		ret->source = source;
	}
}

static void set_sum(const struct decoded *decoded, int sign, struct code_insn *ret)
{
	uint8_t reg = register_of(&decoded->operands[0]);

	if (reg == CODE_NO_REGISTER || !is_immediate(&decoded->operands[1]))
		return;
	set_op(ret, CODE_ADD, reg);
	ret->source = reg;
	/* At most 32 bits, sign-extended: it can be negated. */
	ret->value = sign * decoded->operands[1].imm.value.s;
}

static void set_lea(const struct decoded *decoded, uint64_t address, struct code_insn *ret)
{
	uint8_t reg = register_of(&decoded->operands[0]);

	if (reg == CODE_NO_REGISTER || decoded->insn.address_width != WORD)
		return;
	if (decoded->operands[1].mem.base == ZYDIS_REGISTER_RIP) {
		ret->points = true;
		ret->target = address + decoded->insn.length +
			      (uint64_t)decoded->operands[1].mem.disp.value;
	}
	if (!place_of(decoded, &decoded->operands[1], &ret->source, &ret->value))
		return;
	set_op(ret, CODE_ADD, reg);
}

static void set_and(const struct decoded *decoded, struct code_insn *ret)
{
	uint8_t reg = register_of(&decoded->operands[0]);
	int64_t mask;

	if (reg == CODE_NO_REGISTER || !is_immediate(&decoded->operands[1]))
		return;
	mask = decoded->operands[1].imm.value.s;
	if (mask >= 0 || (-mask & (-mask - 1)))
		return; /* not one that rounds down */
	set_op(ret, CODE_ALIGN, reg);
	ret->value = mask;
}

/* xor or sub of a register and itself; the 32-bit form clears all of it. */
static void set_zero(const struct decoded *decoded, struct code_insn *ret)
{
	const ZydisDecodedOperand *to = &decoded->operands[0], *from = &decoded->operands[1];
	ZydisRegister whole;

	if (to->type != ZYDIS_OPERAND_TYPE_REGISTER || from->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    to->reg.value != from->reg.value || to->size < 32)
		return;
	whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, to->reg.value);
	if (number_of(whole) != CODE_NO_REGISTER)
		set_op(ret, CODE_ZERO, number_of(whole));
}

/* nop, int3, and the nops with another spelling that assemblers pad with. */
static bool is_padding(const struct decoded *decoded)
{
	const ZydisDecodedOperand *operands = decoded->operands;

	switch (decoded->insn.mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_INT3:
		return true;
	case ZYDIS_MNEMONIC_XCHG:
		return register_of(&operands[0]) == CODE_RAX &&
		       register_of(&operands[1]) == CODE_RAX;
	case ZYDIS_MNEMONIC_LEA: /* lea 0(%rsi),%rsi */
		return register_of(&operands[0]) != CODE_NO_REGISTER &&
		       operands[1].mem.base == operands[0].reg.value &&
		       operands[1].mem.index == ZYDIS_REGISTER_NONE && !operands[1].mem.disp.value;
	case ZYDIS_MNEMONIC_ADD: /* 00 00 */
		return decoded->insn.opcode == 0 && decoded->insn.length == 2 &&
		       decoded->insn.raw.modrm.offset && !decoded->insn.raw.modrm.mod &&
		       !decoded->insn.raw.modrm.reg && !decoded->insn.raw.modrm.rm;
	default:
		return false;
	}
}

static void set_operation(const struct decoded *decoded, uint64_t address, struct code_insn *ret)
{
	switch (decoded->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHFQ:
		set_push(decoded, ret);
		break;
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_POPFQ:
		set_pop(decoded, ret);
		break;
	case ZYDIS_MNEMONIC_MOV:
		set_move(decoded, ret);
		break;
	case ZYDIS_MNEMONIC_LEA:
		set_lea(decoded, address, ret);
		break;
	case ZYDIS_MNEMONIC_ADD:
		set_sum(decoded, 1, ret);
		break;
	case ZYDIS_MNEMONIC_SUB:
		set_sum(decoded, -1, ret);
		set_zero(decoded, ret);
		break;
	case ZYDIS_MNEMONIC_XOR:
		set_zero(decoded, ret);
		break;
	case ZYDIS_MNEMONIC_AND:
		set_and(decoded, ret);
		break;
	case ZYDIS_MNEMONIC_LEAVE:
		set_op(ret, CODE_LEAVE, CODE_RSP);
		set_op(ret, CODE_LEAVE, CODE_RBP);
		break;
	case ZYDIS_MNEMONIC_SYSCALL:
		ret->system_call = true;
		break;
	default:
		break;
	}
}

bool code_insn_decode(const uint8_t *bytes, size_t size, uint64_t address, struct code_insn *ret)
{
	struct code_insn insn = {
		.reg = CODE_NO_REGISTER, .source = CODE_NO_REGISTER, .base = CODE_NO_REGISTER};
	struct decoded decoded;
	ZydisDecoder decoder;

	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    !ZYAN_SUCCESS(
		    ZydisDecoderDecodeFull(&decoder, bytes, size, &decoded.insn, decoded.operands)))
		return false;
	insn.length = decoded.insn.length;
	note_writes(&decoded, &insn);
	set_flow(&decoded, address, &insn);
	set_operation(&decoded, address, &insn);
	insn.padding = is_padding(&decoded);
	*ret = insn;
	return true;
}

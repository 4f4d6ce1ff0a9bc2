/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/code_state.h"

#include <string.h>

#define WORD 8
#define AT_ENTRY (-WORD) /* rsp from the CFA: the return address lies there */
#define FRAME_MAX (1 << 30) /* offsets further away are not followed */

/* Registers that a call may change (System V ABI, AMD64 supplement, figure 3.4). */
#define CALL_CLOBBERS 0x0fc7u /* rax rcx rdx rsi rdi r8 to r11 */

static const struct code_value unknown = {.base = CODE_UNKNOWN};

static struct code_value value_of(enum code_base base, int32_t offset)
{
	return (struct code_value){.base = (uint8_t)base, .offset = offset};
}

static bool same(struct code_value one, struct code_value other)
{
	return one.base == other.base && one.offset == other.offset;
}

static bool is_address(struct code_value value)
{
	return value.base == CODE_CFA || value.base == CODE_ALIGNED;
}

static struct code_value plus(struct code_value value, int64_t more)
{
	if (!is_address(value) || more < -FRAME_MAX || more > FRAME_MAX ||
	    value.offset + more < -FRAME_MAX || value.offset + more > FRAME_MAX)
		return unknown;
	return value_of(value.base, (int32_t)(value.offset + more));
}

/* Those that a function gives back as they were (figure 3.4), but rsp and rbp: in the
 * order of a rule's `saved`. */
static const uint8_t kept[UNWIND_SAVED_COUNT] = {3, 12, 13, 14, 15};

static bool is_callers(struct code_value value, uint8_t reg)
{
	return same(value, value_of(CODE_CALLER, reg));
}

void code_state_enter(struct code_state *state)
{
	memset(state, 0, sizeof(*state));
	state->registers[CODE_RSP] = value_of(CODE_CFA, AT_ENTRY);
	state->registers[CODE_RBP] = value_of(CODE_CALLER, CODE_RBP);
	for (size_t i = 0; i < UNWIND_SAVED_COUNT; i++)
		state->registers[kept[i]] = value_of(CODE_CALLER, kept[i]);
}

/* Above its return address a frame has nothing: who is there has left it. */
static void set_register(struct code_state *state, uint8_t reg, struct code_value value)
{
	if (reg == CODE_RSP && value.base == CODE_CFA && value.offset > AT_ENTRY)
		value = unknown;
	if (reg < CODE_REGISTERS)
		state->registers[reg] = value;
}

static struct code_value get_register(const struct code_state *state, uint8_t reg)
{
	return reg < CODE_REGISTERS ? state->registers[reg] : unknown;
}

/* --- slots ------------------------------------------------------------------- */

static void remove_slot(struct code_state *state, uint8_t number)
{
	state->slot_count--;
	memmove(&state->slots[number], &state->slots[number + 1],
		(state->slot_count - number) * sizeof(*state->slots));
	memset(&state->slots[state->slot_count], 0, sizeof(*state->slots));
}

/* Whatever a write of so many bytes there would change. */
static void forget_place(struct code_state *state, struct code_value at, uint16_t width)
{
	for (uint8_t i = state->slot_count; i-- > 0;) {
		const struct code_value *slot = &state->slots[i].at;

		if (slot->base == at.base && slot->offset > at.offset - WORD &&
		    slot->offset < at.offset + width)
			remove_slot(state, i);
	}
}

/* What lies below rsp belongs to whoever is called. */
static void forget_below(struct code_state *state, struct code_value rsp)
{
	for (uint8_t i = state->slot_count; i-- > 0;) {
		if (state->slots[i].at.base == rsp.base && state->slots[i].at.offset < rsp.offset)
			remove_slot(state, i);
	}
}

/* The caller's registers, and, where the CFA is lost to alignment, the way back to it. */
static bool is_worth_keeping(struct code_value at, struct code_value value)
{
	return value.base == CODE_CALLER || (value.base == CODE_CFA && at.base == CODE_ALIGNED);
}

static bool is_before(struct code_value one, struct code_value other)
{
	return one.base != other.base ? one.base < other.base : one.offset < other.offset;
}

static void store(struct code_state *state, struct code_value at, struct code_value value)
{
	uint8_t place = 0;

	if (!is_address(at))
		return;
	forget_place(state, at, WORD);
	if (!is_worth_keeping(at, value) || state->slot_count == CODE_SLOTS_MAX)
		return;
	while (place < state->slot_count && is_before(state->slots[place].at, at))
		place++;
	memmove(&state->slots[place + 1], &state->slots[place],
		(state->slot_count - place) * sizeof(*state->slots));
	state->slots[place] = (struct code_slot){.at = at, .value = value};
	state->slot_count++;
}

static struct code_value load(const struct code_state *state, struct code_value at)
{
	for (uint8_t i = 0; i < state->slot_count; i++) {
		if (is_address(at) && same(state->slots[i].at, at))
			return state->slots[i].value;
	}
	return unknown;
}

/* The first place that holds the caller's register; NULL. */
static const struct code_slot *find_saved(const struct code_state *state, uint8_t reg)
{
	for (uint8_t i = 0; i < state->slot_count; i++) {
		if (is_callers(state->slots[i].value, reg))
			return &state->slots[i];
	}
	return NULL;
}

/* --- instructions ------------------------------------------------------------ */

static void push(struct code_state *state, struct code_value value)
{
	struct code_value at = plus(get_register(state, CODE_RSP), -WORD);

	set_register(state, CODE_RSP, at);
	store(state, at, value);
}

static void pop(struct code_state *state, uint8_t reg)
{
	struct code_value at = get_register(state, CODE_RSP);

	set_register(state, reg, load(state, at));
	set_register(state, CODE_RSP, plus(at, WORD));
}

static void forget_aligned(struct code_state *state)
{
	for (size_t i = 0; i < CODE_REGISTERS; i++) {
		if (state->registers[i].base == CODE_ALIGNED)
			state->registers[i] = unknown;
	}
	for (uint8_t i = state->slot_count; i-- > 0;) {
		if (state->slots[i].at.base == CODE_ALIGNED ||
		    state->slots[i].value.base == CODE_ALIGNED)
			remove_slot(state, i);
	}
	state->aligned = 0;
}

/* A mask of a number is no alignment of the stack, and must not undo one. */
static void align(struct code_state *state, uint8_t reg, uint64_t address)
{
	if (reg != CODE_RSP && !is_address(get_register(state, reg))) {
		set_register(state, reg, unknown);
		return;
	}
	forget_aligned(state);
	state->aligned = (uint32_t)address + 1;
	set_register(state, reg, value_of(CODE_ALIGNED, 0));
}

/* Clearing a register that is the caller's and saved nowhere is what the ABI asks
 * of a thread's first code, so that chains of frame pointers end there (3.4.1);
 * behind a system call, for it may do other things in other places. */
static void zero(struct code_state *state, uint8_t reg)
{
	if (reg == CODE_RBP && state->called_system && !find_saved(state, reg) &&
	    is_callers(get_register(state, reg), reg))
		state->outermost = true;
	set_register(state, reg, value_of(CODE_NULL, 0));
}

static void leave(struct code_state *state)
{
	set_register(state, CODE_RSP, get_register(state, CODE_RBP));
	pop(state, CODE_RBP);
}

static void operate(struct code_state *state, const struct code_insn *insn, uint64_t address)
{
	struct code_value source = get_register(state, insn->source);
	struct code_value at = plus(get_register(state, insn->base), insn->value);

	switch ((enum code_op)insn->op) {
	case CODE_PUSH:
		push(state, source);
		break;
	case CODE_POP:
		pop(state, insn->reg);
		break;
	case CODE_MOVE:
		set_register(state, insn->reg, source);
		break;
	case CODE_ADD:
		set_register(state, insn->reg, plus(source, insn->value));
		break;
	case CODE_ALIGN:
		align(state, insn->reg, address);
		break;
	case CODE_ZERO:
		zero(state, insn->reg);
		break;
	case CODE_LOAD:
		set_register(state, insn->reg, load(state, at));
		break;
	case CODE_STORE:
		store(state, at, source);
		break;
	case CODE_LEAVE:
		leave(state);
		break;
	case CODE_OTHER:
		break;
	}
}

/* rsp went where it cannot be followed (alloca, another stack): whatever it is now
 * is a point to count from, so that what is stored from there on can be found. */
static void start_anew(struct code_state *state, uint64_t address)
{
	state->aligned = (uint32_t)address + 1;
	set_register(state, CODE_RSP, value_of(CODE_ALIGNED, 0));
}

void code_state_apply(struct code_state *state, const struct code_insn *insn, uint64_t address)
{
	bool known = is_address(get_register(state, CODE_RSP));
	uint16_t written = insn->written;

	if (insn->flow == CODE_CALL) {
		forget_below(state, get_register(state, CODE_RSP));
		written = CALL_CLOBBERS;
	} else if (insn->stores && insn->op != CODE_STORE) {
		forget_place(state, plus(get_register(state, insn->base), insn->value),
			     insn->width);
	}
	operate(state, insn, address);
	for (size_t i = 0; i < CODE_REGISTERS; i++) {
		if (written & 1u << i)
			state->registers[i] = unknown;
	}
	if (known && !is_address(get_register(state, CODE_RSP)) && insn->op != CODE_POP &&
	    !state->aligned)
		start_anew(state, address);
	state->called_system |= insn->system_call;
}

void code_state_meet(struct code_state *state, const struct code_state *other)
{
	if (state->aligned != other->aligned)
		forget_aligned(state);
	for (size_t i = 0; i < CODE_REGISTERS; i++) {
		if (!same(state->registers[i], other->registers[i]))
			state->registers[i] = unknown;
	}
	for (uint8_t i = state->slot_count; i-- > 0;) {
		if (!same(load(other, state->slots[i].at), state->slots[i].value))
			remove_slot(state, i);
	}
	state->called_system &= other->called_system;
	state->outermost &= other->outermost;
}

int32_t code_state_depth(const struct code_state *state)
{
	struct code_value rsp = get_register(state, CODE_RSP);

	return rsp.base == CODE_CFA ? -rsp.offset : 0;
}

/* --- rules ------------------------------------------------------------------- */

/* Machine code's numbers to DWARF's (AMD64 supplement, figure 3.36). */
static const uint8_t dwarf_numbers[CODE_REGISTERS] = {0, 2, 1,  3,  7,  6,  4,  5,
						      8, 9, 10, 11, 12, 13, 14, 15};

static bool set_by_register(const struct code_state *state, uint8_t reg, struct unwind_rule *rule)
{
	struct code_value value = get_register(state, reg);

	if (value.base != CODE_CFA)
		return false;
	rule->cfa = UNWIND_CFA_REGISTER;
	rule->reg = dwarf_numbers[reg];
	rule->offset = -value.offset;
	return true;
}

/* The CFA, or an address near it, was stored on a stack that was aligned since. */
static bool set_by_slot(const struct code_state *state, uint8_t reg, struct unwind_rule *rule)
{
	struct code_value value = get_register(state, reg);

	for (uint8_t i = 0; i < state->slot_count && value.base == CODE_ALIGNED; i++) {
		const struct code_slot *slot = &state->slots[i];

		if (slot->at.base != CODE_ALIGNED || slot->value.base != CODE_CFA ||
		    -slot->value.offset != (int16_t)-slot->value.offset)
			continue;
		rule->cfa = UNWIND_CFA_DEREF;
		rule->reg = dwarf_numbers[reg];
		rule->offset = slot->at.offset - value.offset;
		rule->extra = (int16_t)-slot->value.offset;
		return true;
	}
	return false;
}

/* `push rbp; mov rsp, rbp` was done: rsp may go where it likes. */
static bool has_frame_pointer(const struct code_state *state)
{
	return same(get_register(state, CODE_RBP), value_of(CODE_CFA, 2 * AT_ENTRY)) &&
	       is_callers(load(state, value_of(CODE_CFA, 2 * AT_ENTRY)), CODE_RBP);
}

static bool set_cfa(const struct code_state *state, struct unwind_rule *rule)
{
	if (has_frame_pointer(state))
		return set_by_register(state, CODE_RBP, rule);
	if (set_by_register(state, CODE_RSP, rule) || set_by_register(state, CODE_RBP, rule) ||
	    set_by_slot(state, CODE_RBP, rule) || set_by_slot(state, CODE_RSP, rule))
		return true;
	for (size_t i = 0; i < CODE_REGISTERS; i++) {
		if (set_by_register(state, (uint8_t)i, rule))
			return true;
	}
	return false;
}

static void set_rbp(const struct code_state *state, struct unwind_rule *rule)
{
	struct code_value rbp = get_register(state, CODE_RBP);
	const struct code_slot *slot = find_saved(state, CODE_RBP);
	int64_t offset;

	if (is_callers(rbp, CODE_RBP)) {
		rule->rbp = UNWIND_SAME;
		return;
	}
	rule->rbp = UNWIND_UNDEFINED;
	if (!slot || (slot->at.base == CODE_ALIGNED && rbp.base != CODE_ALIGNED))
		return;
	offset = slot->at.offset - (slot->at.base == CODE_CFA ? 0 : rbp.offset);
	if (offset != (int16_t)offset)
		return;
	rule->rbp = slot->at.base == CODE_CFA ? UNWIND_AT_CFA : UNWIND_AT_RBP;
	rule->rbp_offset = (int16_t)offset;
}

/* Words below the CFA, or below rbp where rbp's own place is told from there. */
static uint32_t saved_words(const struct code_state *state, uint8_t reg, bool from_rbp)
{
	struct code_value rbp = get_register(state, CODE_RBP);
	const struct code_slot *slot = find_saved(state, reg);
	int64_t below;

	if (is_callers(get_register(state, reg), reg))
		return 0;
	if (!slot || slot->at.base != (from_rbp ? CODE_ALIGNED : CODE_CFA))
		return UNWIND_SAVED_UNKNOWN;
	below = (from_rbp ? rbp.offset : 0) - (int64_t)slot->at.offset;
	if (below <= 0 || below % WORD || below / WORD >= UNWIND_SAVED_UNKNOWN)
		return UNWIND_SAVED_UNKNOWN;
	return (uint32_t)(below / WORD);
}

static void set_saved(const struct code_state *state, struct unwind_rule *rule)
{
	for (uint32_t i = 0; i < UNWIND_SAVED_COUNT; i++)
		rule->saved |=
			UNWIND_SAVED(i, saved_words(state, kept[i], rule->rbp == UNWIND_AT_RBP));
}

struct unwind_rule code_state_rule(const struct code_state *state)
{
	struct unwind_rule rule = {.ra = UNWIND_AT_CFA};

	if (state->outermost) {
		rule.cfa = UNWIND_CFA_END;
	} else if (set_cfa(state, &rule)) {
		set_rbp(state, &rule);
		set_saved(state, &rule);
	}
	return rule;
}

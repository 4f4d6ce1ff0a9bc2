/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/cfi_rule.h"

#include <dwarf.h>

#include "symbolizer/cfi_expression.h"

#define RA_OFFSET (-8) /* of the return address from the CFA, after a call */

/* struct ucontext as rt_sigreturn(2) finds it at rsp: uc_mcontext at 40, in it
 * rbp, rsp and rip (arch/x86/include/uapi/asm/sigcontext.h). */
#define UCONTEXT_RSP 160
#define UCONTEXT_RIP 168

struct unwind_rule cfi_rule_plain(enum unwind_cfa cfa, int16_t extra)
{
	return (struct unwind_rule){.cfa = (uint8_t)cfa, .ra = UNWIND_AT_CFA, .extra = extra};
}

static struct cfi_expression read_expression(const struct cfi_section *section,
					     const struct cfi_value *value)
{
	struct cfi_expression expression;

	cfi_expression_read(section->bytes + value->expression.offset, value->expression.size,
			    &expression);
	return expression;
}

static bool fits(int64_t value)
{
	return value == (int32_t)value;
}

static bool fits_short(int64_t value)
{
	return value == (int16_t)value;
}

static bool is_place_on_stack(const struct cfi_expression *expression, int64_t offset)
{
	return expression->form == CFI_EXPRESSION_LINEAR && expression->reg == UNWIND_RSP &&
	       expression->offset == offset;
}

/* CFA = [rsp + 160], return address at rsp + 168: glibc's __restore_rt, and
 * whatever else spells it out. */
static bool is_signal_frame(const struct cfi_section *section, const struct cfi_state *state,
			    const struct cfi_expression *cfa, bool marked)
{
	struct cfi_expression ra;

	if (cfa->form != CFI_EXPRESSION_DEREF || cfa->reg != UNWIND_RSP ||
	    cfa->offset != UCONTEXT_RSP || cfa->extra)
		return false;
	if (state->ra.kind != CFI_EXPRESSION)
		return marked;
	ra = read_expression(section, &state->ra);
	return is_place_on_stack(&ra, UCONTEXT_RIP);
}

/* The CFA; false if no rule can say it, with the opcode in the way in extra. */
static bool set_cfa(const struct cfi_state *state, const struct cfi_expression *expression,
		    struct unwind_rule *rule)
{
	switch (state->cfa.kind) {
	case CFI_REGISTER:
		rule->cfa = UNWIND_CFA_REGISTER;
		rule->reg = (uint8_t)state->cfa.reg;
		rule->offset = (int32_t)state->cfa.number;
		rule->extra = DW_CFA_def_cfa;
		return state->cfa.reg < UNWIND_REGISTERS - 1 && fits(state->cfa.number);
	case CFI_EXPRESSION:
		rule->extra = expression->first_opcode;
		if (expression->form == CFI_EXPRESSION_OTHER || !fits(expression->offset) ||
		    !fits_short(expression->extra) || expression->reg >= UNWIND_REGISTERS - 1)
			return false;
		rule->reg = expression->reg;
		rule->offset = (int32_t)expression->offset;
		rule->extra = (int16_t)expression->extra;
		rule->cfa = expression->form == CFI_EXPRESSION_LINEAR  ? UNWIND_CFA_REGISTER
			    : expression->form == CFI_EXPRESSION_DEREF ? UNWIND_CFA_DEREF
								       : UNWIND_CFA_PLT;
		return true;
	default:
		return false;
	}
}

/* A place that is known from rsp, said from the CFA where that comes from rsp. */
static bool place_from_cfa(const struct unwind_rule *rule, const struct cfi_expression *place,
			   int64_t *ret)
{
	if (rule->cfa != UNWIND_CFA_REGISTER || place->form != CFI_EXPRESSION_LINEAR ||
	    place->reg != rule->reg)
		return false;
	*ret = place->offset - rule->offset;
	return fits(place->offset);
}

static void set_rbp(const struct cfi_section *section, const struct cfi_value *rbp,
		    struct unwind_rule *rule)
{
	struct cfi_expression place;
	int64_t offset = 0;

	rule->rbp = UNWIND_UNDEFINED;
	switch (rbp->kind) {
	case CFI_UNSET: /* rbp belongs to the caller: who says nothing leaves it alone */
	case CFI_SAME:
		rule->rbp = UNWIND_SAME;
		return;
	case CFI_REGISTER:
		if (rbp->reg == UNWIND_RBP)
			rule->rbp = UNWIND_SAME;
		return;
	case CFI_OFFSET:
		offset = rbp->number;
		if (fits_short(offset))
			rule->rbp = UNWIND_AT_CFA;
		break;
	case CFI_EXPRESSION:
		place = read_expression(section, rbp);
		if (place.form == CFI_EXPRESSION_LINEAR && place.reg == UNWIND_RBP &&
		    fits_short(place.offset)) {
			rule->rbp = UNWIND_AT_RBP;
			offset = place.offset;
		} else if (place_from_cfa(rule, &place, &offset) && fits_short(offset)) {
			rule->rbp = UNWIND_AT_CFA;
		}
		break;
	default:
		return;
	}
	if (rule->rbp != UNWIND_UNDEFINED)
		rule->rbp_offset = (int16_t)offset;
}

/* How many words below the rule's base a register was saved; see unwind.h. */
static uint32_t saved_words(const struct cfi_section *section, const struct cfi_value *value,
			    const struct unwind_rule *rule)
{
	bool from_rbp = rule->rbp == UNWIND_AT_RBP;
	struct cfi_expression place;
	int64_t offset = 0;

	switch (value->kind) {
	case CFI_UNSET:
	case CFI_SAME:
		return 0;
	case CFI_OFFSET:
		if (from_rbp)
			return UNWIND_SAVED_UNKNOWN;
		offset = value->number;
		break;
	case CFI_EXPRESSION:
		place = read_expression(section, value);
		if (from_rbp && place.form == CFI_EXPRESSION_LINEAR && place.reg == UNWIND_RBP)
			offset = place.offset;
		else if (from_rbp || !place_from_cfa(rule, &place, &offset))
			return UNWIND_SAVED_UNKNOWN;
		break;
	default:
		return UNWIND_SAVED_UNKNOWN;
	}
	if (offset % 8 || offset >= 0 || offset <= -8 * (int64_t)UNWIND_SAVED_UNKNOWN)
		return UNWIND_SAVED_UNKNOWN;
	return (uint32_t)(-offset / 8);
}

/* False as set_cfa(). */
static bool set_ra(const struct cfi_section *section, const struct cfi_value *ra,
		   struct unwind_rule *rule)
{
	struct cfi_expression place;
	int64_t offset = 0;

	rule->ra = UNWIND_AT_CFA;
	switch (ra->kind) {
	case CFI_OFFSET:
		if (ra->number == RA_OFFSET)
			return true;
		rule->extra = DW_CFA_offset;
		return false;
	case CFI_REGISTER:
		if (rule->cfa != UNWIND_CFA_REGISTER || ra->reg >= UNWIND_REGISTERS - 1) {
			rule->extra = DW_CFA_register;
			return false;
		}
		rule->ra = UNWIND_IN_REGISTER;
		rule->extra = (int16_t)ra->reg;
		return true;
	case CFI_EXPRESSION:
		place = read_expression(section, ra);
		if (place_from_cfa(rule, &place, &offset) && offset == RA_OFFSET)
			return true;
		rule->extra = DW_CFA_expression;
		return false;
	case CFI_VAL_OFFSET:
		rule->extra = DW_CFA_val_offset;
		return false;
	case CFI_VAL_EXPRESSION:
		rule->extra = DW_CFA_val_expression;
		return false;
	default:
		rule->extra = DW_CFA_same_value;
		return false;
	}
}

void cfi_rule_of_state(const struct cfi_section *section, const struct cfi_state *state,
		       bool signal, struct unwind_rule *ret)
{
	struct cfi_expression cfa = {0};
	struct unwind_rule rule = {0};

	if (state->ra.kind == CFI_UNDEFINED) {
		*ret = cfi_rule_plain(UNWIND_CFA_END, 0);
		return;
	}
	if (state->cfa.kind == CFI_EXPRESSION) {
		cfa = read_expression(section, &state->cfa);
		if (is_signal_frame(section, state, &cfa, signal)) {
			*ret = cfi_rule_plain(UNWIND_CFA_SIGNAL, 0);
			return;
		}
	}
	if (!set_cfa(state, &cfa, &rule)) {
		*ret = cfi_rule_plain(UNWIND_CFA_UNSUPPORTED, rule.extra);
		return;
	}
	if (rule.cfa == UNWIND_CFA_REGISTER)
		rule.extra = 0;
	if (!set_ra(section, &state->ra, &rule)) {
		*ret = cfi_rule_plain(UNWIND_CFA_UNSUPPORTED, rule.extra);
		return;
	}
	set_rbp(section, &state->rbp, &rule);
	for (uint32_t i = 0; i < UNWIND_SAVED_COUNT; i++)
		rule.saved |= UNWIND_SAVED(i, saved_words(section, &state->saved[i], &rule));
	*ret = rule;
}

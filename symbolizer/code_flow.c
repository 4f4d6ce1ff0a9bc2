/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/code_flow.h"

#include <string.h>
#include <xxhash.h>

#include "daemon/base/clock.h"

#define ENTRY_DEPTH 8 /* of the stack, at a function's entry and before it returns */

#define CLOCK_STEPS 4096 /* between looks at the clock */
#define STACK_ALIGNMENT 16
#define ALIGNMENT 16 /* of functions, by what compilers do when they optimise */

/* One function under way. */
struct flow {
	struct code_range *range;
	const struct code_returns *returns;
	struct code_states *states;
	VEC(uint32_t) work; /* places whose instruction is to be followed */
	VEC(uint32_t) journal; /* places that this function has given a state */
	uint32_t start;
	uint32_t evidence; /* that its state at the start was right */
	bool contradicted;
	bool proof; /* it counts with evidence only */
	bool again; /* a call was found not to return */
	bool stale; /* so was one of another function */
	bool calls_end; /* no call comes back: code that nobody called */
};

struct arrival { /* a way into an instruction */
	uint32_t place;
	const struct code_state *state;
	bool after_call;
	bool falling; /* from the instruction before it */
};

void code_states_deinit(struct code_states *states)
{
	vec_free(&states->items);
	hashmap_deinit(&states->numbers);
}

/* 0 with `full` set: no more fit. */
static int number_of(struct code_states *states, const struct code_state *state, uint32_t *ret)
{
	uint64_t hash = XXH3_64bits(state, sizeof(*state));
	uint64_t *number;
	int r;

	for (; (number = hashmap_get(&states->numbers, hash)); hash++) {
		*ret = (uint32_t)*number;
		if (!memcmp(&states->items.items[*number], state, sizeof(*state)))
			return 0;
	}
	if (states->items.count >= CODE_STATES_MAX) {
		states->full = true;
		return 0;
	}
	*ret = (uint32_t)states->items.count;
	r = hashmap_put(&states->numbers, hash, *ret);
	return r ? r : vec_push(&states->items, *state);
}

static const struct code_state *state_at(const struct flow *flow, uint32_t place)
{
	return &flow->states->items.items[flow->range->at[place] - 1];
}

/* Both cannot be right: the CFA, or where rbp is saved, would be in two places. */
static bool disagree(const struct code_state *one, const struct code_state *other)
{
	int32_t depth = code_state_depth(one), other_depth = code_state_depth(other);
	struct unwind_rule rule = code_state_rule(one), other_rule = code_state_rule(other);

	if (depth && other_depth && depth != other_depth)
		return true;
	return rule.rbp == UNWIND_AT_CFA && other_rule.rbp == UNWIND_AT_CFA &&
	       rule.rbp_offset != other_rule.rbp_offset;
}

/* Both find the CFA, and in the same way. */
static bool agree(const struct code_state *one, const struct code_state *other)
{
	struct unwind_rule rule = code_state_rule(one), other_rule = code_state_rule(other);

	return rule.cfa == other_rule.cfa && rule.cfa != UNWIND_CFA_NONE &&
	       rule.reg == other_rule.reg && rule.offset == other_rule.offset;
}

static bool is_at_entry_depth(const struct code_state *state)
{
	return code_state_depth(state) == ENTRY_DEPTH;
}

/* --- arrivals ---------------------------------------------------------------- */

static int give(struct flow *flow, const struct arrival *arrival)
{
	uint16_t *mark = &flow->range->marks[arrival->place];
	uint32_t number = 0;
	int r = number_of(flow->states, arrival->state, &number);

	if (r < 0 || flow->states->full)
		return r;
	if (!flow->range->at[arrival->place]) {
		*mark |= CODE_TRIAL;
		if (arrival->after_call)
			*mark |= CODE_AFTER_CALL;
		r = vec_push(&flow->journal, arrival->place);
	}
	flow->range->at[arrival->place] = number + 1;
	return r ? r : vec_push(&flow->work, arrival->place);
}

/* At code that another function has reached before: they must agree, and what is
 * there stays. If the other one has come there by returning from a call it was
 * wrong, and so may be more: all of the range is to be followed anew. */
static void join(struct flow *flow, const struct arrival *arrival)
{
	uint16_t *mark = &flow->range->marks[arrival->place];

	if (!disagree(state_at(flow, arrival->place), arrival->state)) {
		flow->evidence += !arrival->after_call &&
				  agree(state_at(flow, arrival->place), arrival->state);
	} else if (!arrival->after_call && !flow->proof && *mark & CODE_AFTER_CALL) {
		*mark |= CODE_NO_RETURN;
		flow->stale = true;
	} else if (!arrival->after_call) {
		flow->contradicted = true;
	}
}

/* At code that this function has reached before. */
static int meet(struct flow *flow, const struct arrival *arrival)
{
	const struct code_state *known = state_at(flow, arrival->place);
	bool known_after_call = flow->range->marks[arrival->place] & CODE_AFTER_CALL;
	struct code_state state = *known;

	if (disagree(known, arrival->state) && known_after_call != arrival->after_call) {
		flow->range->marks[arrival->place] |= CODE_NO_RETURN;
		/* The first of them was wrong, and with it what came of it. */
		flow->again |= known_after_call;
		return 0;
	}
	code_state_meet(&state, arrival->state);
	if (!memcmp(&state, known, sizeof(state)))
		return 0;
	return give(flow, &(struct arrival){.place = arrival->place, .state = &state});
}

/* At a function's beginning: a tail call, or a call before it that does not come
 * back; else it is a label inside this one. True: no more to be done. */
static bool ends_at_entry(struct flow *flow, const struct arrival *arrival)
{
	if (!(flow->range->marks[arrival->place] & CODE_ENTRY) || arrival->place == flow->start)
		return false;
	if (is_at_entry_depth(arrival->state))
		flow->evidence += !arrival->falling;
	else if (!arrival->after_call && code_state_depth(arrival->state) &&
		 !(flow->range->marks[flow->start] & CODE_ENTRY))
		flow->contradicted = true;
	return true;
}

static int arrive(struct flow *flow, const struct arrival *arrival)
{
	if (arrival->place >= flow->range->size) {
		/* Somebody else's code: a tail call, or a part that lies elsewhere. */
		flow->evidence += !arrival->falling && is_at_entry_depth(arrival->state);
		return 0;
	}
	if (arrival->after_call &&
	    flow->range->marks[arrival->place] & (CODE_NO_RETURN | CODE_TAKEN))
		return 0;
	if (ends_at_entry(flow, arrival))
		return 0;
	if (!flow->range->at[arrival->place])
		return give(flow, arrival);
	if (!(flow->range->marks[arrival->place] & CODE_TRIAL)) {
		join(flow, arrival);
		return 0;
	}
	return meet(flow, arrival);
}

static int jump(struct flow *flow, const struct code_insn *insn, const struct code_state *state)
{
	uint64_t place = insn->target - flow->range->address;
	struct arrival arrival = {.state = state, .place = UINT32_MAX};

	if (insn->target >= flow->range->address && place < flow->range->size)
		arrival.place = (uint32_t)place;
	return arrive(flow, &arrival);
}

static void judge_return(struct flow *flow, const struct code_state *state)
{
	if (is_at_entry_depth(state))
		flow->evidence++;
	else if (code_state_depth(state) && !state->outermost)
		flow->contradicted = true;
}

/* Functions call with the stack aligned to 16 bytes (AMD64 supplement, 3.2.2): that
 * is how one that never returns shows that it is one, if its address is taken. */
static void judge_call(struct flow *flow, const struct code_state *state)
{
	int32_t depth = code_state_depth(state);

	flow->evidence += flow->range->marks[flow->start] & CODE_TAKEN && depth &&
			  depth % STACK_ALIGNMENT == 0;
}

/* --- one function -------------------------------------------------------------- */

/* The instruction at the place, and where it leads. */
static int step(struct flow *flow, uint32_t place)
{
	struct code_state state = *state_at(flow, place);
	uint16_t *marks = flow->range->marks;
	struct arrival next = {.state = &state, .falling = true};
	struct code_insn insn;
	int r = 0;

	if (!code_range_decode(flow->range, place, &insn)) {
		flow->contradicted = true;
		return 0;
	}
	for (uint8_t i = 0; i < insn.length; i++)
		marks[place + i] |= CODE_COVERED;
	code_state_apply(&state, &insn, flow->range->address + place);
	next.place = place + insn.length;
	next.after_call =
		insn.flow == CODE_CALL || (insn.padding && marks[place] & CODE_AFTER_CALL);
	switch ((enum code_flow)insn.flow) {
	case CODE_BRANCH:
		r = jump(flow, &insn, &state);
		break;
	case CODE_JUMP:
		return jump(flow, &insn, &state);
	case CODE_JUMP_FAR:
		/* Of a jump by a register: maybe a tail call, maybe a table of this function. */
		flow->evidence += flow->range->stubs || (insn.by_slot && is_at_entry_depth(&state));
		marks[place] |= CODE_TABLE_JUMP;
		return 0;
	case CODE_RETURN:
		judge_return(flow, &state);
		return 0;
	case CODE_STOP:
		return 0;
	case CODE_CALL:
		judge_call(flow, &state);
		if (flow->calls_end ||
		    (insn.direct && code_returns_never(flow->returns, insn.target)))
			return 0;
		break;
	case CODE_NEXT:
		break;
	}
	return r ? r : arrive(flow, &next);
}

/* Takes back what the function has said; `wholly`: of its calls too. */
static void retract(struct flow *flow, bool wholly)
{
	uint16_t marks = CODE_TRIAL | CODE_AFTER_CALL | CODE_TABLE_JUMP;

	if (wholly)
		marks |= CODE_NO_RETURN;
	for (size_t i = 0; i < flow->journal.count; i++) {
		uint32_t place = flow->journal.items[i];
		struct code_insn insn;

		flow->range->at[place] = 0;
		flow->range->marks[place] &= (uint16_t)~marks;
		if (!code_range_decode(flow->range, place, &insn))
			continue;
		for (uint8_t k = 0; k < insn.length; k++)
			flow->range->marks[place + k] &= (uint16_t)~CODE_COVERED;
	}
	vec_clear(&flow->journal);
	vec_clear(&flow->work);
	flow->evidence = 0;
	flow->contradicted = flow->again = false;
}

static void count_step(struct code_states *states)
{
	if (++states->steps > CODE_STEPS_MAX ||
	    (states->steps % CLOCK_STEPS == 0 && states->deadline &&
	     clock_boot_ns() > states->deadline))
		states->full = true;
}

static int run(struct flow *flow, const struct code_state *state)
{
	int r = give(flow, &(struct arrival){.place = flow->start, .state = state});

	/* A contradiction may yet turn out to come of a call that does not return. */
	while (!r && flow->work.count && !flow->again && !(flow->proof && flow->contradicted)) {
		count_step(flow->states);
		if (flow->states->full)
			return 0;
		r = step(flow, flow->work.items[--flow->work.count]);
	}
	return r;
}

static void commit(struct flow *flow)
{
	for (size_t i = 0; i < flow->journal.count; i++)
		flow->range->marks[flow->journal.items[i]] &= (uint16_t)~CODE_TRIAL;
	vec_clear(&flow->journal);
}

/* Follows the code from a place with a state. What is found is kept if nothing
 * speaks against it and, where `proof` is asked for, something for it. */
static int follow(struct flow *flow, uint32_t start, const struct code_state *state, bool proof)
{
	unsigned int restarts = 0;
	int r;

	flow->start = start;
	flow->proof = proof;
	flow->evidence = 0;
	flow->contradicted = flow->again = false;
	while (!(r = run(flow, state)) && flow->again && !flow->states->full &&
	       ++restarts < CODE_RESTARTS_MAX)
		retract(flow, false);
	/* What a process begins with does not come back, and what lies behind its call is
	 * somebody else's. */
	if (!r && (flow->contradicted || flow->again) && state->outermost && !flow->calls_end) {
		retract(flow, true);
		flow->calls_end = true;
		r = follow(flow, start, state, proof);
		flow->calls_end = false;
		return r;
	}
	if (r < 0 || flow->states->full || flow->contradicted || flow->again ||
	    (proof && !flow->evidence))
		retract(flow, true);
	else
		commit(flow);
	return r;
}

static int follow_entries(struct flow *flow)
{
	struct code_state state;
	int r = 0;

	for (uint32_t place = 0; place < flow->range->size && !r && !flow->states->full; place++) {
		if (!(flow->range->marks[place] & CODE_ENTRY) || flow->range->at[place])
			continue;
		code_state_enter(&state);
		state.outermost = (flow->range->marks[place] & CODE_OUTERMOST) != 0;
		r = follow(flow, place, &state, false);
	}
	return r;
}

/* --- what no way leads to --------------------------------------------------------- */

struct sweep {
	uint32_t jump; /* the nearest jump through a table before, in this function, */
	bool has_jump;
	bool beginning; /* the instruction before does not go on to this one */
	bool likely; /* look only at what is likely to be a function's beginning */
	bool may_enter;
};

static int try_place(struct flow *flow, struct sweep *sweep, uint32_t place)
{
	struct code_state state;
	int r = 0;

	if (sweep->has_jump) {
		state = *state_at(flow, sweep->jump);
		r = follow(flow, place, &state, true);
	}
	if (r < 0 || flow->range->at[place] || !sweep->may_enter)
		return r;
	code_state_enter(&state);
	return follow(flow, place, &state, true);
}

/* Over one instruction, or byte, that stays unknown. */
static uint32_t pass_over(const struct flow *flow, struct sweep *sweep, uint32_t place)
{
	struct code_insn insn;

	if (!code_range_decode(flow->range, place, &insn))
		return place + 1;
	sweep->beginning = insn.padding || insn.flow == CODE_RETURN || insn.flow == CODE_JUMP ||
			   insn.flow == CODE_JUMP_FAR || insn.flow == CODE_STOP;
	return place + insn.length;
}

static bool is_padding(const struct flow *flow, uint32_t place)
{
	struct code_insn insn;

	return code_range_decode(flow->range, place, &insn) && insn.padding;
}

/* One at the entry's depth may be a tail call: it is no better than one before. */
static void note_jump(const struct flow *flow, struct sweep *sweep, uint32_t place)
{
	if (sweep->has_jump && is_at_entry_depth(state_at(flow, place)))
		return;
	sweep->jump = place;
	sweep->has_jump = true;
}

/* What is jumped to by unknown code is a part of that: it is no beginning. */
static bool is_worth_a_try(const struct flow *flow, struct sweep *sweep, uint32_t place)
{
	uint16_t marks = flow->range->marks[place];

	if (!sweep->beginning || marks & CODE_ENTRY || is_padding(flow, place))
		return false;
	sweep->may_enter = !(marks & CODE_TARGET);
	return !sweep->likely || marks & CODE_TAKEN ||
	       (sweep->may_enter && (flow->range->address + place) % ALIGNMENT == 0);
}

/* From the range's beginning to its end, places that are still unknown. */
static int follow_rest(struct flow *flow, bool likely)
{
	struct code_range *range = flow->range;
	struct sweep sweep = {.beginning = true, .likely = likely};
	uint32_t place = 0;
	int r = 0;

	while (place < range->size && !r && !flow->states->full) {
		if (range->marks[place] & CODE_ENTRY)
			sweep.has_jump = false;
		if (range->at[place] && range->marks[place] & CODE_TABLE_JUMP)
			note_jump(flow, &sweep, place);
		if (range->at[place] || range->marks[place] & CODE_COVERED) {
			sweep.beginning = true;
			place++;
			continue;
		}
		if (is_worth_a_try(flow, &sweep, place))
			r = try_place(flow, &sweep, place);
		if (!range->at[place])
			place = pass_over(flow, &sweep, place);
	}
	return r;
}

/* What is known before the first function is followed, and of its calls. */
static void start_over(struct flow *flow)
{
	struct code_range *range = flow->range;

	for (uint32_t place = 0; place < range->size; place++) {
		range->at[place] = 0;
		range->marks[place] &=
			(uint16_t) ~(CODE_COVERED | CODE_AFTER_CALL | CODE_TABLE_JUMP);
	}
	flow->stale = false;
}

int code_range_follow(struct code_range *range, const struct code_returns *returns,
		      struct code_states *states)
{
	struct flow flow = {.range = range, .returns = returns, .states = states};
	unsigned int restarts = 0;
	int r = follow_entries(&flow);

	while (!r && flow.stale && !states->full && ++restarts < CODE_RESTARTS_MAX) {
		start_over(&flow);
		r = follow_entries(&flow);
	}
	/* Parts of functions that lie elsewhere are reached from these: so first. */
	if (!r && !states->full)
		r = follow_rest(&flow, true);
	if (!r && !states->full)
		r = follow_rest(&flow, false);
	vec_free(&flow.work);
	vec_free(&flow.journal);
	return r;
}

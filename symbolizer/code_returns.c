/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/code_returns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/hashmap.h"
#include "symbolizer/plt.h"

/* ISO C, POSIX, and the Itanium C++ ABI's run time; glibc's own of its checks. */
static const char *const names[] = {
	"abort",
	"exit",
	"_exit",
	"_Exit",
	"quick_exit",
	"longjmp",
	"_longjmp",
	"siglongjmp",
	"pthread_exit",
	"thrd_exit",
	"err",
	"errx",
	"verr",
	"verrx",
	"__assert",
	"__assert_fail",
	"__assert_perror_fail",
	"__stack_chk_fail",
	"__fortify_fail",
	"__chk_fail",
	"__longjmp_chk",
	"__libc_start_main",
	"__cxa_throw",
	"__cxa_rethrow",
	"__cxa_bad_cast",
	"__cxa_bad_typeid",
	"__cxa_call_unexpected",
	"__cxa_pure_virtual",
	"__cxa_throw_bad_array_new_length",
	"_Unwind_Resume",
	"_Unwind_Resume_or_Rethrow",
	"_ZSt9terminatev",
	"_ZSt10unexpectedv",
};
static const char throwing[] = "__throw_"; /* libstdc++'s helpers: _ZSt20__throw_length_errorPKc */

struct judge {
	const struct elf_image *image;
	const code_ranges_vec *ranges;
	struct code_returns *returns;
	unsigned int depth;
	uint32_t steps;
};

/* One function that is looked at. */
struct look {
	struct code_range *range;
	uint32_t start;
	struct hashmap seen; /* places */
	VEC(uint32_t) work;
	bool returns;
};

void code_returns_deinit(struct code_returns *returns)
{
	vec_free(&returns->never);
}

static int by_address(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return one < other ? -1 : one > other;
}

bool code_returns_never(const struct code_returns *returns, uint64_t address)
{
	return returns->never.count && bsearch(&address, returns->never.items, returns->never.count,
					       sizeof(*returns->never.items), by_address);
}

static bool is_known_name(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i]))
			return true;
	}
	return !strncmp(name, "_ZSt", 4) && strstr(name, throwing);
}

static int add_stub(void *context, const struct plt_stub *stub)
{
	struct judge *judge = context;
	uint32_t place;
	struct code_range *range;

	if (!stub->name || !is_known_name(stub->name))
		return 0;
	range = code_ranges_find(judge->image, judge->ranges, stub->address, &place);
	if (range)
		range->marks[place] |= CODE_JUDGED | CODE_NEVER;
	return vec_push(&judge->returns->never, stub->address);
}

static int judge_function(struct judge *judge, struct code_range *range, uint32_t place,
			  bool *ret_returns);

/* Does what is called, or jumped to, at the address come back? */
static int judge_target(struct judge *judge, uint64_t address, bool *ret_returns)
{
	uint32_t place;
	struct code_range *range = code_ranges_find(judge->image, judge->ranges, address, &place);

	*ret_returns = true;
	if (range && range->marks[place] & CODE_ENTRY)
		return judge_function(judge, range, place, ret_returns);
	/* Stubs that have call frame information are in no range; they are few. */
	for (size_t i = 0; i < judge->returns->never.count; i++)
		*ret_returns &= judge->returns->never.items[i] != address;
	return 0;
}

static int add_place(struct look *look, uint32_t place)
{
	int r;

	if (place >= look->range->size) {
		look->returns = true;
		return 0;
	}
	if (hashmap_get(&look->seen, place))
		return 0;
	r = hashmap_put(&look->seen, place, 0);
	return r ? r : vec_push(&look->work, place);
}

/* A jump to another function is one's own return if the other one returns. */
static int jump(struct judge *judge, struct look *look, uint64_t target)
{
	uint64_t place = target - look->range->address;

	if (target < look->range->address || place >= look->range->size ||
	    (look->range->marks[place] & CODE_ENTRY && place != look->start))
		return judge_target(judge, target, &look->returns);
	return add_place(look, (uint32_t)place);
}

static int look_at(struct judge *judge, struct look *look, uint32_t place)
{
	struct code_insn insn;
	bool comes_back = true;
	int r = 0;

	if (place != look->start && look->range->marks[place] & CODE_ENTRY)
		return judge_target(judge, look->range->address + place, &look->returns);
	if (!code_range_decode(look->range, place, &insn)) {
		look->returns = true;
		return 0;
	}
	switch ((enum code_flow)insn.flow) {
	case CODE_RETURN:
	case CODE_JUMP_FAR:
		look->returns = true;
		return 0;
	case CODE_STOP:
		return 0;
	case CODE_JUMP:
		return jump(judge, look, insn.target);
	case CODE_BRANCH:
		r = jump(judge, look, insn.target);
		break;
	case CODE_CALL:
		if (insn.direct)
			r = judge_target(judge, insn.target, &comes_back);
		break;
	case CODE_NEXT:
		break;
	}
	return r || !comes_back ? r : add_place(look, place + insn.length);
}

static int judge_function(struct judge *judge, struct code_range *range, uint32_t place,
			  bool *ret_returns)
{
	struct look look = {.range = range, .start = place};
	uint32_t steps = 0;
	int r;

	*ret_returns = !(range->marks[place] & CODE_NEVER);
	if (range->marks[place] & CODE_JUDGED || judge->depth >= CODE_RETURNS_DEPTH_MAX ||
	    judge->steps > CODE_RETURNS_STEPS_ALL)
		return 0;
	range->marks[place] |= CODE_JUDGED; /* who calls itself is taken to return */
	judge->depth++;
	r = add_place(&look, place);
	while (!r && look.work.count && !look.returns) {
		look.returns =
			++steps > CODE_RETURNS_STEPS_MAX || ++judge->steps > CODE_RETURNS_STEPS_ALL;
		r = look_at(judge, &look, look.work.items[--look.work.count]);
	}
	judge->depth--;
	hashmap_deinit(&look.seen);
	vec_free(&look.work);
	if (r < 0)
		return r;
	*ret_returns = look.returns;
	if (look.returns)
		return 0;
	range->marks[place] |= CODE_NEVER;
	return vec_push(&judge->returns->never, range->address + place);
}

/* Who was taken to return only because another one was not known yet, or calls it in
 * turn, is looked at again. */
static int judge_all(struct judge *judge)
{
	bool returns;
	int r = 0;

	for (size_t i = 0; i < judge->ranges->count && !r; i++) {
		struct code_range *range = &judge->ranges->items[i];

		for (uint32_t place = 0; place < range->size; place++) {
			if (!(range->marks[place] & CODE_NEVER))
				range->marks[place] &= (uint16_t)~CODE_JUDGED;
		}
	}
	for (size_t i = 0; i < judge->ranges->count && !r; i++) {
		struct code_range *range = &judge->ranges->items[i];

		for (uint32_t place = 0; place < range->size && !r; place++) {
			if (range->marks[place] & CODE_ENTRY && !range->stubs)
				r = judge_function(judge, range, place, &returns);
		}
	}
	return r;
}

int code_returns_init(struct code_returns *ret, const struct elf_image *image,
		      const code_ranges_vec *ranges)
{
	struct judge judge = {.image = image, .ranges = ranges, .returns = ret};
	size_t before, bytes = 0;
	int r = 0;

	for (size_t i = 0; i < ranges->count; i++)
		bytes += ranges->items[i].size;
	if (bytes >= CODE_RETURNS_NAMES_MIN)
		r = plt_stubs(image, add_stub, &judge);

	for (unsigned int i = 0; i < CODE_RETURNS_ROUNDS_MAX && !r; i++) {
		before = ret->never.count;
		r = judge_all(&judge);
		if (ret->never.count == before)
			break;
	}
	if (ret->never.count)
		qsort(ret->never.items, ret->never.count, sizeof(*ret->never.items), by_address);
	return r;
}

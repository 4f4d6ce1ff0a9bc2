/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/unwind_build.h"

#include <errno.h>
#include <string.h>

void unwind_build_deinit(struct unwind_build *build)
{
	vec_free(&build->blocks);
	vec_free(&build->rows);
	vec_free(&build->rules);
	hashmap_deinit(&build->numbers);
	*build = (struct unwind_build){0};
}

static uint64_t hash_rule(const struct unwind_rule *rule)
{
	uint64_t words[2];

	memcpy(words, rule, sizeof(words));
	words[0] = (words[0] ^ (words[1] << 23 | words[1] >> 41)) * 0x9fb21c651e98df25ULL;
	return words[0] ^ words[0] >> 29;
}

static bool same_rule(const struct unwind_build *build, uint32_t number,
		      const struct unwind_rule *rule)
{
	return !memcmp(&build->rules.items[number], rule, sizeof(*rule));
}

/* Two rules of one hash: the later goes under the next value that is free. */
static int number_of(struct unwind_build *build, const struct unwind_rule *rule, uint32_t *ret)
{
	uint64_t hash = hash_rule(rule);
	uint32_t *recent = &build->recent[hash % UNWIND_BUILD_RECENT];
	uint64_t *number;
	int r = 0;

	if (*recent && same_rule(build, *recent - 1, rule)) {
		*ret = *recent - 1;
		return 0;
	}
	while ((number = hashmap_get(&build->numbers, hash))) {
		if (same_rule(build, (uint32_t)*number, rule)) {
			*ret = (uint32_t)*number;
			*recent = *ret + 1;
			return 0;
		}
		hash++;
	}
	if (build->rules.count >= UNWIND_RULES_MAX)
		return -E2BIG;
	r = hashmap_put(&build->numbers, hash, build->rules.count);
	if (!r)
		r = vec_push(&build->rules, *rule);
	if (r < 0)
		return r;
	*ret = (uint32_t)build->rules.count - 1;
	*recent = *ret + 1;
	return 0;
}

/* All blocks up to this one begin with the row that comes next. */
static int open_blocks(struct unwind_build *build, uint64_t block)
{
	if (!build->blocks.count)
		build->first_block = block;
	block -= build->first_block;
	if (block >= UNWIND_BUILD_BLOCKS_MAX)
		return -E2BIG;
	while (build->blocks.count <= block) {
		if (vec_push(&build->blocks, (uint32_t)build->rows.count) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Writes the row under way. */
static int flush(struct unwind_build *build)
{
	int r;

	if (!build->pending || (build->rows.count && build->rule == build->last_rule))
		return 0;
	if (build->rows.count >= UNWIND_BUILD_ROWS_MAX)
		return -E2BIG;
	r = open_blocks(build, build->offset >> UNWIND_BLOCK_SHIFT);
	if (!r)
		r = vec_push(&build->rows, UNWIND_ROW(build->offset, build->rule));
	if (!r)
		build->last_rule = build->rule;
	return r;
}

int unwind_build_add(struct unwind_build *build, uint64_t offset, const struct unwind_rule *rule)
{
	uint32_t number;
	int r;

	if (build->pending && offset < build->offset)
		return -EINVAL;
	r = number_of(build, rule, &number);
	if (!r && build->pending && offset != build->offset)
		r = flush(build);
	if (r < 0)
		return r;
	build->offset = offset;
	build->rule = number;
	build->pending = true;
	return 0;
}

static void *shrink(void *items, size_t size)
{
	void *smaller = size ? realloc(items, size) : NULL;

	return smaller ? smaller : items;
}

int unwind_build_finish(struct unwind_build *build, struct unwind_table *ret)
{
	struct unwind_table table;
	int r = flush(build);

	if (!r)
		r = vec_push(&build->blocks, (uint32_t)build->rows.count);
	if (r < 0)
		return r;
	table = (struct unwind_table){
		.first_block = build->first_block,
		.block_count = (uint32_t)build->blocks.count - 1,
		.row_count = (uint32_t)build->rows.count,
		.rule_count = (uint32_t)build->rules.count,
		.blocks = shrink(build->blocks.items, build->blocks.count * sizeof(uint32_t)),
		.rows = shrink(build->rows.items, build->rows.count * sizeof(uint32_t)),
		.rules =
			shrink(build->rules.items, build->rules.count * sizeof(struct unwind_rule)),
	};
	build->blocks.items = build->rows.items = NULL;
	build->rules.items = NULL;
	unwind_build_deinit(build);
	*ret = table;
	return 0;
}

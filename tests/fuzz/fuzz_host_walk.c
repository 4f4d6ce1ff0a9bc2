/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk (bpf/walk.h) over any registers, any stack and any rules: it ends, with
 * a reason, within its frames, and reads nothing but what it was given.
 *
 * The input: 17 words of registers (the last one is rip), 8 rules, then the stack.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/host_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IMAGE 1u
#define CODE 0x1000ULL
#define STACK 0x10000ULL
#define RULES 8u
#define HEAD (17 * sizeof(uint64_t) + RULES * sizeof(struct unwind_rule))

struct world {
	struct unwind_file file;
	struct unwind_rule rules[RULES];
	uint32_t *chunk;
};

static const struct unwind_file *file_of(void *context, uint32_t image)
{
	return image == IMAGE ? &((struct world *)context)->file : NULL;
}

static const uint32_t *chunk_of(void *context, uint32_t number)
{
	return number ? NULL : ((struct world *)context)->chunk;
}

static const struct unwind_rule *rule_of(void *context, uint32_t number)
{
	return number < RULES ? &((struct world *)context)->rules[number] : NULL;
}

/* 16 bytes of code for each rule, in one block. */
static void lay_out(struct world *world)
{
	world->chunk = calloc(UNWIND_CHUNK_WORDS, sizeof(uint32_t));
	if (!world->chunk)
		abort();
	world->chunk[1] = RULES;
	for (uint32_t i = 0; i < RULES; i++)
		world->chunk[2 + i] = UNWIND_ROW(i * 16, i);
	world->file = (struct unwind_file){.block_count = 1, .rows = 2};
}

static void walk(const struct abi_raw *raw, const struct mapping_set *maps,
		 const struct host_tables *tables, bool last)
{
	struct host_stack stack = {0};
	uint32_t lacks = 0;

	if (!host_walk(raw, maps, tables, last, &stack, &lacks)) {
		if (last)
			abort();
		return;
	}
	if (stack.stack.count > ABI_FRAMES_MAX || !stack.stack.count ||
	    stack.stack.hdr.reason >= ABI_REASON_COUNT)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mapping code = {CODE, CODE + RULES * 16, 0, IMAGE, false};
	struct mapping memory = {CODE * 2, CODE * 3, 0, 0, true};
	struct mapping missing = {CODE * 3, CODE * 4, 0, IMAGE + 1, false};
	struct mapping_set *maps = mapping_set_create();
	struct world world = {0};
	const struct host_tables tables = {file_of, chunk_of, rule_of, &world, NULL};
	struct abi_raw *raw;

	if (size < HEAD || size > HEAD + 4096 || !maps) {
		mapping_set_unref(maps);
		return 0;
	}
	/* Of exactly the size: what is read beyond it is found. */
	raw = calloc(1, sizeof(*raw) + size - HEAD);
	if (!raw || mapping_set_insert(maps, &code) || mapping_set_insert(maps, &memory) ||
	    mapping_set_insert(maps, &missing))
		abort();
	lay_out(&world);
	memcpy(raw->registers, data, sizeof(raw->registers));
	memcpy(&raw->ip, data + sizeof(raw->registers), sizeof(raw->ip));
	memcpy(world.rules, data + 17 * sizeof(uint64_t), sizeof(world.rules));
	memcpy(raw->stack, data + HEAD, size - HEAD);
	raw->bytes = (uint32_t)(size - HEAD);
	raw->address = STACK;
	walk(raw, maps, &tables, false);
	walk(raw, maps, &tables, true);
	free(raw);
	free(world.chunk);
	mapping_set_unref(maps);
	return 0;
}

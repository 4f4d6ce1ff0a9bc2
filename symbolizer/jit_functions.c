/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/jit_functions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"

#define FRESH_MAX (1u << 16)

void jit_functions_deinit(struct jit_functions *functions)
{
	strtab_deinit(&functions->names);
	vec_free(&functions->items);
	vec_free(&functions->fresh);
	*functions = (struct jit_functions){0};
}

static void forget(struct jit_functions *functions)
{
	uint64_t forgotten = functions->forgotten + functions->items.count + functions->fresh.count;
	uint32_t resets = functions->resets + 1;

	jit_functions_deinit(functions);
	functions->forgotten = forgotten;
	functions->resets = resets;
}

int jit_functions_make_room(struct jit_functions *functions)
{
	int r = 0;

	/* Most of what came first may be gone again: that makes room. While all fits into
	 * the processor's caches it is several times faster. */
	if (functions->items.count + functions->fresh.count >= JIT_FUNCTIONS_MAX ||
	    (functions->fresh.count >= FRESH_MAX &&
	     functions->fresh.count >= functions->items.count / 2))
		r = jit_functions_settle(functions);
	if (!r && (functions->names.bytes.count >= JIT_NAMES_MAX ||
		   functions->items.count > JIT_FUNCTIONS_MAX / 4 * 3))
		forget(functions);
	return r;
}

int jit_functions_name(struct jit_functions *functions, const char *name, size_t size,
		       uint32_t *ret)
{
	uint32_t id = strtab_add(&functions->names, name,
				 strnlen(name, size < JIT_NAME_MAX ? size : JIT_NAME_MAX));

	if (id == UINT32_MAX)
		return -ENOMEM;
	*ret = id;
	return 0;
}

int jit_functions_add(struct jit_functions *functions, struct jit_function function)
{
	return vec_push(&functions->fresh, function);
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

/* The address space is cut where any function begins or ends; the pieces are given
 * out from the last line to the first, each to the first that comes for it. */
struct painting {
	uint64_t *bounds; /* sorted, each once */
	uint32_t *owner; /* of the piece from bounds[i] on; number of a function plus 1 */
	uint32_t *next; /* from here on, the first piece that may be free */
	size_t count;
};

static const struct jit_function *nth(const struct jit_functions *functions, size_t i)
{
	return i < functions->items.count ? &functions->items.items[i]
					  : &functions->fresh.items[i - functions->items.count];
}

static uint32_t first_free(struct painting *painting, uint32_t at)
{
	while (painting->next[at] != at) {
		painting->next[at] = painting->next[painting->next[at]];
		at = painting->next[at];
	}
	return at;
}

static uint32_t piece_at(const struct painting *painting, uint64_t address)
{
	const uint64_t *found = bsearch(&address, painting->bounds, painting->count,
					sizeof(*painting->bounds), compare);

	return (uint32_t)(found - painting->bounds);
}

static void paint(struct painting *painting, const struct jit_functions *functions)
{
	size_t count = functions->items.count + functions->fresh.count, kept = 0;

	for (size_t i = 0; i < count; i++) {
		painting->bounds[2 * i] = nth(functions, i)->start;
		painting->bounds[2 * i + 1] = nth(functions, i)->end;
	}
	qsort(painting->bounds, 2 * count, sizeof(*painting->bounds), compare);
	for (size_t i = 0; i < 2 * count; i++) {
		if (!kept || painting->bounds[kept - 1] != painting->bounds[i])
			painting->bounds[kept++] = painting->bounds[i];
	}
	painting->count = kept;
	for (uint32_t i = 0; i < kept; i++)
		painting->next[i] = i;
	for (size_t i = count; i-- > 0;) {
		const struct jit_function *function = nth(functions, i);
		uint32_t at = first_free(painting, piece_at(painting, function->start));

		while (painting->bounds[at] < function->end) {
			painting->owner[at] = (uint32_t)i + 1;
			painting->next[at] = at + 1;
			at = first_free(painting, at);
		}
	}
}

static int collect(const struct painting *painting, struct jit_functions *functions)
{
	VEC(struct jit_function) settled = {0};
	uint32_t before = 0;

	for (size_t i = 0; i + 1 < painting->count; i++) {
		uint32_t owner = painting->owner[i];
		struct jit_function function = {.start = painting->bounds[i],
						.end = painting->bounds[i + 1]};

		if (owner && owner == before) {
			settled.items[settled.count - 1].end = function.end;
		} else if (owner && nth(functions, owner - 1)->name != JIT_NO_NAME) {
			function.name = nth(functions, owner - 1)->name;
			function.lines = nth(functions, owner - 1)->lines;
			if (vec_push(&settled, function) < 0) {
				vec_free(&settled);
				return -ENOMEM;
			}
		}
		before = owner && nth(functions, owner - 1)->name != JIT_NO_NAME ? owner : 0;
	}
	vec_free(&functions->items);
	functions->items.items = settled.items;
	functions->items.count = settled.count;
	functions->items.capacity = settled.capacity;
	vec_clear(&functions->fresh);
	return 0;
}

int jit_functions_settle(struct jit_functions *functions)
{
	size_t count = 2 * (functions->items.count + functions->fresh.count);
	_cleanup_free_ uint64_t *bounds = NULL;
	_cleanup_free_ uint32_t *owner = NULL, *next = NULL;
	struct painting painting;

	if (!functions->fresh.count)
		return 0;
	bounds = malloc(count * sizeof(*bounds));
	owner = calloc(count, sizeof(*owner));
	next = malloc(count * sizeof(*next));
	if (!bounds || !owner || !next)
		return -ENOMEM;
	painting = (struct painting){.bounds = bounds, .owner = owner, .next = next};
	paint(&painting, functions);
	return collect(&painting, functions);
}

const struct jit_function *jit_functions_find(const struct jit_functions *functions,
					      uint64_t address)
{
	const struct jit_function *items = functions->items.items;
	size_t low = 0, high = functions->items.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (items[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low && address < items[low - 1].end ? &items[low - 1] : NULL;
}

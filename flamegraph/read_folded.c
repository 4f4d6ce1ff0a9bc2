/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "folded", read: `root;...;leaf VALUE` a line, or `root;...;leaf BEFORE AFTER`, as
 * stackcollapse-*.pl, inferno, py-spy, bpftrace's helpers and perfd write it.
 *
 * A file has two columns if each of its first lines has (at most HEAD_LINES are looked
 * at); they become the values "before" and "after". One column is "samples". The first
 * element is a frame like the others: whether it is a thread's name cannot be known.
 *
 * Values with fractions: the whole profile is then in millionths, so that small ones
 * are not rounded away; the unit says so. "1.0" is 1.
 *
 * Each line is looked at once, and what it shares with the line before is not looked
 * at again: sorted files have little else.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/import.h"
#include "flamegraph/input.h"
#include "flamegraph/scan.h"
#include "flamegraph/token_cache.h"

#define HEAD_LINES 100
#define COLUMNS_MAX 2

struct element {
	size_t end; /* offset behind it in the line */
	uint64_t hash;
};

struct folded {
	struct profile *profile;
	struct token_cache tokens; /* text of an element -> frame */
	struct malformed malformed;
	unsigned columns;
	uint64_t scale; /* 1, or a million once a fraction was seen */
	VEC(char) last; /* the stack of the last line */
	VEC(struct element) elements; /* of it */
	VEC(uint32_t) frames; /* theirs */
	/* A sample is added when the next line is read: until then its place in the profile's
	 * index of stacks has come nearer. */
	VEC(uint32_t) pending; /* its frames; none: there is no sample */
	uint64_t pending_values[COLUMNS_MAX];
};

static size_t trim(const char *line, size_t n)
{
	while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	return n;
}

/* Takes a number off the end of line[0..*n), with the blanks before it. */
static bool take_number(const char *line, size_t *n, struct import_number *ret)
{
	size_t end = trim(line, *n), begin = end;

	while (begin && line[begin - 1] != ' ' && line[begin - 1] != '\t')
		begin--;
	if (!begin || !import_number(line + begin, end - begin, ret))
		return false;
	*n = trim(line, begin);
	return true;
}

static bool is_remark(const char *line, size_t n)
{
	return !trim(line, n) || line[0] == '#';
}

/* Number of columns by the first lines; 0: they are not folded. */
static unsigned count_columns(const char *head, size_t size)
{
	unsigned columns = COLUMNS_MAX, lines = 0, bad = 0;
	struct import_number number;

	for (size_t at = 0, n; at < size && lines < HEAD_LINES; at += n + 1) {
		const char *newline = memchr(head + at, '\n', size - at);
		size_t left;

		n = newline ? (size_t)(newline - head) - at : size - at;
		/* The last one may be cut, unless it is all there is. */
		if ((!newline && lines) || is_remark(head + at, n))
			continue;
		left = n && head[at + n - 1] == '\r' ? n - 1 : n;
		lines++;
		if (!take_number(head + at, &left, &number) || !left)
			bad++;
		else if (!take_number(head + at, &left, &number) || !left)
			columns = 1;
	}
	return bad * 2 >= lines ? 0 : columns;
}

bool format_folded_recognises(const char *head, size_t n)
{
	return count_columns(head, n) > 0;
}

/* Of a text that is not among the tokens; apart, so that the loop over those that are stays
 * small. PROFILE_NONE: no memory. */
static __attribute__((noinline)) uint32_t new_frame(struct folded *folded, uint64_t hash,
						    const char *text, size_t n)
{
	struct profile_frame frame = {0};
	size_t name_n = n;
	uint32_t id;

	frame.kind = import_kind(text, &name_n);
	frame.name = profile_string_n(folded->profile, text, name_n);
	id = profile_frame(folded->profile, &frame);
	if (id == PROFILE_NONE || token_cache_put(&folded->tokens, hash, text, n, id))
		return PROFILE_NONE;
	return id;
}

/* How many elements of the last line this one begins with. */
static size_t common_elements(const struct folded *folded, const char *stack, size_t n)
{
	const char *last = folded->last.items;
	size_t shorter = n < folded->last.count ? n : folded->last.count, same = 0, count = 0;

	while (same + 8 <= shorter && !memcmp(last + same, stack + same, 8))
		same += 8;
	while (same < shorter && last[same] == stack[same])
		same++;
	while (count < folded->elements.count && folded->elements.items[count].end < same)
		count++;
	return count;
}

/* Room for one block's elements, and those that put_ends() writes in vain. */
#define BLOCK_ELEMENTS (SCAN_BLOCK + 4)

/* Element ends by the bits of a block that begins at `at`. Four are written whether there
 * are so many or not: a block has two or three, and how many cannot be foretold. */
static struct element *put_ends(struct element *to, uint64_t found, size_t at)
{
	struct element *end = to + __builtin_popcountll(found);

	do {
		for (unsigned i = 0; i < 4; i++) {
			to[i].end = at + (size_t)__builtin_ctzll(found | 1ULL << 63);
			found &= found - 1;
		}
		to += 4;
	} while (to < end);
	return end;
}

/* The elements of a stack's text from the common ones on, with their hashes. The table
 * of tokens comes nearer meanwhile. Behind the text INPUT_PAD bytes can be read. -E2BIG:
 * too many. */
static int split(struct folded *folded, const char *stack, size_t n, size_t common)
{
	_Static_assert(INPUT_PAD >= SCAN_BLOCK, "the last block ends behind the line");
	struct element *elements = folded->elements.items, *end;
	size_t begin = common && elements ? elements[common - 1].end + 1 : 0;

	folded->elements.count = common;
	for (size_t at = begin; at < n; at += SCAN_BLOCK) {
		uint64_t found = scan_block(stack + at, ';');

		if (n - at < SCAN_BLOCK)
			found &= (1ULL << (n - at)) - 1;
		if (vec_reserve(&folded->elements, folded->elements.count + BLOCK_ELEMENTS))
			return -ENOMEM;
		elements = folded->elements.items;
		end = put_ends(elements + folded->elements.count, found, at);
		folded->elements.count = (size_t)(end - elements);
		if (folded->elements.count >= IMPORT_DEPTH_MAX)
			return -E2BIG;
	}
	if (vec_push(&folded->elements, (struct element){.end = n}))
		return -ENOMEM;
	end = folded->elements.items + folded->elements.count;
	for (elements = folded->elements.items + common; elements < end; elements++) {
		elements->hash = token_hash(stack + begin, elements->end - begin);
		token_cache_prefetch(&folded->tokens, elements->hash);
		begin = elements->end + 1;
	}
	return 0;
}

/* The frames of a stack's text into folded->frames. -E2BIG: too many. */
static int find_frames(struct folded *folded, const char *stack, size_t n)
{
	size_t common = common_elements(folded, stack, n), begin;
	const struct element *elements;
	uint32_t *frames;
	int r = split(folded, stack, n, common);

	if (!r)
		r = vec_reserve(&folded->frames, folded->elements.count);
	if (r)
		return r;
	elements = folded->elements.items;
	for (size_t i = common; i < folded->elements.count; i++)
		token_cache_prefetch_key(&folded->tokens, elements[i].hash);
	frames = folded->frames.items;
	begin = common ? elements[common - 1].end + 1 : 0;
	for (size_t i = common; i < folded->elements.count; i++) {
		size_t end = elements[i].end, length = end - begin;
		uint64_t hash = elements[i].hash;
		uint32_t id = token_cache_get(&folded->tokens, hash, stack + begin, length);

		if (id == TOKEN_NONE)
			id = new_frame(folded, hash, stack + begin, length);
		if (id == PROFILE_NONE)
			return -ENOMEM;
		frames[i] = id;
		begin = end + 1;
	}
	if (vec_reserve(&folded->last, n))
		return -ENOMEM;
	folded->frames.count = folded->elements.count;
	memcpy(folded->last.items, stack, n);
	folded->last.count = n;
	return 0;
}

static int add_pending(struct folded *folded)
{
	struct profile_sample sample = {.process = PROFILE_NONE};
	size_t count = folded->pending.count;

	folded->pending.count = 0;
	return count ? import_add_sample(folded->profile, folded->pending.items, count, &sample,
					 folded->pending_values)
		     : 0;
}

static int set_pending(struct folded *folded, const uint64_t *values)
{
	size_t size = folded->frames.count * sizeof(*folded->frames.items);

	profile_stack_prefetch(folded->profile, folded->frames.items, folded->frames.count);
	if (vec_reserve(&folded->pending, folded->frames.count))
		return -ENOMEM;
	memcpy(folded->pending.items, folded->frames.items, size);
	folded->pending.count = folded->frames.count;
	memcpy(folded->pending_values, values, sizeof(folded->pending_values));
	return 0;
}

static uint64_t scaled(const struct folded *folded, const struct import_number *number)
{
	uint64_t value;

	if (folded->scale == 1)
		return number->whole;
	if (__builtin_mul_overflow(number->whole, folded->scale, &value) ||
	    __builtin_add_overflow(value, number->millionths, &value))
		return UINT64_MAX;
	return value;
}

/* The first fraction: what there is becomes millionths. */
static int rescale(struct folded *folded)
{
	struct profile *profile = folded->profile;
	uint32_t unit = profile_string(profile, "millionths");

	if (unit == PROFILE_NONE)
		return -ENOMEM;
	folded->scale = IMPORT_MILLION;
	for (uint32_t i = 0; i < profile->value_type_count; i++)
		profile->value_types[i].unit = unit;
	for (size_t i = 0; i < profile->values.count; i++) {
		uint64_t *value = &profile->values.items[i];

		if (__builtin_mul_overflow(*value, IMPORT_MILLION, value))
			*value = UINT64_MAX;
	}
	return 0;
}

/* Takes the columns off the end. NULL, or what is wrong with the line. */
static const char *take_columns(const struct folded *folded, const char *line, size_t *n,
				struct import_number *ret)
{
	for (unsigned i = folded->columns; i-- > 0;) {
		if (!take_number(line, n, &ret[i]))
			return i + 1 == folded->columns ? "no number at its end"
							: "only one number at its end";
	}
	return *n ? NULL : "no stack before the number";
}

static int read_line(struct folded *folded, const char *line, size_t n, uint64_t number)
{
	struct import_number columns[COLUMNS_MAX] = {0};
	uint64_t values[COLUMNS_MAX] = {0};
	const char *bad;
	int r;

	if (is_remark(line, n))
		return 0;
	bad = take_columns(folded, line, &n, columns);
	if (bad) {
		malformed_add(&folded->malformed, number, bad);
		return 0;
	}
	r = find_frames(folded, line, n);
	if (r == -E2BIG) {
		folded->last.count = folded->elements.count = 0;
		malformed_add(&folded->malformed, number, "its stack is too deep");
		return 0;
	}
	if (!r)
		r = add_pending(folded);
	for (unsigned i = 0; !r && i < folded->columns; i++) {
		if (columns[i].millionths && folded->scale == 1)
			r = rescale(folded);
	}
	if (r)
		return r;
	for (unsigned i = 0; i < folded->columns; i++)
		values[i] = scaled(folded, &columns[i]);
	return set_pending(folded, values);
}

static int add_value_types(struct folded *folded)
{
	static const char *const names[COLUMNS_MAX][COLUMNS_MAX] = {{"samples"},
								    {"before", "after"}};

	for (unsigned i = 0; i < folded->columns; i++) {
		if (profile_add_value_type(folded->profile, names[folded->columns - 1][i],
					   "count") == PROFILE_NONE)
			return -ENOMEM;
	}
	folded->profile->default_value = folded->columns - 1;
	return 0;
}

int format_folded_read(struct input *input, const struct format_read_options *options,
		       struct profile *profile)
{
	struct folded folded = {.profile = profile, .scale = 1};
	const char *line;
	size_t n;
	int r;

	(void)options;
	line = input_peek(input, &n);
	folded.columns = count_columns(line, n);
	if (!folded.columns)
		folded.columns = 1; /* asked for by name: the lines will say what is wrong */
	r = add_value_types(&folded);
	while (!r && (line = input_line(input, &n)))
		r = read_line(&folded, line, n, input->line);
	if (!r)
		r = add_pending(&folded);
	if (!r)
		r = malformed_report(&folded.malformed, "line", profile);
	token_cache_deinit(&folded.tokens);
	vec_free(&folded.last);
	vec_free(&folded.elements);
	vec_free(&folded.frames);
	vec_free(&folded.pending);
	return r;
}

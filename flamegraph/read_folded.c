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
#include "flamegraph/sample_queue.h"
#include "flamegraph/token_batch.h"

#define HEAD_LINES 100
#define COLUMNS_MAX 2
/* A batch of lines, looked up together: enough for memory to answer meanwhile, and few
 * enough for what it answers to stay near. */
#define BATCH_LINES 32
#define BATCH_TOKENS 256

/* A line whose frames are not known yet. */
struct waiting {
	size_t common; /* elements that it shares with the line before */
	size_t tokens_end; /* of its others in the batch's */
	uint64_t values[COLUMNS_MAX];
};

struct folded {
	struct profile *profile;
	const struct token_ways *ways;
	struct token_cache cache; /* text of an element -> frame */
	struct malformed malformed;
	unsigned columns;
	uint64_t scale; /* 1, or a million once a fraction was seen */
	const char *stack; /* of the last line: where it was read, or in `kept` */
	size_t stack_n;
	VEC(uint32_t) ends; /* where its elements end */
	VEC(char) kept;
	struct waiting lines[BATCH_LINES];
	size_t line_count;
	VEC(struct token) tokens; /* elements of these lines, but for what they share */
	VEC(uint32_t) ids; /* theirs */
	VEC(uint32_t) frames; /* of the last line that is known */
	struct sample_queue samples;
};

static size_t trim(const char *line, size_t n)
{
	while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	return n;
}

#define DIGITS_MAX 18 /* no number of so many is too large */

/* Takes a number off the end of line[0..*n), with the blanks before it. */
static bool take_number(const char *line, size_t *n, struct import_number *ret)
{
	size_t end = trim(line, *n), begin = end;
	uint64_t value = 0, place = 1;

	/* The usual: digits. */
	for (; begin && end - begin <= DIGITS_MAX; begin--, place *= 10) {
		unsigned digit = (unsigned char)line[begin - 1] - (unsigned)'0';

		if (digit > 9)
			break;
		value += digit * place;
	}
	if (begin && begin < end && (line[begin - 1] == ' ' || line[begin - 1] == '\t')) {
		*ret = (struct import_number){.whole = value};
		*n = trim(line, begin);
		return true;
	}
	for (begin = end; begin && line[begin - 1] != ' ' && line[begin - 1] != '\t';)
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

/* Of a text that was not there when the batch was looked up. PROFILE_NONE: no memory. */
static uint32_t new_frame(struct folded *folded, const struct token *token)
{
	uint32_t id = token_cache_get(&folded->cache, token->hash, token->text, token->length);
	struct profile_frame frame = {0};
	size_t name_n = token->length;

	if (id != TOKEN_NONE)
		return id;
	frame.kind = import_kind(token->text, &name_n);
	frame.name = profile_string_n(folded->profile, token->text, name_n);
	id = profile_frame(folded->profile, &frame);
	if (id == PROFILE_NONE ||
	    token_cache_put(&folded->cache, token->hash, token->text, token->length, id))
		return PROFILE_NONE;
	return id;
}

/* Frames for those tokens of the batch that have none yet. */
static int make_frames(struct folded *folded)
{
	for (size_t i = 0; i < folded->tokens.count; i++) {
		uint32_t *id = &folded->ids.items[i];

		if (*id == TOKEN_NONE)
			*id = new_frame(folded, &folded->tokens.items[i]);
		if (*id == PROFILE_NONE)
			return -ENOMEM;
	}
	return 0;
}

static int resolve_line(struct folded *folded, const struct waiting *line, size_t tokens_begin)
{
	struct profile_sample sample = {.process = PROFILE_NONE};
	size_t count = line->tokens_end - tokens_begin;

	if (vec_reserve(&folded->frames, line->common + count))
		return -ENOMEM;
	memcpy(folded->frames.items + line->common, folded->ids.items + tokens_begin,
	       count * sizeof(*folded->frames.items));
	return sample_queue_add(&folded->samples, folded->frames.items, line->common + count,
				&sample, line->values);
}

/* Looks up what waits. Before more is read: the lines are then no longer where they are. */
static int flush(struct folded *folded)
{
	size_t tokens_begin = 0, count = folded->tokens.count;
	int r = vec_reserve(&folded->ids, count);

	if (!r)
		r = vec_reserve(&folded->kept, folded->stack_n + INPUT_PAD);
	if (r)
		return r;
	if (folded->ways->find(&folded->cache, folded->tokens.items, count, folded->ids.items) <
	    count)
		r = make_frames(folded);
	for (size_t i = 0; !r && i < folded->line_count; i++) {
		r = resolve_line(folded, &folded->lines[i], tokens_begin);
		tokens_begin = folded->lines[i].tokens_end;
	}
	folded->line_count = 0;
	vec_clear(&folded->tokens);
	if (folded->stack_n && folded->stack != folded->kept.items)
		memcpy(folded->kept.items, folded->stack, folded->stack_n);
	folded->stack = folded->kept.items;
	return r;
}

/* How many elements of the last line this one begins with. */
static size_t common_elements(const struct folded *folded, const char *stack, size_t n)
{
	_Static_assert(INPUT_PAD >= sizeof(uint64_t), "the last word ends behind the line");
	size_t shorter = n < folded->stack_n ? n : folded->stack_n, same, count = 0;

	for (same = 0; same < shorter; same += sizeof(uint64_t)) {
		uint64_t differ = token_load(folded->stack + same) ^ token_load(stack + same);

		if (differ) {
			same += (size_t)__builtin_ctzll(differ) / 8;
			break;
		}
	}
	if (same > shorter)
		same = shorter;
	while (count < folded->ends.count && folded->ends.items[count] < same)
		count++;
	return count;
}

/* Divides a line's stack into elements, those that it shares with the last one's apart.
 * -E2BIG: too many. */
static int split(struct folded *folded, const char *stack, size_t n, size_t common)
{
	_Static_assert(INPUT_PAD >= TOKEN_PAD, "what is read behind a token is there");
	uint32_t begin = common ? folded->ends.items[common - 1] + 1 : 0;
	size_t count;

	if (vec_reserve(&folded->ends, common + (n - begin) + TOKEN_ENDS_SLACK))
		return -ENOMEM;
	count = folded->ways->ends(stack, begin, n, ';', folded->ends.items + common);
	folded->ends.count = common + count;
	if (folded->ends.count > IMPORT_DEPTH_MAX)
		return -E2BIG;
	if (vec_reserve(&folded->tokens, folded->tokens.count + count))
		return -ENOMEM;
	folded->ways->hash(&folded->cache, stack, begin, folded->ends.items + common, count,
			   folded->tokens.items + folded->tokens.count);
	folded->tokens.count += count;
	return 0;
}

static int add_line(struct folded *folded, const char *stack, size_t n, const uint64_t *values)
{
	size_t common = common_elements(folded, stack, n);
	struct waiting *line = &folded->lines[folded->line_count];
	int r = split(folded, stack, n, common);

	/* The next one shares nothing with a line that is not there. */
	folded->stack = stack;
	folded->stack_n = r ? 0 : n;
	if (r) {
		vec_clear(&folded->ends);
		return r;
	}
	line->common = common;
	line->tokens_end = folded->tokens.count;
	memcpy(line->values, values, sizeof(line->values));
	folded->line_count++;
	if (folded->line_count == BATCH_LINES || folded->tokens.count >= BATCH_TOKENS)
		return flush(folded);
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
	int r = unit == PROFILE_NONE ? -ENOMEM : flush(folded);

	if (!r)
		r = sample_queue_flush(&folded->samples);
	if (r)
		return r;
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
	int r = 0;

	if (is_remark(line, n))
		return 0;
	bad = take_columns(folded, line, &n, columns);
	if (bad) {
		malformed_add(&folded->malformed, number, bad);
		return 0;
	}
	for (unsigned i = 0; !r && i < folded->columns; i++) {
		if (columns[i].millionths && folded->scale == 1)
			r = rescale(folded);
	}
	for (unsigned i = 0; i < folded->columns; i++)
		values[i] = scaled(folded, &columns[i]);
	if (!r)
		r = add_line(folded, line, n, values);
	if (r == -E2BIG) {
		malformed_add(&folded->malformed, number, "its stack is too deep");
		return 0;
	}
	return r;
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
	struct folded folded = {.profile = profile,
				.ways = token_ways(),
				.scale = 1,
				.samples = {.profile = profile}};
	const char *line;
	size_t n;
	int r;

	(void)options;
	line = input_peek(input, &n);
	folded.columns = count_columns(line, n);
	if (!folded.columns)
		folded.columns = 1; /* asked for by name: the lines will say what is wrong */
	r = add_value_types(&folded);
	while (!r) {
		line = input_line_ready(input, &n);
		if (!line) {
			r = flush(&folded);
			line = r ? NULL : input_line(input, &n);
		}
		if (!line)
			break;
		r = read_line(&folded, line, n, input->line);
	}
	if (!r)
		r = sample_queue_flush(&folded.samples);
	if (!r)
		r = malformed_report(&folded.malformed, "line", profile);
	token_cache_deinit(&folded.cache);
	vec_free(&folded.ends);
	vec_free(&folded.kept);
	vec_free(&folded.tokens);
	vec_free(&folded.ids);
	vec_free(&folded.frames);
	sample_queue_deinit(&folded.samples);
	return r;
}

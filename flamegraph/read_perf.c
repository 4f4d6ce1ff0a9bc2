/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "perf", read: the text of `perf script`. A header a sample, the stack's lines from the
 * leaf on, an empty line:
 *
 *	redis-server 1234/1235 [001] 4794564.109216:   10101010 cpu-clock:
 *	        ffffffff8103ce3b native_safe_halt+0x5 ([kernel.kallsyms])
 *	            7f1e2215d058 [unknown] (/usr/lib/libc.so.6)
 *
 * The values are "samples" and, where there is a period, what the event counts; the
 * latter is the default, so that a sample weighs what it stands for. Of several events
 * only one is read, the first or the one asked for; the others are counted. Samples get
 * buckets of a second by their time.
 *
 * A line of a stack is looked at once in all its repetitions: a hash a line (token_cache.h).
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/import.h"
#include "flamegraph/input.h"
#include "flamegraph/perf_header.h"
#include "flamegraph/perf_symbol.h"
#include "flamegraph/sample_queue.h"
#include "flamegraph/scan.h"
#include "flamegraph/token_batch.h"

#define NS_PER_SECOND 1000000000U
#define CHAIN_FLAG (1U << 31) /* a cached id that is an index into chains */

struct chain {
	size_t begin;
	uint32_t count;
};

/* Who was sampled: told in each header, and looked at once. */
struct task {
	uint32_t comm, process; /* of the profile */
	bool java;
};

struct perf {
	struct profile *profile;
	const struct format_read_options *options;
	struct token_cache cache; /* line of a stack -> frame, or chain of frames */
	const struct token_ways *ways;
	VEC(struct chain) chains;
	VEC(uint32_t) chain_frames;
	/* Lines of the open sample, not looked up yet: where each begins in its line, their ids. */
	VEC(struct token) tokens;
	VEC(uint32_t) starts;
	VEC(uint32_t) ids;
	uint64_t first_line;
	struct token_cache task_cache; /* comm and thread of a header -> task */
	VEC(struct task) tasks;
	struct sample_queue queue;
	struct malformed malformed;
	struct strbuf event; /* the one that is read; empty: not known yet */
	struct strbuf scratch;
	struct hashmap processes; /* pid -> index */
	VEC(uint32_t) frames; /* of the sample that is open, leaf first */
	struct profile_sample sample;
	uint64_t values[2];
	uint64_t other_events;
	uint64_t first_ns, last_ns;
	bool started; /* value types are there */
	bool open, skipped, java;
};

bool format_perf_recognises(const char *head, size_t n)
{
	struct perf_line line;
	struct perf_header header;
	bool after_header = false;

	for (size_t at = 0, length; at < n; at += length + 1) {
		const char *newline = memchr(head + at, '\n', n - at);

		if (!newline)
			break;
		length = (size_t)(newline - head) - at;
		if (!length || head[at] == '#')
			continue;
		if (after_header && perf_line_parse(head + at, length, &line))
			return true;
		if (!perf_header_parse(head + at, length, &header) || !header.event_n ||
		    !header.has_time)
			return false;
		if (header.rest_n && perf_line_parse(header.rest, header.rest_n, &line))
			return true;
		after_header = true;
	}
	return false;
}

static const char *unit_of(const char *event)
{
	if (!strncmp(event, "cpu-clock", 9) || !strncmp(event, "task-clock", 10))
		return "nanoseconds";
	if (!strncmp(event, "cycles", 6) || !strncmp(event, "cpu-cycles", 10))
		return "cycles";
	return "count";
}

static int add_value_types(struct perf *perf, const struct perf_header *header)
{
	struct profile *profile = perf->profile;
	uint32_t value = profile_add_value_type(profile, "samples", "count");

	if (value != PROFILE_NONE && header->has_period)
		value = profile_add_value_type(profile, strbuf_text(&perf->event),
					       unit_of(strbuf_text(&perf->event)));
	if (value == PROFILE_NONE)
		return -ENOMEM;
	profile->default_value = value;
	profile->event = profile_string(profile, strbuf_text(&perf->event));
	perf->started = true;
	return profile->event == PROFILE_NONE ? -ENOMEM : 0;
}

/* Is it a sample of the event that is read? The first event is, if none is named. */
static int choose_event(struct perf *perf, const struct perf_header *header, bool *ret)
{
	const char *want = perf->options->event;
	size_t n = header->event_n;

	*ret = true;
	if (!perf->event.length && !perf->started) {
		if (want && (n < strlen(want) || memcmp(header->event, want, strlen(want)) != 0 ||
			     (n > strlen(want) && header->event[strlen(want)] != ':'))) {
			*ret = false;
			return 0;
		}
		strbuf_append(&perf->event, header->event, n);
		return strbuf_error(&perf->event) ? -ENOMEM : add_value_types(perf, header);
	}
	*ret = n == perf->event.length && !memcmp(header->event, strbuf_text(&perf->event), n);
	return 0;
}

/* As the other tools write it: "V8_WorkerThread-24636/25607". */
static int make_comm(struct perf *perf, const struct perf_header *header, uint32_t *ret)
{
	uint32_t annotate = perf->options->annotate;
	struct strbuf *name = &perf->scratch;

	strbuf_clear(name);
	strbuf_append(name, header->comm, header->comm_n);
	for (size_t i = 0; i < name->length; i++) {
		if (name->data[i] == ' ')
			name->data[i] = '_';
	}
	if (annotate & (FORMAT_ANNOTATE_PID | FORMAT_ANNOTATE_TID)) {
		strbuf_putc(name, '-');
		strbuf_append(name, header->pid, header->pid_n);
	}
	if (annotate & FORMAT_ANNOTATE_TID) {
		strbuf_putc(name, '/');
		strbuf_append(name, header->tid, header->tid_n);
	}
	*ret = profile_string_n(perf->profile, strbuf_text(name), name->length);
	return strbuf_error(name) || *ret == PROFILE_NONE ? -ENOMEM : 0;
}

static int make_process(struct perf *perf, const struct perf_header *header, uint32_t *ret)
{
	uint64_t pid = import_decimal(header->pid, header->pid_n);
	struct profile_process process = {.pid = (uint32_t)pid};
	uint64_t *found = hashmap_get(&perf->processes, pid);

	*ret = PROFILE_NONE;
	if (*header->pid == '?' || pid > INT32_MAX)
		return 0;
	if (found) {
		*ret = (uint32_t)*found;
		return 0;
	}
	process.comm = profile_string_n(perf->profile, header->comm, header->comm_n);
	if (process.comm == PROFILE_NONE)
		return -ENOMEM;
	*ret = profile_add_process(perf->profile, &process);
	if (*ret == PROFILE_NONE)
		return -ENOMEM;
	return hashmap_put(&perf->processes, pid, *ret);
}

static int set_task(struct perf *perf, const struct perf_header *header)
{
	uint32_t hash = token_hash(header->comm, header->task_n);
	uint32_t id = token_cache_get(&perf->task_cache, hash, header->comm, header->task_n);
	struct task task = {.java = header->comm_n >= 4 && !memcmp(header->comm, "java", 4)};
	int r;

	if (id == TOKEN_NONE) {
		id = (uint32_t)perf->tasks.count;
		r = make_comm(perf, header, &task.comm);
		if (!r)
			r = make_process(perf, header, &task.process);
		if (!r)
			r = vec_push(&perf->tasks, task);
		if (!r)
			r = token_cache_put(&perf->task_cache, hash, header->comm, header->task_n,
					    id);
		if (r)
			return r;
	}
	task = perf->tasks.items[id];
	perf->sample.comm = task.comm;
	perf->sample.process = task.process;
	perf->java = task.java;
	return 0;
}

static uint64_t step_ns(const struct perf *perf)
{
	return perf->options->step_ns ? perf->options->step_ns : NS_PER_SECOND;
}

static void set_time(struct perf *perf, const struct perf_header *header)
{
	perf->sample.bucket = 0;
	if (!header->has_time)
		return;
	if (!perf->first_ns)
		perf->first_ns = header->time_ns;
	if (header->time_ns > perf->last_ns)
		perf->last_ns = header->time_ns;
	if (header->time_ns > perf->first_ns)
		perf->sample.bucket =
			(uint32_t)((header->time_ns - perf->first_ns) / step_ns(perf));
}

/* One of the functions of a line, or the only one. */
static uint32_t make_frame(struct perf *perf, const struct perf_line *line, const char *function,
			   size_t n, bool inlined)
{
	uint32_t annotate = perf->options->annotate;
	struct profile_frame frame = {0};
	struct strbuf *name = &perf->scratch;
	size_t name_n;
	bool unknown = line->module_n == 9 && !memcmp(line->module, "[unknown]", 9);

	strbuf_clear(name);
	perf_symbol_put(name, line, function, n, perf->java, annotate & FORMAT_ANNOTATE_ADDRESS);
	name_n = name->length;
	frame.kind = import_kind(strbuf_text(name), &name_n);
	if (inlined || (annotate & FORMAT_ANNOTATE_INLINE && line->module_n == 7 &&
			!memcmp(line->module, "inlined", 7)))
		frame.kind = FRAME_INLINE;
	else if (annotate & FORMAT_ANNOTATE_KERNEL &&
		 import_is_kernel(line->module, line->module_n))
		frame.kind = FRAME_KERNEL;
	else if (annotate & FORMAT_ANNOTATE_JIT &&
		 ((line->module_n > 14 && !memcmp(line->module, "/tmp/perf-", 10) &&
		   !memcmp(line->module + line->module_n - 4, ".map", 4)) ||
		  memmem(line->module, line->module_n, "/jitted-", 8)))
		frame.kind = FRAME_JIT;
	frame.name = profile_string_n(perf->profile, strbuf_text(name), name_n);
	frame.module = unknown ? 0 : profile_string_n(perf->profile, line->module, line->module_n);
	return strbuf_error(name) ? PROFILE_NONE : profile_frame(perf->profile, &frame);
}

/* A line that was not seen before, as a cached id: a frame or a chain. TOKEN_NONE: no
 * memory. */
static uint32_t make_token(struct perf *perf, const struct perf_line *line)
{
	size_t n = perf_symbol_strip(line->symbol, line->symbol_n), begin, next;
	struct chain chain = {.begin = perf->chain_frames.count};
	const char *symbol = line->symbol;

	if (perf_symbol_is_process(symbol, n))
		n = begin = 1; /* no frame */
	else
		begin = 0;
	for (; n == 0 || begin < n; begin = next) {
		size_t length = perf_symbol_split(symbol + begin, n - begin, &next);
		uint32_t frame = make_frame(perf, line, symbol + begin, length, chain.count > 0);

		next += begin;
		if (frame == PROFILE_NONE || vec_push(&perf->chain_frames, frame))
			return TOKEN_NONE;
		chain.count++;
		if (!n)
			break;
	}
	if (chain.count == 1) {
		perf->chain_frames.count--;
		return perf->chain_frames.items[chain.begin];
	}
	if (vec_push(&perf->chains, chain))
		return TOKEN_NONE;
	return (uint32_t)(perf->chains.count - 1) | CHAIN_FLAG;
}

static int push_chain(struct perf *perf, uint32_t token)
{
	const struct chain *chain = &perf->chains.items[token & ~CHAIN_FLAG];

	for (uint32_t i = chain->count; i-- > 0;) {
		if (vec_push(&perf->frames, perf->chain_frames.items[chain->begin + i]))
			return -ENOMEM;
	}
	return 0;
}

/* Offset of the first word, or with `second` of the blank behind it; n: there is none. The
 * usual is looked up in a block's bits: blanks, an address, a blank. */
static size_t skip_address(const char *text, size_t n, bool second)
{
	uint64_t blanks, word, after;
	size_t at = 0, found;

	while (at < n && text[at] == '\t')
		at++;
	if (at == n)
		return n;
	blanks = scan_block(text + at, ' ');
	word = ~blanks & (blanks + 1);
	after = word ? blanks & ~(word - 1) : 0;
	if (after) {
		found = at + (size_t)__builtin_ctzll(second ? after : word);
		return found < n ? found : n;
	}
	while (at < n && text[at] == ' ')
		at++;
	while (second && at < n && text[at] != ' ')
		at++;
	return at;
}

/* A line of a stack, to be looked up with the sample's others. */
static int add_token(struct perf *perf, const char *text, size_t n, uint64_t number)
{
	uint32_t end = (uint32_t)n;
	size_t at;

	if (vec_reserve(&perf->tokens, perf->tokens.count + 1) ||
	    vec_reserve(&perf->starts, perf->tokens.count + 1))
		return -ENOMEM;
	if (!perf->tokens.count)
		perf->first_line = number;
	/* The address is part of what it becomes only if it is to be shown. */
	at = skip_address(text, n, !(perf->options->annotate & FORMAT_ANNOTATE_ADDRESS));
	perf->ways->hash(&perf->cache, text, at, &end, 1, perf->tokens.items + perf->tokens.count);
	/* What it becomes is another thing in Java. */
	perf->tokens.items[perf->tokens.count].hash ^= perf->java;
	perf->starts.items[perf->tokens.count++] = (uint32_t)at;
	return 0;
}

#define LINES_AT_ONCE 64

/* Lines of the open stack as they usually are: many are in the buffer already. */
static int add_tokens(struct perf *perf, struct input *input)
{
	size_t room, n, passed, count, first;
	const char *text;

	do {
		room = perf->tokens.count + LINES_AT_ONCE;
		first = perf->tokens.count;
		if (vec_reserve(&perf->tokens, room) || vec_reserve(&perf->starts, room))
			return -ENOMEM;
		text = input_ready(input, &n);
		count = perf->ways->lines(&perf->cache, text, n, LINES_AT_ONCE,
					  perf->tokens.items + first, perf->starts.items + first,
					  &passed);
		if (!first)
			perf->first_line = input->line + 1;
		input_take(input, passed, count);
		perf->tokens.count += count;
		for (size_t i = first; perf->java && i < first + count; i++)
			perf->tokens.items[i].hash ^= 1;
	} while (count == LINES_AT_ONCE);
	return 0;
}

/* The id of one that was not there when all were looked up. 0, -ENOMEM, or -EBADMSG: it is
 * no line of a stack. */
static int new_token(struct perf *perf, const struct token *token, uint32_t start, uint32_t *ret)
{
	uint32_t id = token_cache_get(&perf->cache, token->hash, token->text, token->length);
	struct perf_line line;

	if (id == TOKEN_NONE) {
		if (!perf_line_parse(token->text - start, start + token->length, &line))
			return -EBADMSG;
		id = make_token(perf, &line);
		if (id == TOKEN_NONE ||
		    token_cache_put(&perf->cache, token->hash, token->text, token->length, id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

/* What waits becomes frames. Before more is read, for the lines are then no longer there,
 * and before any other line, so that it is known which these are. */
static int resolve(struct perf *perf)
{
	size_t count = perf->tokens.count;
	int r = 0;

	if (!count)
		return 0;
	if (vec_reserve(&perf->ids, count))
		return -ENOMEM;
	perf->ways->find(&perf->cache, perf->tokens.items, count, perf->ids.items);
	if (vec_reserve(&perf->frames, perf->frames.count + count))
		return -ENOMEM;
	for (size_t i = 0; !r && i < count; i++) {
		uint32_t id = perf->ids.items[i];

		if (perf->frames.count > IMPORT_DEPTH_MAX)
			break; /* end_sample() will say so */
		if (id == TOKEN_NONE)
			r = new_token(perf, &perf->tokens.items[i], perf->starts.items[i], &id);
		if (!r)
			r = id & CHAIN_FLAG ? push_chain(perf, id) : vec_push(&perf->frames, id);
		if (r == -EBADMSG) {
			malformed_add(&perf->malformed, perf->first_line + i,
				      "no frame of a stack");
			r = 0;
		}
	}
	vec_clear(&perf->tokens);
	return r;
}

/* 0, -ENOMEM, or -EBADMSG: it is no line of a stack. */
static int on_frame(struct perf *perf, const char *text, size_t n, uint64_t number)
{
	struct perf_line line;
	int r;

	if (perf->skipped)
		return 0;
	/* A head may be indented too, but not by a tab. */
	if (n && text[0] == '\t')
		return add_token(perf, text, n, number);
	if (!perf_line_parse(text, n, &line))
		return -EBADMSG;
	r = resolve(perf);
	return r ? r : add_token(perf, text, n, number);
}

static int end_sample(struct perf *perf, uint64_t line)
{
	uint32_t *frames;
	size_t count;
	int r;

	if (!perf->open)
		return 0;
	perf->open = false;
	if (perf->skipped)
		return 0;
	r = resolve(perf);
	if (r)
		return r;
	frames = perf->frames.items;
	count = perf->frames.count;
	if (count > IMPORT_DEPTH_MAX) {
		malformed_add(&perf->malformed, line, "its stack is too deep");
		return 0;
	}
	for (size_t i = 0; i < count / 2; i++) {
		uint32_t swapped = frames[i];

		frames[i] = frames[count - 1 - i];
		frames[count - 1 - i] = swapped;
	}
	return sample_queue_add(&perf->queue, frames, count, &perf->sample, perf->values);
}

static int begin_sample(struct perf *perf, const struct perf_header *header, uint64_t number)
{
	struct perf_line line;
	bool ours;
	int r = choose_event(perf, header, &ours);

	perf->open = true;
	perf->skipped = !ours;
	perf->frames.count = 0;
	perf->values[0] = 1;
	perf->values[1] = header->has_period ? header->period : 1;
	/* The event may be "samples": what we write of a profile that has no other value. */
	if (perf->profile->value_type_count == 1)
		perf->values[0] = perf->values[1];
	if (r || !ours) {
		perf->other_events += !r;
		return r;
	}
	set_time(perf, header);
	r = set_task(perf, header);
	if (!r && header->rest_n && perf_line_parse(header->rest, header->rest_n, &line)) {
		r = add_token(perf, header->rest, header->rest_n, number);
		if (!r)
			r = end_sample(perf, 0);
	}
	return r;
}

static bool is_blank(const char *line, size_t n)
{
	while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	return !n;
}

static int on_line(struct perf *perf, const char *line, size_t n, uint64_t number)
{
	struct perf_header header;
	int r = -EBADMSG;

	if (is_blank(line, n))
		return end_sample(perf, number);
	if (line[0] == '#')
		return resolve(perf);
	if (perf->open)
		r = on_frame(perf, line, n, number);
	if (r != -EBADMSG)
		return r;
	r = resolve(perf);
	if (r)
		return r;
	/* No line of a stack: a header, with or without an empty line before it. */
	if (!perf_header_parse(line, n, &header) || (perf->open && !header.has_time)) {
		malformed_add(&perf->malformed, number,
			      perf->open ? "no frame of a stack" : "no head of a sample");
		return 0;
	}
	r = end_sample(perf, number);
	return r ? r : begin_sample(perf, &header, number);
}

static int add_counts(struct perf *perf)
{
	struct profile *profile = perf->profile;

	if (perf->last_ns > perf->first_ns) {
		profile->bucket_ns = step_ns(perf);
		profile->duration_ns = perf->last_ns - perf->first_ns;
	}
	if (perf->other_events &&
	    profile_add_count(profile, "other_events", "samples of other events than the one read",
			      perf->other_events, 0))
		return -ENOMEM;
	return malformed_report(&perf->malformed, "line", profile);
}

int format_perf_read(struct input *input, const struct format_read_options *options,
		     struct profile *profile)
{
	struct perf perf = {.profile = profile,
			    .options = options,
			    .ways = token_ways(),
			    .queue = {.profile = profile}};
	bool addresses = options->annotate & FORMAT_ANNOTATE_ADDRESS;
	const char *line;
	size_t n;
	int r = 0;

	while (!r) {
		if (perf.open && !perf.skipped && !addresses)
			r = add_tokens(&perf, input);
		line = r ? NULL : input_line_ready(input, &n);
		if (!r && !line) {
			r = resolve(&perf);
			line = r ? NULL : input_line(input, &n);
		}
		if (!line)
			break;
		r = on_line(&perf, line, n, input->line);
	}
	if (!r)
		r = end_sample(&perf, input->line);
	if (!r)
		r = sample_queue_flush(&perf.queue);
	if (!r)
		r = add_counts(&perf);
	token_cache_deinit(&perf.cache);
	token_cache_deinit(&perf.task_cache);
	hashmap_deinit(&perf.processes);
	strbuf_deinit(&perf.event);
	strbuf_deinit(&perf.scratch);
	sample_queue_deinit(&perf.queue);
	vec_free(&perf.chains);
	vec_free(&perf.chain_frames);
	vec_free(&perf.tokens);
	vec_free(&perf.starts);
	vec_free(&perf.ids);
	vec_free(&perf.tasks);
	vec_free(&perf.frames);
	return r;
}
